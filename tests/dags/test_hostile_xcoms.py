"""An XCom that was edited in Airflow: the task that takes it refuses, and touches nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.context import set_current_context

from millstream.errors import ConfigurationError
from millstream.lake.storage import Storage
from millstream.landing.manifest import manifests_of
from millstream_airflow.pipelines import ingest


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    (tmp_path / "drop" / "airports").mkdir(parents=True)
    (tmp_path / "drop" / "airports" / "airports.xml").write_text("<airports><airport/></airports>")
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
    connection = f'{{"conn_type": "fs", "extra": {{"path": "{tmp_path}/drop"}}}}'
    monkeypatch.setenv("AIRFLOW_CONN_DEMO_DROP", connection)
    return Storage(f"file://{tmp_path}/lake")


def called(task: Any, *arguments: Any) -> Any:
    context: Any = {"params": {}, "dag_run": SimpleNamespace(run_id="manual__1"), "data_interval_start": None}
    with set_current_context(context):
        return task.function(*arguments)


@pytest.mark.parametrize("partition", ["../../../../escaped", "2013-13", ""])
def test_extract_lands_nothing_outside_of_landing(lake: Storage, tmp_path: Path, partition: str) -> None:
    (piece,) = called(ingest.plan, "airports")
    with pytest.raises(ConfigurationError, match=r"airports: not a slice .*partition: .*Clear the plan task"):
        called(ingest.extract, "airports", {"files": [{**piece["files"][0], "partition": partition}]})
    assert sorted(one.name for one in tmp_path.iterdir()) == ["drop", "lake"]


@pytest.mark.parametrize(
    "path", ["../drop/airports/airports.xml", "silver/planes", "", "landing/planes/0123456789ab-planes.csv"]
)
def test_land_takes_only_what_lies_in_the_datasets_landing_folder(lake: Storage, path: str) -> None:
    (piece,) = called(ingest.plan, "airports")
    (file,) = called(ingest.extract, "airports", piece)
    with pytest.raises(
        ConfigurationError, match=r"airports: not what extract returned: .*Clear the run's extract"
    ):
        called(ingest.land, "airports", [[{**file, "path": path}]])
    assert manifests_of(lake, "airports") == []
    assert called(ingest.land, "airports", [[file]])["files"] == 1


@pytest.mark.parametrize("fetched", [[None], None, [1], [[None]]])
def test_land_names_an_xcom_that_is_no_list_of_files(lake: Storage, fetched: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"airports: not what extract returned: .*Clear the run's extract"
    ):
        called(ingest.land, "airports", fetched)
    assert manifests_of(lake, "airports") == []
