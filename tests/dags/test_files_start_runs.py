"""A file that comes starts a run: with Airflow's own triggerer, scheduler and tasks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest, manifests_of
from millstream.settings import CHECKOUT
from tests.support.loopback import free_ports
from tests.support.other_places import MONTHLY, contract, put
from tests.support.waiting import until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]
LANDED_WITHIN_S = 300.0
STOPPED_WITHIN_S = 60.0


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def lake(drop: Path, tmp_path: Path) -> Iterator[Storage]:
    """That of a whole Airflow, in whose project `things` are watched."""
    project = tmp_path / "project"
    (project / "dags" / "datasets").mkdir(parents=True)
    of = contract("{partition}/*.csv", watch_seconds=1, **MONTHLY).model_dump(mode="json", exclude_unset=True)
    (project / "dags" / "datasets" / "things.yaml").write_text(yaml.safe_dump(of))
    written = "from millstream_airflow.pipelines.ingest import ingest_dag\n\ndag = ingest_dag('things')\n"
    (project / "dags" / "ingest_things.py").write_text(written)
    log = tmp_path / "airflow.log"
    with log.open("wb") as out:
        airflow = subprocess.Popen(
            [str(Path(sys.executable).with_name("airflow")), "standalone"],
            env=environment(tmp_path, project, drop),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield Storage(f"file://{tmp_path}/lake")
    except BaseException:
        sys.stderr.write(log.read_text()[-5000:])
        raise
    finally:
        # It and what it has started: asked to end, its scheduler stays for the tasks that have not.
        os.killpg(airflow.pid, signal.SIGKILL)
        airflow.wait(STOPPED_WITHIN_S)


def environment(home: Path, project: Path, drop: Path) -> dict[str, str]:
    ports = free_ports("api", "worker_log", "trigger_log")
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "MILLSTREAM_"))
    }
    return {
        **ours,
        # It calls itself by its name.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(ports["api"]),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{ports['api']}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports["trigger_log"]),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports["worker_log"]),
        "AIRFLOW_CONN_OTHER_PLACE": json.dumps({"conn_type": "fs", "extra": {"path": str(drop)}}),
        "MILLSTREAM_HOME": str(home),
        "MILLSTREAM_LAKE_ROOT": f"file://{home}/lake",
        "MILLSTREAM_PROJECT": str(project),
    }


def test_a_file_that_comes_is_landed_by_a_run_about_its_month(drop: Path, lake: Storage) -> None:
    def landed() -> list[Manifest]:
        return manifests_of(lake, "things")

    put(drop / "2024-03" / "a.csv")
    until(lambda: bool(landed()), LANDED_WITHIN_S, "the file to be landed")
    (manifest,) = landed()
    assert manifest.run.startswith("asset_triggered__")
    assert manifest.partitions == ("2024-03",)
    assert [file.source for file in manifest.files] == ["2024-03/a.csv"]
