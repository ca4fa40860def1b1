"""A job that is submitted writes a table of the lake, at the same time as the Connect server writes it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from deltalake import DeltaTable

from millstream.engines import sessions
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream_demo import reference
from tests.support.chain import Chain, contract_of, month_zip, small_suite

BRONZE = TableRef.parse("bronze.flights")
JANUARY, FEBRUARY = "2013-01", "2013-02"
ROWS = 20
PAUSE_S = 2.0
DISTANCE = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "distance_mi", "min_value": 1},
    "severity": "critical",
    "meta": {},
}


def deliver(chain: Chain, month: str) -> None:
    start = f"2013,{int(month[-2:])},".encode()
    lines = (line.decode().strip() for line in reference.flight_lines() if line.startswith(start))
    chain.put(f"flights/flights_{month}.csv.zip", month_zip(*itertools.islice(lines, ROWS)))


def rows_by_run(root: str) -> dict[str, int]:
    runs = DeltaTable(BRONZE.uri(root)).to_pyarrow_table(columns=["_ingest_run"]).column(0).to_pylist()
    return {run: runs.count(run) for run in set(runs)}


@pytest.mark.thorough
def test_a_submitted_job_and_the_server_write_one_table_at_once(server: Settings, tmp_path: Path) -> None:
    chain = Chain(None, tmp_path, contract_of("flights"), small_suite(DISTANCE))  # type: ignore[arg-type]
    for month in (JANUARY, FEBRUARY):
        deliver(chain, month)
        chain.land(month, [month])
    environment = {
        **os.environ,
        "MILLSTREAM_LAKE_ROOT": chain.root,
        "AIRFLOW_CONN_SUBMITTED": json.dumps({"conn_type": "spark", "host": "local[1]"}),
    }
    script = str(Path(__file__).parents[1] / "support" / "submitted_load.py")
    with sessions.connect(server.connect_url, f"{chain.root}/1", [], tag="beside") as chain.spark:
        chain.load_bronze(JANUARY)
        log = tmp_path / "submitted.log"
        with log.open("wb") as stream:
            submitted = subprocess.Popen(
                [sys.executable, script, "flights", FEBRUARY], env=environment, stdout=stream, stderr=stream
            )
        while submitted.poll() is None:
            chain.load_bronze(JANUARY)
            # Two cores for both: the other has its turn.
            with suppress(subprocess.TimeoutExpired):
                submitted.wait(PAUSE_S)
        assert submitted.returncode == 0, log.read_text()
        chain.load_bronze(JANUARY)
        assert rows_by_run(chain.root) == {JANUARY: ROWS, FEBRUARY: ROWS}

        # What the submitted job has loaded is carried on by the server.
        staged = chain.transform(FEBRUARY)
        chain.judge(FEBRUARY, staged)
        assert chain.publish(FEBRUARY, staged, [FEBRUARY])["written"] == ROWS

    commits = reversed(history.read(BRONZE, chain.root).commits)
    runs = [json.loads(commit.metadata)["run"] for commit in commits if commit.metadata]
    assert runs.count(FEBRUARY) == 1
    # More than the one before the job was submitted: the server wrote while it ran.
    assert runs.index(FEBRUARY) > 1
