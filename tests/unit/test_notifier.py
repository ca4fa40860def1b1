"""What an alert says: what to do first, in lines, and nothing of Java's stack."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from millstream import errors
from millstream.errors import QualityGateError, TransformError
from millstream_airflow.notifier import WIDTH, FailureNotifier, describe

STACK = "\n\nJVM stacktrace:\norg.apache.spark.sql.AnalysisException\n\tat org.apache.spark.sql.x(C.scala)"


def context(error: object) -> Any:
    ti = SimpleNamespace(
        dag_id="ingest_flights", task_id="publish", run_id="manual__1", log_url="http://127.0.0.1:8080/log"
    )
    return {"ti": ti, "exception": error}


def test_the_remedy_comes_first_and_the_rest_in_lines() -> None:
    what = (
        "silver.flights, run r1: 3 rows break the CHECK long (distance_mi >= 500), for example x.zip#4. " * 3
    )
    message = describe(
        context(TransformError(f"{what}What to do: correct the check in transforms/flights.py"))
    )
    lines = message["text"].splitlines()
    assert lines[:4] == [
        "ingest_flights.publish failed in run manual__1 (TransformError)",
        "What to do:",
        "  correct the check in transforms/flights.py",
        "What happened:",
    ]
    assert lines[-1] == "http://127.0.0.1:8080/log"
    assert " ".join(line.strip() for line in lines[4:-1]) == what.strip()
    assert max(map(len, lines)) <= WIDTH
    assert message["error"].startswith("TransformError: silver.flights, run r1: 3 rows")


def test_a_value_of_the_data_is_not_taken_for_the_remedy() -> None:
    told = (
        "3 rows, for example name=What to do: call 123. Nothing was published. What to do: correct the check"
    )
    lines = describe(context(TransformError(told)))["text"].splitlines()
    assert lines[2:5] == [
        "  correct the check",
        "What happened:",
        "  3 rows, for example name=What to do: call 123. Nothing was published.",
    ]


def test_an_error_without_a_remedy_of_its_own_has_that_of_its_class() -> None:
    text = describe(context(QualityGateError("no verdict")))["text"]
    assert f"What to do:\n  {QualityGateError.remedy[:80]}" in text
    assert "What happened:\n  no verdict" in text
    assert "clear the task to try again" in describe(context(KeyError("x")))["text"]
    # A run that took too long has no exception.
    assert "What happened:\n  timed_out" in describe({**context(None), "reason": "timed_out"})["text"]


def test_no_stack_of_java_is_in_an_alert() -> None:
    for raised in (STACK, ": [DELTA_X] wrong" + STACK[17:]):
        message = describe(context(Exception(f"[UNRESOLVED_COLUMN] no such column{raised}")))
        assert "[UNRESOLVED_COLUMN] no such column" in message["text"]
        assert "\tat " not in message["text"] + message["error"]


def test_each_line_is_an_entry_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    FailureNotifier().notify(context(QualityGateError("no verdict")))
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if "ALERT ingest_flights.publish failed" in line]
    assert [line for line in out.splitlines() if line.split("]", 1)[-1].strip().startswith("What to do:")]


def test_every_kind_of_error_says_what_to_do() -> None:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and not one.__subclasses__()]
    remedies = [one.__dict__.get("remedy") for one in kinds if issubclass(one, errors.MillstreamError)]
    assert len(remedies) > 10
    assert all(remedies)
    assert len(set(remedies)) == len(remedies)
