"""What a run says of itself in the list of its DAG's runs: which rows it published, or why it did nothing.

A task leaves its line as an XCom, also if it is skipped then, and the scheduler makes the run's note of all
of them when the run ends (`millstream_airflow.run_notes`): only servers may write notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context

KEY = "run_note"


def leave_note(context: Context, lines: Sequence[str]) -> None:
    """Lines of the running task for its run's note; those of an earlier try are gone."""
    context["ti"].xcom_push(key=KEY, value="\n".join(lines))


def skip(reason: str) -> NoReturn:
    """End the running task as skipped, and have its run say why."""
    leave_note(get_current_context(), [reason])
    raise AirflowSkipException(reason)
