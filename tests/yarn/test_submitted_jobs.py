"""Jobs that spark-submit hands to YARN, where their drivers outlive the tasks that submitted them."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from millstream.engines.submission import Submission, SubmittedJob
from millstream.engines.yarn import ResourceManager
from millstream.errors import ClusterError
from millstream.lake.storage import Storage
from millstream_airflow import catalog
from millstream_airflow.engines import Attempt, engine_for
from tests.support.chain import contract_of, month_zip, small_suite
from tests.support.flights_rows import AA1141, POSITIVE_DISTANCE, UA1545
from tests.support.hadoop import Yarn
from tests.support.submitted_chain import SubmittedChain
from tests.support.waiting import until

pytestmark = [pytest.mark.spark, pytest.mark.cluster, pytest.mark.timeout(900)]

FIRST_TRY = textwrap.dedent(
    """
    import json, sys
    from millstream_airflow.engines import Attempt, engine_for

    conn_id, job, arguments = sys.argv[1:]
    attempt = Attempt("ingest_flights", "r1", job, -1, 1)
    engine_for(conn_id).run(job, json.loads(arguments), attempt, {"MLFLOW_TRACKING_PASSWORD": "canary"})
    """
)


def test_a_retry_follows_the_job_of_a_task_that_was_killed(
    yarn: Yarn, manager: ResourceManager, lake: str, connection: str, tmp_path: Path
) -> None:
    chain = SubmittedChain(tmp_path, contract_of("flights"), small_suite(POSITIVE_DISTANCE), lake, connection)
    chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141))
    chain.land("r1", ["2013-01"])
    arguments = {"lake_root": lake, "run": "r1", "contract": chain.contract.model_dump(mode="json")}
    before = yarn.metrics()["appsSubmitted"]
    first = subprocess.Popen(
        [sys.executable, "-c", FIRST_TRY, connection, "load_bronze", json.dumps(arguments)],
        start_new_session=True,
    )
    retry = Attempt("ingest_flights", "r1", "load_bronze", -1, 2)
    submission = Submission(job="load_bronze", arguments=arguments)
    submitted = SubmittedJob(Storage(lake), retry.task, submission)
    try:
        until(lambda: bool(manager.tagged(submitted.own_tag)), 300, "the job on YARN")
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait(30)
    (running,) = manager.tagged(submitted.task_tag)

    result = engine_for(connection).run("load_bronze", arguments, retry, {})

    assert result["rows"] == 2
    ended = manager.application(running.id)
    assert (ended.state, ended.succeeded) == ("FINISHED", True)
    assert yarn.metrics()["appsSubmitted"] == int(str(before)) + 1
    # Nothing of it is left, the login of the first try least of all.
    assert [Storage(lake).list(folder) for folder in ("submissions", "outcomes")] == [[], []]


def test_a_job_whose_driver_waits_for_an_executor_says_so(
    yarn: Yarn,
    manager: ResourceManager,
    lake: str,
    connection: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It runs, for YARN: its driver does. The node has room for either, not for both."""
    caplog.set_level(logging.WARNING, logger="millstream.engines.yarn")
    conf = catalog.yarn_conf()
    monkeypatch.setattr(catalog, "yarn_conf", lambda: {**conf, "spark.executor.memory": "4608m"})
    chain = SubmittedChain(tmp_path, contract_of("flights"), small_suite(POSITIVE_DISTANCE), lake, connection)
    chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141))
    chain.land("r1", ["2013-01"])
    arguments = {"lake_root": lake, "run": "r1", "contract": chain.contract.model_dump(mode="json")}
    attempt = Attempt("ingest_flights", "r1", "load_bronze", -1, 1)
    engine = engine_for(connection)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(engine.run, "load_bronze", arguments, attempt, {})
        try:
            until(lambda: bool(caplog.messages) or running.done(), 300, "a word of the executor")
        finally:
            engine.kill()
        with pytest.raises(ClusterError, match="was killed without an outcome"):
            running.result(120)
    [said] = caplog.messages
    assert re.match(r"application_\d+_\d+ waits for 1 containers, having 1, queue root.default: \d+ MB", said)
    assert "What to do: wait, end what holds the queue, or give it more" in said
