"""Links from a task in Airflow's UI to what it did elsewhere.

Airflow stores a link when the task ends, so each is made in the task's own process, from what the operator
stored while it ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class _NotedLink(BaseOperatorLink):
    """A link from the operator's `links`; empty if it has none."""

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        return str(operator.links.get(self.name, ""))


@attrs.define()
class SparkLink(_NotedLink):
    name: str = "Spark"


@attrs.define()
class MlflowLink(_NotedLink):
    name: str = "MLflow"


@attrs.define()
class DataDocsLink(_NotedLink):
    name: str = "Data Docs"
