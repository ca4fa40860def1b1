"""Hadoop's local runner with the job of route delay statistics: counters, errors, and how it ends.

`test_route_statistics.py` compares what the job makes of real flights with Spark's own aggregation.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from millstream.engines.mapreduce import ROUTE_DELAY_STATISTICS, Counters, LocalRunner, StreamingJob
from millstream.errors import ClusterError, TransformError
from millstream.settings import Settings

pytestmark = pytest.mark.spark

FLIGHT = "2013-01\tUA\tEWR\tIAH\t5\t11\n"


def run(job: StreamingJob, folder: Path) -> Counters:
    scratch = folder / "scratch"
    scratch.mkdir()
    try:
        # Relative to where the caller is; Hadoop is elsewhere.
        jars = Path(os.path.relpath(Settings().home / "jars"))
        runner = LocalRunner(jars=jars, scratch=scratch)
        return runner.run(job, folder / "input", folder / "gold" / "output")
    finally:
        assert list(scratch.iterdir()) == []


def test_several_maps_are_combined_and_added_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="millstream.engines.mapreduce")
    (tmp_path / "input").mkdir()
    for number in range(3):
        (tmp_path / "input" / f"flights-{number}.txt").write_text(FLIGHT * 1000)
    counters = run(ROUTE_DELAY_STATISTICS, tmp_path)
    assert counters["Route delay statistics"] == {"Flights": 3000, "Malformed lines": 0}
    assert counters["Map-Reduce Framework"]["Combine input records"] == 3000
    assert counters["Map-Reduce Framework"]["Reduce input records"] == 3
    assert counters["Map-Reduce Framework"]["Reduce output records"] == 1
    assert "map 100% reduce 100%" in caplog.text
    assert "Malformed lines=0" in caplog.text


def test_a_malformed_line_fails_the_job_and_leaves_no_output(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "flights.txt").write_text(FLIGHT + "2013-01\tUA\n" + FLIGHT)
    with pytest.raises(TransformError, match=r"flights\.txt from byte 0, line 2: it has 2 columns, not 6"):
        run(ROUTE_DELAY_STATISTICS, tmp_path)
    assert not (tmp_path / "gold" / "output").exists()


@pytest.mark.parametrize(
    ("end", "error", "said"),
    [
        ("raise SystemExit('this script cannot go on')", TransformError, "this script cannot go on"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", ClusterError, "code 137"),
    ],
    ids=["it fails", "it is killed"],
)
def test_a_script_that_ends_before_its_input_does(
    end: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "flights.txt").write_text(FLIGHT * 50_000)
    script = tmp_path / "ending.py"
    script.write_text(f"import sys\nsys.stdin.readline()\n{end}\n")
    with pytest.raises(error, match=said):
        run(replace(ROUTE_DELAY_STATISTICS, script=script), tmp_path)
    assert not (tmp_path / "gold" / "output").exists()


def test_an_input_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="Input path does not exist"):
        run(ROUTE_DELAY_STATISTICS, tmp_path)


def test_the_environment_of_the_caller_stays_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SECRET", "hidden")
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "flights.txt").write_text(FLIGHT)
    script = tmp_path / "environment.py"
    script.write_text("import os\nfor name in os.environ: print(f'{name}\\t1')\n")
    # Relative paths are the caller's, too.
    monkeypatch.chdir(tmp_path)
    run(StreamingJob(script, 1), Path())
    names = (tmp_path / "gold" / "output" / "part-00000").read_text().split()
    assert "PATH" in names
    assert "AIRFLOW_CONN_SECRET" not in names


class Cancelled(BaseException):
    """As Airflow raises one in a task whose time is over."""


@pytest.mark.timeout(60)
def test_a_caller_that_is_cancelled_does_not_wait_for_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def cancel(record: logging.LogRecord) -> bool:
        raise Cancelled(record.getMessage())

    caplog.set_level(logging.INFO, logger="millstream.engines.mapreduce")
    monkeypatch.setattr(logging.getLogger("millstream.engines.mapreduce"), "filters", [cancel])
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "flights.txt").write_text(FLIGHT)
    script = tmp_path / "endless.py"
    # It ends when Hadoop does; should nobody end that, in two minutes.
    script.write_text(
        "import os, time\nhadoop, end = os.getppid(), time.monotonic() + 120\n"
        "while os.getppid() == hadoop and time.monotonic() < end:\n    time.sleep(0.1)\n"
    )
    with pytest.raises(Cancelled):
        run(replace(ROUTE_DELAY_STATISTICS, script=script), tmp_path)
    assert not (tmp_path / "gold" / "output").exists()
