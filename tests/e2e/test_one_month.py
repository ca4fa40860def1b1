"""One month of real flights through the scheduler and every service, checked against the source."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from deltalake import DeltaTable

from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream_stack.commands.demo import follow
from tests.support.airflow_user import AirflowUser
from tests.support.carried import EVER, carry, newest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

# Flights of the months that this file ingests, in the demo's source.
ROWS = {"2013-12": 28_135, "2013-03": 28_834}


def source_rows(settings: Settings, month: str) -> list[dict[str, str]]:
    """The month as the demo's source system published it."""
    path = settings.home / "demo" / "drop" / "flights" / f"flights_{month}.csv.zip"
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as stream:
        return list(csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8")))


def lake_rows(settings: Settings, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (
        DeltaTable(TableRef.parse(table).uri(settings.lake_root)).to_pyarrow_table().to_pylist()
    )
    return rows


def test_one_month_from_the_sources_to_the_features(settings: Settings, month: str) -> None:
    source = source_rows(settings, month)
    assert len(source) == ROWS[month]
    flights = [row for row in lake_rows(settings, "silver.flights") if row["month"] == month]
    assert Counter(row["carrier"] for row in flights) == Counter(row["carrier"] for row in source)
    assert sum(row["distance_mi"] for row in flights) == sum(int(row["distance"]) for row in source)
    late = sum(row["arr_delay"] not in ("NA", "") and int(row["arr_delay"]) > 15 for row in source)
    assert sum((row["arr_delay_min"] or 0) > 15 for row in flights) == late
    assert len({row["_source_row_id"] for row in flights}) == len(source)

    account = history.read(TableRef.parse("silver.flights"), settings.lake_root).accounts[0]
    assert (account.read, account.written) == (len(source), len(source))
    assert (account.quarantined, account.deduplicated) == (0, 0)
    assert account.verdict["passed"]
    weather = history.read(TableRef.parse("silver.weather"), settings.lake_root).accounts[0]
    # One observation claims a wind of 1,048 miles per hour; three share their key with another.
    assert (weather.read, weather.written) == (26_115, 26_111)
    assert (weather.quarantined, weather.deduplicated) == (1, 3)

    statistics = [row for row in lake_rows(settings, "gold.route_delay_statistics") if row["month"] == month]
    assert sum(row["flights"] for row in statistics) == len(source)
    assert sum(row["late_arrivals"] for row in statistics) == late
    counted = history.read(TableRef.parse("gold.route_delay_statistics"), settings.lake_root).accounts[0]
    assert counted.inputs == {"silver.flights": account.version}

    made = history.read(TableRef.parse("gold.arrival_delay_features"), settings.lake_root)
    features, months = made.accounts[0], made.latest_by_partition()
    assert months[month][1].written == len(source)
    assert features.inputs["silver.flights"] == account.version


def test_again_doubles_nothing_and_rebuilds_nothing(api: AirflowUser, settings: Settings, month: str) -> None:
    tables = [
        TableRef.parse(name) for name in ("silver.flights", "silver.planes", "gold.arrival_delay_features")
    ]
    before = {str(table): history.version(table, settings.lake_root) for table in tables}
    assert None not in before.values()
    carry(api, "ingest_planes")
    runs, tasks = carry(api, "ingest_flights", conf={"start": month, "end": month, "mode": "etl"})
    notes = {run.dag_id: run.note.splitlines() for run in runs}
    assert notes["ingest_flights"][:2] == [
        f"silver.flights: stays at version {before['silver.flights']}: it has these rows already",
        f"rows: {ROWS[month]:,} read = {ROWS[month]:,} written + 0 quarantined + 0 deduplicated + 0 dropped",
    ]
    assert f"months: {month}" in notes["ingest_flights"]
    (reason,) = notes["build_route_statistics"]
    assert reason.startswith("gold.route_delay_statistics was already made from these rows")
    states = {(task.dag_id, task.task_id): task.state for task in tasks}
    assert states["ingest_flights", "load_bronze"] == "skipped"
    assert states["build_route_statistics", "build"] == "skipped"
    # Nothing that it follows was made anew: if it was started at all, it had nothing to do.
    assert states.get(("build_features", "build"), "skipped") == "skipped"
    assert {str(table): history.version(table, settings.lake_root) for table in tables} == before


@pytest.mark.thorough
def test_a_cleared_run_is_done_again_and_makes_no_version(api: AirflowUser, settings: Settings) -> None:
    table = TableRef.parse("silver.airlines")
    run, tasks = newest(api, "ingest_airlines")
    first = {task.key: task for task in tasks}
    before = history.version(table, settings.lake_root)

    api.clear(run)
    runs, tasks = follow(api, EVER, {run.key}, lambda runs, tasks: None)
    assert [one.state for one in runs if one.key == run.key] == ["success"]
    again = {task.key: task for task in tasks if task.run_id == run.run_id}
    assert again.keys() == first.keys()
    for key, task in again.items():
        assert (task.state, task.try_number) == (first[key].state, first[key].try_number + 1), task.label
    assert history.version(table, settings.lake_root) == before


# `tests/connect/test_several_writers.py` has two writers at once, without Airflow.
@pytest.mark.thorough
@pytest.mark.usefixtures("month")
def test_a_backfill_beside_a_run_of_one_of_its_months(api: AirflowUser, settings: Settings) -> None:
    start, end = datetime(2013, 2, 15, tzinfo=UTC), datetime(2013, 3, 1, tzinfo=UTC)
    backfilled = api.backfill("ingest_flights", start, end)
    assert len(backfilled) == 1
    by_hand = api.trigger("ingest_flights", {"start": "2013-03", "end": "2013-03"})
    # A backfilled run counts as due when its month has ended.
    runs, tasks = follow(api, start, backfilled | {by_hand.key}, lambda runs, tasks: None)

    ours = [run for run in runs if run.key in backfilled | {by_hand.key}]
    publishing = [task for task in tasks if (task.dag_id, task.task_id) == ("ingest_flights", "publish")]
    assert len(ours) == len(publishing) == 2
    for run in ours:
        if run.state != "success":
            # Of two runs of March the one that landed earlier may come too late.
            (late,) = (task for task in publishing if task.run_id == run.run_id)
            assert "SupersededError" in str(api.log(late))
    times = sorted((task.started, task.ended) for task in publishing if task.started and task.ended)
    assert len(times) == 2
    for (_, ended), (started, _) in pairwise(times):
        assert ended <= started, "two publishes of one table at once"

    published = history.read(TableRef.parse("silver.flights"), settings.lake_root).latest_by_partition()
    assert {name: counts.read for name, (_, counts) in published.items()} == ROWS
    flights = lake_rows(settings, "silver.flights")
    ids = [row["_source_row_id"] for row in flights]
    assert len(ids) == len(set(ids)) == sum(ROWS.values())
    # What follows the flights has been made from all of them.
    flights_now = history.version(TableRef.parse("silver.flights"), settings.lake_root)
    for follower in ("gold.route_delay_statistics", "gold.arrival_delay_features"):
        made = history.read(TableRef.parse(follower), settings.lake_root).accounts[0]
        assert made.inputs["silver.flights"] == flights_now, follower
