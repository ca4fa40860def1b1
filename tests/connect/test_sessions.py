"""A client's death does not stop the server: the next attempt ends what the dead one left, then writes."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from millstream.engines import sessions
from millstream.errors import ClusterError
from millstream.settings import Settings
from tests.support.waiting import until

BOUND_S = 120.0
# A client that was taken for dead: it begins something after its successor has started.
ZOMBIE = """
import sys
from millstream.engines import sessions
with sessions.connect(sys.argv[1], sys.argv[2], [], tag="zombie") as spark:
    spark.range(1).collect()
    print("here", flush=True)
    sys.stdin.readline()
    try:
        print(spark.range(1).collect())
    except Exception as error:
        print(error)
"""

# Some ten seconds of hashing on one core, so that it is killed before it has its answer.
ASKING = """
import sys
from millstream.engines import sessions
with sessions.connect(sys.argv[1], sys.argv[2], [], tag="asking") as spark:
    spark.range(0, 10_000_000, 1, 2).selectExpr("sha2(string(id), 512) AS h").where("h < '0'").count()
"""


def running_jobs(server: Settings) -> int:
    base = f"{server.spark_ui_url}/api/v1/applications"
    with urllib.request.urlopen(base, timeout=60) as answer:
        application = json.load(answer)[0]["id"]
    with urllib.request.urlopen(f"{base}/{application}/jobs?status=running", timeout=60) as answer:
        return len(json.load(answer))


def wait_for_jobs(server: Settings, wanted: bool) -> None:
    until(lambda: (running_jobs(server) > 0) == wanted, BOUND_S, f"running Spark jobs: {wanted}")


def test_a_retry_ends_the_killed_clients_write_before_it_writes(server: Settings, tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/table"
    first, second = "dag/run/task/-1/1", "dag/run/task/-1/2"
    script = Path(__file__).parents[1] / "support" / "slow_writer.py"
    client = subprocess.Popen([sys.executable, str(script), server.connect_url, first, uri])
    wait_for_jobs(server, wanted=True)
    os.kill(client.pid, signal.SIGKILL)
    client.wait(10)
    assert running_jobs(server) > 0, "the server goes on after its client's death"

    with sessions.connect(server.connect_url, second, [first], tag="retry") as spark:
        # The operation has ended; the web UI may learn of its cancelled Spark job a moment later.
        wait_for_jobs(server, wanted=False)
        spark.sql("SELECT 1 AS id, 'new' AS writer, 'x' AS h").write.format("delta").mode("overwrite").save(
            uri
        )
        assert [row["writer"] for row in spark.read.format("delta").load(uri).collect()] == ["new"]
        history = spark.sql(f"DESCRIBE HISTORY delta.`{uri}`").collect()
    assert [row["version"] for row in history] == [0], "the killed client's commit must never land"


def test_an_answer_that_nobody_takes_is_not_waited_for(server: Settings) -> None:
    attempt = "dag/run/asking/-1/1"
    client = subprocess.Popen([sys.executable, "-c", ASKING, server.connect_url, attempt])
    wait_for_jobs(server, wanted=True)
    os.kill(client.pid, signal.SIGKILL)
    client.wait(10)
    wait_for_jobs(server, wanted=False)
    # The server keeps the answer for seven minutes.
    assert sessions.end_operations(server.connect_url, attempt, timeout_s=20.0) == []


def test_a_retry_has_the_active_session_and_the_earlier_client_can_begin_nothing_more(
    server: Settings,
) -> None:
    first, second = "dag/run/zombie/-1/1", "dag/run/zombie/-1/2"
    zombie = subprocess.Popen(
        [sys.executable, "-c", ZOMBIE, server.connect_url, first],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert zombie.stdout is not None
    assert zombie.stdout.readline() == "here\n"
    with sessions.connect(server.connect_url, second, [first], tag="retry") as spark:
        # Libraries that are given a frame only, Great Expectations among them, ask for the active session.
        assert type(spark).getActiveSession() is spark
        answer, _ = zombie.communicate("go on\n", timeout=BOUND_S)
    assert "SESSION_CLOSED" in answer


def test_what_a_failing_client_leaves_is_ended_before_its_session_closes(server: Settings) -> None:
    with (
        pytest.raises(RuntimeError, match="on purpose"),
        sessions.connect(server.connect_url, "dag/run/fails/-1/1", [], tag="fails"),
    ):
        raise RuntimeError("on purpose")
    assert sessions.end_operations(server.connect_url, "dag/run/fails/-1/1") == []


def test_an_earlier_session_that_was_closed_is_no_error_in_the_tasks_log(
    server: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connect_log = logging.getLogger("pyspark.sql.connect.logging")
    # As Airflow has it.
    monkeypatch.setattr(connect_log, "disabled", False)
    with sessions.connect(server.connect_url, "dag/run/quiet/-1/1", [], tag="quiet") as spark:
        assert spark.range(1).count() == 1
    with sessions.connect(server.connect_url, "dag/run/quiet/-1/2", ["dag/run/quiet/-1/1"], tag="quiet"):
        assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []
        assert not connect_log.disabled


def test_what_a_task_lives_through_is_no_error_in_its_log_and_what_it_raises_is_short(
    server: Settings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    import pyspark.sql.connect.logging
    from pyspark.errors import AnalysisException, ArithmeticException
    from pyspark.sql import functions as F

    # As Airflow does, in a process that has imported PySpark already.
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    assert not pyspark.sql.connect.logging.logger.disabled
    with sessions.connect(server.connect_url, "dag/run/short/-1/1", [], tag="short") as spark:
        with pytest.raises(AnalysisException) as unknown:
            spark.range(1).select("nope").collect()
        with pytest.raises(ArithmeticException) as zero:
            spark.range(1).select(F.col("id") / F.lit(0)).collect()
        # Its results are not read to the end: what is left of them is released with the session.
        next(spark.range(100_000).toLocalIterator())
        spark.interruptAll()
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []
    assert "Error" not in capfd.readouterr().err
    for failure in (unknown, zero):
        assert "JVM stacktrace" not in str(failure.value)
        assert "org.apache.spark" not in str(failure.value)
    assert "\tat org.apache.spark" in (server.home / "server.log").read_text()


def test_an_attempt_always_has_the_same_session_and_no_other_has_it() -> None:
    assert sessions.session_id("a/1") == sessions.session_id("a/1")
    assert sessions.session_id("a/1") != sessions.session_id("a/2")


def test_a_server_that_is_not_there_is_a_cluster_error() -> None:
    with (
        pytest.raises(ClusterError, match=r"does not answer.*make status"),
        sessions.connect("sc://127.0.0.1:1", "a/1", [], tag="none"),
    ):
        pytest.fail("there is no server on port 1")
