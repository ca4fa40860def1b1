"""A job's result as lines that a person reads: rows, months, versions, time."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.jobs import find_quarantined, fit_candidate, publish, transform
from millstream_airflow.tasks.summaries import spans, summary

PUBLISHED: dict[str, Any] = {
    "table": "silver.flights",
    "version": 5,
    "changed": True,
    "read": 27_008,
    "written": 26_990,
    "quarantined": 11,
    "deduplicated": 3,
    "dropped": 0,
    "tombstones": 4,
    "deleted": 5,
    "accepted": 2,
    "partitions": ("2013-01", "2013-02", "2013-03", "2013-12"),
    "superseded": (),
    "verdict": {"word": "passed with warnings", "reason": "long"},
}


def of(job: Any, result: dict[str, Any]) -> list[str]:
    """The summary of a result as the job's own model hands it out."""
    name = job.__name__.rpartition(".")[2]
    return summary(name, job.Result.model_validate(result).model_dump(mode="json"), 12.34)


def test_a_publish_says_rows_months_version_verdict_and_time() -> None:
    assert of(publish, PUBLISHED) == [
        "publish: done in 12.3 s",
        "silver.flights: version 5",
        "rows: 27,008 read = 26,990 written + 11 quarantined + 3 deduplicated + 0 dropped + 4 marked as "
        "deleted; 2 of the written were accepted by a person; 5 left the table: deleted at the "
        "source",
        "months: 2013-01 to 2013-03, 2013-12",
        "verdict: passed with warnings",
    ]
    assert "silver.flights: stays at version 5: it has these rows already" in of(
        publish, {**PUBLISHED, "changed": False}
    )


def test_a_transform_says_what_it_read_and_what_has_changed() -> None:
    lines = of(
        transform,
        {
            "staged_uri": "file:///lake/staging/silver.flights/r1",
            "staged_version": 0,
            "rows": 27_004,
            "inputs": {"bronze.flights": 3, "silver.planes": 1},
            "drift": [{"kind": "added", "column": "wings", "policy": "evolve"}],
            "fetch_began": "2026-01-01T00:00:00Z",
        },
    )
    assert lines[:4] == [
        "transform: done in 12.3 s",
        "rows: 27,004",
        "read: bronze.flights version 3, silver.planes version 1",
        "drift: 1",
    ]
    assert "column wings" in lines[4]


def test_a_verdict_says_its_word_and_each_warning() -> None:
    rules = [
        {"label": "dest is known", "action": "warn", "success": False, "level": "row", "broken": 4,
         "considered": 8, "missing": "silver.airports has not been published yet"},
        {"label": "tailnum is there", "action": "warn", "success": False, "level": "row", "broken": 1_200,
         "considered": 8_000, "missing": None},
        {"label": "within", "action": "warn", "success": True, "level": "row", "missing": None},
    ]  # fmt: skip
    told = {"table": "silver.flights", "passed": True, "reason": "x", "evaluated": 8_000, "rules": rules}
    assert summary("quality_gate", {**told, "quarantined_rows": 7}, 1.0) == [
        "quality_gate: done in 1.0 s",
        "verdict: passed with warnings",
        "  warning: dest is known: silver.airports has not been published yet",
        "  warning: tailnum is there: 1,200 of 8,000 rows break it",
        "rows: 8,000 judged, 7 to quarantine",
        "table: silver.flights",
    ]


def test_values_from_the_data_are_not_in_it_and_no_line_is_long() -> None:
    row = {"source_row_id": "f#1", "partition": "all", "reasons": ["r"], "values": {}, "record": "secret"}
    groups = [{"partition": "all", "reason": f"{'r' * 500} {number}", "rows": 1} for number in range(30)]
    lines = of(find_quarantined, {"rows": 30, "version": 1, "groups": groups, "examples": [row]})
    assert "secret" not in str(lines)
    assert max(map(len, lines)) <= 200
    assert lines[-1] == "  and 10 more"


def test_figures_of_a_fit_are_short() -> None:
    lines = of(
        fit_candidate,
        {
            "candidate": "tree",
            "model_uri": "file:///lake/models/x",
            "params": {"depth": 8},
            "validation": {"auc_roc": 0.70123456},
            "threshold": 0.4,
            "rows": {"train": 200_000, "test": 7},
            "seconds": 61.2345,
            "mlflow_run_id": "abc",
            "mlflow_url": "http://127.0.0.1:5000/#/x",
        },
    )
    assert {"validation: auc_roc 0.7012", "rows: train 200,000, test 7", "seconds: 61.23"} <= set(lines)


@pytest.mark.parametrize(
    ("months", "told"),
    [
        ([], ""),
        (["all"], "all"),
        (["2013-12", "2014-01"], "2013-12 to 2014-01"),
        (["2013-03", "2013-01"], "2013-01, 2013-03"),
    ],
)
def test_months_in_a_row_are_told_by_their_ends(months: list[str], told: str) -> None:
    assert spans(months) == told
