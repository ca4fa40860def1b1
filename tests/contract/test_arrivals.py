"""Files that start runs: the trigger on real places, as the triggerer runs it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from millstream.contracts.contract import Contract
from millstream.errors import ContractError
from millstream_airflow import catalog
from millstream_airflow.periods import periods_of_run
from millstream_airflow.tasks import watch_files
from millstream_airflow.tasks.watch_files import FilesTrigger
from tests.support.loopback import free_port, serve
from tests.support.other_places import MONTHLY, OLD, contract, land, put, web_app, web_connection
from tests.support.sftp_server import SftpServer

BOUND_S = 30.0


class Watched:
    """A dataset `things` whose files lie in `drop`, and whoever watches them."""

    def __init__(self, folder: Path, drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.drop = drop
        self.lake = f"file://{folder}/lake"
        self._datasets = folder / "project" / "dags" / "datasets"
        self._datasets.mkdir(parents=True)
        self._loop = asyncio.new_event_loop()
        self._next: Any = None
        self._looks = 0
        read = catalog.contract
        monkeypatch.setattr(catalog, "contract", lambda dataset: self._counted(read(dataset)))
        self.start_anew()

    def _counted(self, of: Contract) -> Contract:
        """Each look begins with the contract."""
        self._looks += 1
        return of

    def declare(self, path: str, **more: Any) -> None:
        of = contract(path, watch_seconds=1, **more).model_dump(mode="json", exclude_unset=True)
        (self._datasets / "things.yaml").write_text(yaml.safe_dump(of))

    def start_anew(self) -> None:
        """As a triggerer that takes it out of the database."""
        path, arguments = FilesTrigger("things").serialize()
        assert path == "millstream_airflow.tasks.watch_files.FilesTrigger"
        self._events = FilesTrigger(**arguments).run()

    def event(self) -> dict[str, Any]:
        """The next one."""
        waiting = self._next or anext(aiter(self._events))
        self._next = None
        event = self._loop.run_until_complete(asyncio.wait_for(waiting, BOUND_S))
        payload: dict[str, Any] = json.loads(json.dumps(event.payload))
        return payload

    def look_again(self, times: int) -> None:
        """Until the source has been looked at in vain so often; none of that is an event."""
        self._next = self._next or self._loop.create_task(anext(aiter(self._events)))

        async def looked() -> None:
            while self._looks <= times:
                await asyncio.sleep(0.05)

        self._looks = 0
        self._loop.run_until_complete(asyncio.wait_for(looked(), BOUND_S))
        assert not self._next.done()

    def files(self) -> list[str]:
        event = self.event()
        assert event["count"] == len(event["files"])
        names: list[str] = event["files"]
        return names

    def land(self, run: str) -> None:
        land(self.lake, catalog.contract("things"), run, ())

    def close(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


Start = Callable[[Path, str], Watched]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Watches the files of a folder that a connection leads to."""
    started = []

    def start(drop: Path, connection: str) -> Watched:
        drop.mkdir(exist_ok=True)
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", connection)
        monkeypatch.setenv("MILLSTREAM_PROJECT", str(tmp_path / "project"))
        monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
        started.append(Watched(tmp_path, drop, monkeypatch))
        return started[-1]

    yield start
    for watched in started:
        watched.close()


@pytest.fixture
def watched(start: Start, tmp_path: Path) -> Watched:
    drop = tmp_path / "drop"
    return start(drop, json.dumps({"conn_type": "fs", "extra": {"path": str(drop)}}))


@pytest.fixture
def on_sftp(sftp_server: SftpServer, start: Start, tmp_path: Path) -> Watched:
    drop = sftp_server.files / tmp_path.name
    return start(drop, sftp_server.connection(path=str(drop)))


@pytest.fixture(params=["watched", "on_sftp"])
def anywhere(request: pytest.FixtureRequest) -> Watched:
    watched: Watched = request.getfixturevalue(request.param)
    return watched


def test_new_and_changed_files_start_a_run_and_those_that_have_landed_do_not(anywhere: Watched) -> None:
    anywhere.declare("in/**/*.csv")
    put(anywhere.drop / "in/a.csv")
    assert anywhere.files() == ["in/a.csv"]
    # Before the run has landed anything: what nobody has fetched must not be lost.
    anywhere.start_anew()
    assert anywhere.files() == ["in/a.csv"]
    anywhere.land("r1")
    anywhere.start_anew()
    put(anywhere.drop / "in/deep/b.csv")
    assert anywhere.files() == ["in/deep/b.csv"]
    put(anywhere.drop / "in/a.csv", "id\n2\n", OLD + 60)
    assert anywhere.files() == ["in/a.csv"]
    anywhere.land("r2")
    # A run that did not have it took its rows out of the table.
    shutil.move(anywhere.drop / "in/a.csv", anywhere.drop / "away")
    anywhere.land("r3")
    put(anywhere.drop / "in/c.csv")
    assert anywhere.files() == ["in/c.csv"]
    shutil.move(anywhere.drop / "away", anywhere.drop / "in/a.csv")
    assert anywhere.files() == ["in/a.csv"]


def test_files_that_may_be_written_still_start_none(watched: Watched) -> None:
    watched.declare("*.csv")
    put(watched.drop / "a.csv", modified=time.time())
    put(watched.drop / "b.csv.part")
    put(watched.drop / "_c.csv")
    put(watched.drop / "d.csv")
    assert watched.files() == ["d.csv"]
    put(watched.drop / "a.csv", "id\n1\n2\n")
    (watched.drop / "b.csv.part").rename(watched.drop / "b.csv")
    assert watched.files() == ["a.csv", "b.csv"]


