"""The demo's runner: when it counts the chain as finished, and what it shows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake
from rich.console import Console

from millstream.errors import ClusterError
from millstream.lake.accounts import Account, PartitionCounts
from millstream_stack.clients.airflow_api import Run, Task
from millstream_stack.commands import demo
from millstream_stack.commands.progress import Progress

BEGAN = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
INGEST = Run("ingest_flights", "manual__1", "running", BEGAN, None)
FEATURES = Run("build_features", "asset_triggered__1", "running", BEGAN + timedelta(seconds=60), None)
TRANSFORM = Task("ingest_flights", "manual__1", "transform", -1, "running", 1, BEGAN, None)


def ended(run: Run, state: str = "success") -> Run:
    return replace(run, state=state, ended=BEGAN + timedelta(seconds=90))


class ScriptedAirflow:
    """Answers as Airflow would, one scene a look: the runs, and the DAGs for which asset events wait."""

    def __init__(self, *scenes: tuple[list[Run], set[str]]) -> None:
        self._scenes: Iterator[tuple[list[Run], set[str]]] = iter(scenes)
        self._runs: list[Run] = []
        self._waiting: set[str] = set()

    def assets(self) -> list[dict[str, Any]]:
        return [{"name": "silver.flights", "scheduled_dags": [{"dag_id": "build_features"}]}]

    def runs_since(self, moment: datetime) -> list[Run]:
        self._runs, self._waiting = next(self._scenes)
        return self._runs

    def tasks_since(self, moment: datetime) -> list[Task]:
        return [TRANSFORM]

    def set_off_since(self, moment: datetime) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        return [(INGEST.key, FEATURES.key)]

    def active_runs(self) -> list[Run]:
        return [run for run in self._runs if run.active]

    def asset_events_wait_for(self, dag_id: str) -> bool:
        return dag_id in self._waiting

    def unpause(self, dag_id: str) -> None:
        pass

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> Run:
        return Run(dag_id, "manual__1", "queued", BEGAN, None)


def ingests_of(lake_root: str, *datasets: str) -> demo.Ingests:
    names = [f"ingest_{dataset}" for dataset in (*datasets, "airlines", "airports", "planes", "flights")]
    dags = {name: {"dag_id": name, "is_paused": True} for name in (*names, "build_features")}
    return demo.Ingests(ScriptedAirflow(), dags, lake_root)  # type: ignore[arg-type]


def ids(keys: set[tuple[str, str]]) -> set[str]:
    return {dag_id for dag_id, _ in keys}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "POLL_S", 0.0)


def follow(airflow: ScriptedAirflow, **options: Any) -> list[Run]:
    runs, _ = demo.follow(airflow, BEGAN, {INGEST.key}, lambda *_: None, **options)  # type: ignore[arg-type]
    return runs


def test_it_waits_for_what_the_published_assets_set_off() -> None:
    airflow = ScriptedAirflow(
        ([INGEST], set()),
        ([ended(INGEST)], {"build_features"}),
        ([ended(INGEST), FEATURES], set()),
        ([ended(INGEST), ended(FEATURES)], set()),
    )

    assert follow(airflow) == [ended(INGEST), ended(FEATURES)]


def test_flights_come_when_the_tables_that_they_are_looked_up_in_have_come(tmp_path: Path) -> None:
    ingests = ingests_of(f"file://{tmp_path}", "weather")
    assert ids(ingests.triggered) == {
        f"ingest_{name}" for name in ("airlines", "airports", "planes", "weather")
    }
    runs = {name: Run(name, "manual__1", "running", BEGAN, None) for name in ids(ingests.triggered)}

    assert ingests.start_due(list(runs.values()))
    for name, state in (("ingest_airlines", "success"), ("ingest_airports", "success")):
        runs[name] = ended(runs[name], state)
        assert ingests.start_due(list(runs.values()))
    assert "ingest_flights" not in ids(ingests.triggered)
    # One that failed brings nothing by waiting, and weather is looked up by nobody.
    runs["ingest_planes"] = ended(runs["ingest_planes"], "failed")
    assert not ingests.start_due(list(runs.values()))
    assert "ingest_flights" in ids(ingests.triggered)


def test_where_the_tables_are_there_already_nothing_waits(tmp_path: Path) -> None:
    for name in ("airlines", "airports", "planes"):
        empty = pa.table({"name": pa.array([], pa.string())})
        whole = PartitionCounts(read=0, written=0, quarantined=0, deduplicated=0, content_hash="0")
        account = Account(
            table=f"silver.{name}",
            run="r1",
            partitions={"all": whole},
            verdict={},
            suite_version="1",
            code_version="1",
        )
        properties = CommitProperties(custom_metadata={"userMetadata": account.model_dump_json()})
        write_deltalake(tmp_path / "silver" / name, empty, commit_properties=properties)

    assert "ingest_flights" in ids(ingests_of(f"file://{tmp_path}").triggered)


def test_it_does_not_end_while_an_ingest_waits_for_others() -> None:
    flights = replace(INGEST, dag_id="ingest_flights", run_id="manual__2")
    still_to_come = [True, True, False]
    airflow = ScriptedAirflow(
        ([ended(INGEST)], set()), ([ended(INGEST)], set()), ([ended(INGEST), ended(flights)], set())
    )

    assert len(follow(airflow, start_due=lambda runs: still_to_come.pop(0))) == 1
    assert still_to_come == []


def test_other_runs_of_the_same_time_are_not_its_own() -> None:
    other = Run("ingest_flights", "scheduled__1", "failed", BEGAN, BEGAN)

    assert follow(ScriptedAirflow(([ended(INGEST), other], set()))) == [ended(INGEST)]


def test_what_somebody_starts_beside_it_does_not_count() -> None:
    """A run of a DAG that its own events set off too."""
    other = Run("build_features", "manual__7", "failed", BEGAN, BEGAN)

    looked = follow(ScriptedAirflow(([ended(INGEST), ended(FEATURES), other], set())))

    assert looked == [ended(INGEST), ended(FEATURES)]


def test_what_its_runs_set_off_is_its_own_however_far() -> None:
    pairs = [(("b", "2"), ("c", "3")), (("x", "1"), ("y", "1")), (("a", "1"), ("b", "2"))]

    assert demo.own_runs({("a", "1")}, pairs) == {("a", "1"), ("b", "2"), ("c", "3")}


def test_a_run_of_somebody_else_that_waits_for_a_person_does_not_keep_it_waiting() -> None:
    waits = Run("replay_quarantine", "manual__2", "running", BEGAN, None)

    assert follow(ScriptedAirflow(([ended(INGEST), waits], set()))) == [ended(INGEST)]


def test_a_failed_run_does_not_keep_it_waiting() -> None:
    assert follow(ScriptedAirflow(([ended(INGEST, "failed")], set()))) == [ended(INGEST, "failed")]


def test_a_chain_that_stands_still_is_an_error_that_names_it() -> None:
    airflow = ScriptedAirflow(*[([INGEST], set())] * 3)

    with pytest.raises(ClusterError, match="nothing has changed for 0 s; waiting for: ingest_flights"):
        follow(airflow, stall_timeout_s=0.0)


def test_the_errors_of_a_log_are_shown_with_their_exceptions() -> None:
    log = [
        {"event": "Task started", "level": "info"},
        {
            "event": "Task failed with exception",
            "level": "error",
            "error_detail": [
                {"exc_type": "SourceDataError", "exc_value": "flights_2013-01.csv.zip: truncated"}
            ],
        },
        {"event": "Post Execute", "level": "info"},
    ]

    assert demo.error_lines(log) == [
        "Task failed with exception",
        "SourceDataError: flights_2013-01.csv.zip: truncated",
    ]


def test_the_alert_of_a_log_is_shown_from_its_start() -> None:
    alert = ["ALERT x.publish failed", "What to do:", "  correct it", *(f"  line {n}" for n in range(100))]
    log = [{"event": line, "level": "error"} for line in ("Task failed with exception", *alert)]

    assert demo.error_lines(log) == alert[:12]


def test_nothing_of_a_log_reaches_the_terminal_as_a_command() -> None:
    failed = replace(TRANSFORM, state="failed")
    event = {"event": "ALERT the value '\x1b]0;title\x07\x1b[31m' [bold]", "level": "error"}
    api = SimpleNamespace(url="http://127.0.0.1", log=lambda task: [event], address=lambda task: "address")
    stream = io.StringIO()
    demo.explain(api, INGEST, [failed], Console(file=stream, width=120))  # type: ignore[arg-type]
    assert "    ALERT the value '\\x1b]0;title\\x07\\x1b[31m' [bold]" in stream.getvalue().splitlines()


def test_a_log_without_errors_shows_its_end() -> None:
    log = [{"event": f"line {number}", "level": "info"} for number in range(100)]

    assert demo.error_lines(log) == [f"line {number}" for number in range(88, 100)]


def plain_output(*looks: tuple[list[Run], list[Task]]) -> list[str]:
    stream = io.StringIO()
    with Progress(Console(file=stream, width=120)) as progress:
        for runs, tasks in looks:
            progress.show(runs, tasks)
    # The first column is the time since the start, which depends on the machine.
    return [line.split("s  ", 1)[1] for line in stream.getvalue().splitlines()]


def test_without_a_terminal_every_change_is_one_line() -> None:
    done = replace(TRANSFORM, state="success", ended=BEGAN + timedelta(seconds=75))

    lines = plain_output(
        ([INGEST], [TRANSFORM]), ([INGEST], [TRANSFORM]), ([INGEST], [done]), ([ended(INGEST)], [done])
    )

    assert lines == [
        "ingest_flights.transform: running",
        "ingest_flights (the whole run): running",
        "ingest_flights.transform: success after 1 min 15 s",
        "ingest_flights (the whole run): success after 1 min 30 s",
    ]


def test_mapped_tasks_are_told_apart() -> None:
    third = replace(TRANSFORM, task_id="extract", map_index=2)

    assert plain_output(([], [third])) == ["ingest_flights.extract[2]: running"]
