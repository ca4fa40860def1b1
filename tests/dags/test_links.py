"""Links of a task in Airflow's web UI to what it is about."""

from __future__ import annotations

from typing import Any

import pytest

from millstream_airflow import catalog
from millstream_airflow.tasks.spark_job import SparkJobOperator

PAGE = "silver.things/r1-v0.html"


@pytest.mark.parametrize("result", [{"docs_page": PAGE}, {"verdict": {"word": "passed", "docs_page": PAGE}}])
def test_a_gate_and_a_publish_link_the_verdict(result: dict[str, Any]) -> None:
    task = SparkJobOperator(task_id="publish", job="publish")
    task._note_links(result)
    assert task.links["Data Docs"] == catalog.data_docs_url(PAGE)


def test_what_has_no_verdict_links_none() -> None:
    task = SparkJobOperator(task_id="transform", job="transform")
    task._note_links({"verdict": None, "rows": 1})
    assert "Data Docs" not in task.links