def test_a_file_that_is_named_starts_one_when_it_is_quiet(watched: Watched) -> None:
    watched.declare("a.csv", quiet_seconds=2)
    began = time.monotonic()
    put(watched.drop / "a.csv", modified=time.time())
    assert watched.files() == ["a.csv"]
    assert time.monotonic() - began > 1


def test_files_of_a_web_server(start: Start, tmp_path: Path) -> None:
    drop = tmp_path / "served"
    with serve(web_app(drop)) as url:
        watched = start(drop, web_connection(url))
        watched.declare("files/a.csv")
        put(drop / "a.csv")
        assert watched.files() == ["files/a.csv"]
        watched.land("r1")
        watched.start_anew()
        put(drop / "a.csv", "id\n2\n", OLD + 60)
        assert watched.files() == ["files/a.csv"]


def test_a_web_server_is_asked_for_the_file_of_each_month(start: Start, tmp_path: Path) -> None:
    drop = tmp_path / "served"
    with serve(web_app(drop)) as url:
        watched = start(drop, web_connection(url))
        watched.declare("files/{partition}.csv", **MONTHLY, end_date="2024-04-30")
        for month in ("2023-12", "2024-01", "2024-03", "2024-05"):
            put(drop / f"{month}.csv")
        event = watched.event()
        assert event["files"] == ["files/2024-01.csv", "files/2024-03.csv"]
        assert event["partitions"] == ["2024-01", "2024-03"]
        put(drop / "2024-04.csv", modified=time.time())
        put(drop / "2024-03.csv", "id\n2\n", OLD + 60)
        assert watched.event()["partitions"] == ["2024-03"]


def test_the_run_is_about_the_months_of_the_files(watched: Watched) -> None:
    watched.declare("{partition}/*.csv", **MONTHLY)
    # One that the source does not have would fail the run of all.
    for month in ("2024-02", "2024-05", "2023-12", "2999-01"):
        put(watched.drop / month / "a.csv")
    event = watched.event()
    assert (event["files"], event["partitions"]) == (
        ["2024-02/a.csv", "2024-05/a.csv"],
        ["2024-02", "2024-05"],
    )
    later = {"files": ["2024-06/a.csv"], "count": 1, "partitions": ["2024-06"]}
    assert months_by(event, later) == ["2024-02", "2024-05", "2024-06"]
    watched.land("r1")
    watched.start_anew()
    put(watched.drop / "2024-05" / "b.csv")
    assert watched.event()["partitions"] == ["2024-05"]


@pytest.mark.parametrize("payload", [None, "2024-02", {"partitions": 5}, {"trouble": "down"}])
def test_an_event_without_months_starts_a_run_of_the_newest(watched: Watched, payload: Any) -> None:
    watched.declare("{partition}/*.csv", **MONTHLY, end_date="2024-03-31")
    assert months_by(payload) == ["2024-03"]


def months_by(*payloads: Any) -> list[str]:
    events = [SimpleNamespace(extra={"from_trigger": True, "payload": payload}) for payload in payloads]
    of = catalog.contract("things")
    run = SimpleNamespace(run_after=datetime.now(UTC), run_type="asset_triggered")
    context: Any = {"dag_run": run, "params": {}, "triggering_asset_events": {"files": events}}
    return periods_of_run(of, context)


def test_trouble_that_a_person_must_end_starts_one_run_at_once(
    on_sftp: Watched, sftp_server: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_sftp.declare("*.csv")
    right = os.environ["AIRFLOW_CONN_OTHER_PLACE"]
    wrong = sftp_server.connection("other_key", path=str(on_sftp.drop))
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", wrong)
    put(on_sftp.drop / "a.csv")
    told = on_sftp.event()
    assert list(told) == ["trouble"]
    assert "refused the login" in told["trouble"]
    assert "Correct connection other_place" in told["trouble"]
    # The same trouble again is no event.
    on_sftp.look_again(2)
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", right)
    assert on_sftp.files() == ["a.csv"]


def test_a_server_that_is_away_for_long_starts_a_run_that_says_so(
    on_sftp: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_sftp.declare("*.csv")
    right = json.loads(os.environ["AIRFLOW_CONN_OTHER_PLACE"])
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps({**right, "port": free_port()}))
    on_sftp.look_again(2)
    monkeypatch.setattr(watch_files, "PATIENCE_S", 0)
    assert "another try will follow" in on_sftp.event()["trouble"]
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", json.dumps(right))
    put(on_sftp.drop / "a.csv")
    assert on_sftp.files() == ["a.csv"]


def test_a_look_takes_the_connection_of_the_last_one(on_sftp: Watched) -> None:
    """A triggerer looks for months."""
    on_sftp.declare("*.csv")
    opened = []
    for number in range(4):
        put(on_sftp.drop / f"{number}.csv")
        assert on_sftp.files() == [f"{number}.csv"]
        opened.append(len(os.listdir("/proc/self/fd")))
    assert opened[-1] <= opened[0]


def test_a_connection_that_is_corrected_is_used(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.declare("*.csv")
    put(watched.drop / "a.csv")
    assert watched.files() == ["a.csv"]
    put(watched.drop / "moved" / "b.csv")
    there = json.dumps({"conn_type": "fs", "extra": {"path": str(watched.drop / "moved")}})
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PLACE", there)
    assert watched.files() == ["b.csv"]


def test_files_start_the_runs_or_a_schedule_does() -> None:
    with pytest.raises(
        ContractError, match=r"source\.watch_seconds: files start the runs; leave schedule out"
    ):
        contract("*.csv", watch_seconds=60, schedule="@daily")


@pytest.mark.parametrize("value", [0, -60, True, "soon", 0.5, 86_401])
def test_an_interval_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ContractError, match=r"source\.watch_seconds: "):
        contract("*.csv", watch_seconds=value)
