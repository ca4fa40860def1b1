"""A table of a real database, read by the periods of a time in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError, ContractError, SourceDataError
from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest
from millstream.landing.run import Landing
from millstream.sources.sql import SqlExtractor
from tests.support.sql_runs import run

VISITS = {
    1: "2024-02-28 23:59:59.999999",
    2: "2024-02-29 00:00:00.000000",
    3: "2024-02-29 12:00:00.000000",
    4: "2024-02-29 23:59:59.999999",
    5: "2024-03-01 00:00:00.000000",
}


def contract(
    kind: str = "timestamp_ntz", grain: str = "day", start: str = "2024-02-28", **more: Any
) -> Contract:
    return Contract.from_dict(
        {
            "dataset": "visits",
            "source": {"kind": "sql", "connection": "shop", "table": "visits", "key": "id", "batch_rows": 2},
            "load": "partition",
            "partition": {"grain": grain, "start": start},
            "event_time": "seen",
            "columns": [{"name": "id", "type": "int"}, {"name": "seen", "type": kind, "nullable": False}],
            "primary_key": ["id"],
            "end_date": "2024-03-01",
            **more,
        },
        origin="visits.yaml",
    )


def made(engine: sa.Engine, kind: str = "TIMESTAMP") -> sa.Engine:
    run(engine, f"CREATE TABLE visits (id INTEGER PRIMARY KEY, seen {kind})")
    run(engine, *(f"INSERT INTO visits VALUES ({number}, '{seen}')" for number, seen in VISITS.items()))
    return engine


def land(engine: sa.Engine, lake: Path, of: Contract, *periods: str) -> Manifest:
    extractor, landing = SqlExtractor(of, engine), Landing(Storage(f"file://{lake}"), "visits", "1")
    files = [file for piece in extractor.plan(periods) for file in extractor.fetch(piece, landing)]
    return landing.commit(periods, files)


def rows(manifest: Manifest) -> dict[str | None, int]:
    found: dict[str | None, int] = {}
    for file in manifest.files:
        found[file.partition] = found.get(file.partition, 0) + (file.rows or 0)
    return found


def test_each_row_lies_in_one_day(engine: sa.Engine, lake: Path) -> None:
    made(engine)
    days = {"2024-02-28": 1, "2024-02-29": 3, "2024-03-01": 1}
    assert rows(land(engine, lake, contract())) == days
    manifest = land(engine, lake, contract(), "2024-02-29")
    assert rows(manifest) == {"2024-02-29": 3}
    assert all("/partition=2024-02-29/" in file.path for file in manifest.files)
    assert [file.rows for file in manifest.files] == [2, 1]


def test_months_and_hours(engine: sa.Engine, lake: Path) -> None:
    made(engine)
    months = contract(grain="month", start="2024-02")
    assert rows(land(engine, lake, months)) == {"2024-02": 4, "2024-03": 1}
    hours = contract(grain="hour", start="2024-02-28T00")
    hour = "2024-02-29T23"
    assert rows(land(engine, lake, hours, hour)) == {hour: 1}


@pytest.mark.parametrize(("column", "kind"), [("TIMESTAMPTZ", "timestamp"), ("DATE", "date")])
def test_times_with_a_zone_and_days(postgres: sa.Engine, lake: Path, column: str, kind: str) -> None:
    with postgres.begin() as connection:
        connection.execute(sa.text("SET TIME ZONE 'UTC'"))
        connection.execute(sa.text(f"CREATE TABLE visits (id INTEGER PRIMARY KEY, seen {column})"))
        for number, seen in VISITS.items():
            connection.execute(sa.text(f"INSERT INTO visits VALUES ({number}, '{seen}')"))
    days = {"2024-02-28": 1, "2024-02-29": 3, "2024-03-01": 1}
    assert rows(land(postgres, lake, contract(kind))) == days


def test_a_row_that_no_period_has_is_told(engine: sa.Engine, lake: Path) -> None:
    made(engine)
    run(engine, "INSERT INTO visits VALUES (6, NULL)")
    with pytest.raises(SourceDataError, match="1 rows have no time in seen, by which they are read"):
        land(engine, lake, contract())


def test_a_period_without_rows_is_told_unless_it_may_be_empty(engine: sa.Engine, lake: Path) -> None:
    made(engine)
    of = {"grain": "hour", "start": "2024-02-28T00"}
    with pytest.raises(SourceDataError, match="has no row of 2024-02-29T07"):
        land(engine, lake, contract(**of), "2024-02-29T07")
    assert rows(land(engine, lake, contract(**of, allow_empty=True), "2024-02-29T07")) == {"2024-02-29T07": 0}


def test_what_is_no_period_of_the_table_is_refused(engine: sa.Engine) -> None:
    made(engine)
    with pytest.raises(ConfigurationError, match="a partition is written YYYY-MM-DD, found 2024-02"):
        SqlExtractor(contract(), engine).plan(["2024-02"])


@pytest.mark.parametrize(
    "changes",
    [
        {"event_time": None},
        {"event_time": "id"},
        {"columns": [{"name": "id"}, {"name": "seen", "type": "timestamp"}]},
        {"kind": "date", "grain": "hour", "start": "2024-02-28T00"},
        {"kind": "string"},
    ],
)
def test_a_column_that_lies_in_no_period_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=r"event_time: a database is read by (day|hour) of this"):
        contract(**changes)
