"""What increments read again: rows that were committed late arrive, rows that were read are nothing new."""

from __future__ import annotations

import json

import httpx
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from fastapi import FastAPI, Response

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError, ContractError, SourceDataError
from millstream.formats.readers.parquet import UNFIT
from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest
from millstream.landing.run import Landing
from millstream.sources import SqlExtractor
from millstream.sources.http import HttpExtractor
from millstream.sources.http_client import HttpEndpoint
from millstream.upkeep.reconcile_source import compare_with_source
from tests.support import ledger_tables
from tests.support.loopback import serve
from tests.support.sql_runs import INCREMENTAL, Try, at, contract, run, tailnums
from tests.support.weather_contract import weather

DAY = 86_400


class Runs:
    """Runs that land and publish, one after the other, from where the one before had come to."""

    def __init__(self, engine, lake, wanted: Contract = INCREMENTAL) -> None:
        self.engine, self.lake, self.wanted = engine, lake, wanted
        self.reached: str | None = None
        self.manifests: dict[str, Manifest] = {}

    def land(self, name: str) -> list[dict]:
        attempt = Try(self.engine, self.lake, self.wanted, name)
        Landing(attempt.storage, "planes", name).begin()
        manifest = attempt.land(self.reached)
        self.manifests[name] = manifest
        return attempt.table(manifest).to_pylist() if manifest.files else []

    def publish(self, name: str) -> None:
        manifest = self.manifests[name]
        rows = sum(file.rows for file in manifest.files)
        landed = {"watermark": manifest.watermark_high, "fetch_began": manifest.fetch_began}
        ledger_tables.publish(f"file://{self.lake}", "silver.planes", name, read=rows, **landed)
        self.reached = manifest.watermark_high

    def bring(self, name: str) -> list[dict]:
        rows = self.land(name)
        if rows:
            self.publish(name)
        return rows


@pytest.fixture
def runs(register, lake) -> Runs:
    runs = Runs(register, lake)
    assert tailnums(runs.bring("1")) == ["N1", "N2", "N3"]
    assert runs.reached == "2013-01-01T00:00:02"
    return runs


def test_a_row_committed_late_with_an_earlier_time_arrives_and_no_other_does(register, runs):
    run(register, f"INSERT INTO planes VALUES ('N4', 4, '{at(1 - DAY + 60)}')")
    assert tailnums(runs.bring("2")) == ["N4"]
    assert runs.reached == "2013-01-01T00:00:02", "the late row does not set it back"
    assert runs.bring("3") == []


def test_a_row_that_loses_its_time_again_is_new(register, runs):
    """It comes with every increment, and what it was before it had a time is not what the table has."""
    run(register, "INSERT INTO planes VALUES ('N9', 9, NULL)")
    assert tailnums(runs.bring("2")) == ["N9"]
    run(register, f"UPDATE planes SET updated_at = '{at(3)}' WHERE tailnum = 'N9'")
    assert tailnums(runs.bring("3")) == ["N9"]
    run(register, f"INSERT INTO planes VALUES ('N8', 8, '{at(10 * DAY)}')")
    assert tailnums(runs.bring("4")) == ["N8"]
    run(register, "UPDATE planes SET updated_at = NULL WHERE tailnum = 'N9'")
    assert tailnums(runs.bring("5")) == ["N9"]
    assert runs.bring("6") == []


def test_what_changes_within_the_look_back_is_new_and_so_is_changing_back(register, runs):
    for name, seats in (("2", 20), ("3", 2)):
        run(register, f"UPDATE planes SET seats = {seats} WHERE tailnum = 'N2'")
        assert [(row["tailnum"], row["seats"]) for row in runs.bring(name)] == [("N2", seats)]
    assert runs.bring("4") == []


def test_what_has_landed_and_was_not_published_is_new(register, runs):
    run(register, f"INSERT INTO planes VALUES ('N4', 4, '{at(3)}')")
    assert tailnums(runs.land("2")) == ["N4"]
    assert tailnums(runs.land("3")) == ["N4"]
    runs.publish("3")
    assert runs.bring("4") == []
    # A cleared run brings what it had brought, of which no other run has the rows; N4 is run 3's.
    run(register, f"INSERT INTO planes VALUES ('N5', 5, '{at(3)}')")
    assert tailnums(runs.bring("5")) == ["N5"]
    assert tailnums(runs.land("5")) == ["N5"]
    run(register, "UPDATE planes SET seats = 55 WHERE tailnum = 'N5'")
    assert [row["seats"] for row in runs.land("5")] == [55]
    assert [row["seats"] for row in runs.land("6")] == [55], "run 5 has yet to publish what it landed anew"


def test_rows_without_a_watermark_or_dated_ahead_come_once(register, runs):
    run(register, "INSERT INTO planes VALUES ('N8', 8, NULL), ('N9', 9, '2099-01-01 00:00:00')")
    assert tailnums(runs.bring("2")) == ["N8", "N9"]
    run(register, f"INSERT INTO planes VALUES ('N5', 5, '{at(9 * DAY)}')")
    assert tailnums(runs.bring("3")) == ["N5"]
    assert runs.bring("4") == []
    run(register, "UPDATE planes SET seats = 80 WHERE tailnum = 'N8'")
    assert [row["seats"] for row in runs.bring("5")] == [80]


def test_a_table_that_was_emptied_or_set_back_is_told(register, runs, caplog):
    run(register, "DELETE FROM planes WHERE tailnum <> 'N1'")
    assert runs.bring("2") == []
    assert (
        "the highest updated_at of the source is 2013-01-01T00:00:01, and 2013-01-01T00:00:02 had"
        in caplog.text
    )
    run(register, "DELETE FROM planes")
    with pytest.raises(SourceDataError, match=r"is empty\. Nothing was landed"):
        runs.land("3")
    runs.wanted = contract(watermark="updated_at", allow_empty=True)
    assert runs.bring("4") == []


def test_bytes_that_are_gone_are_read_again(register, runs):
    for path in runs.lake.glob("landing/planes/*.parquet"):
        path.unlink()
    assert tailnums(runs.bring("2")) == ["N1", "N2", "N3"]


def test_a_column_that_is_added_empty_makes_no_row_new(register, runs):
    run(register, "ALTER TABLE planes ADD COLUMN wings INTEGER")
    assert runs.bring("2") == []
    run(register, "UPDATE planes SET wings = 2 WHERE tailnum = 'N3'")
    assert tailnums(runs.bring("3")) == ["N3"]


@pytest.mark.parametrize(
    ("lookback", "since"),
    [
        (None, "2012-12-31T00:00:02"),
        ("PT6H", "2012-12-31T18:00:02"),
        ("P9999Y", "0001-01-01T00:00:00"),
        (0, "2013-01-01T00:00:02"),
    ],
)
def test_the_look_back_is_the_contracts_and_none_is_warned_about(register, lake, caplog, lookback, since):
    wanted = contract(watermark="updated_at", lookback=lookback)
    (piece,) = Try(register, lake, wanted).plan("2013-01-01T00:00:02")
    assert piece.since == since
    assert ("a row that is committed late, with an earlier updated_at, is never read" in caplog.text) == (
        lookback == 0
    )


def test_the_look_back_of_numbers_and_dates(engine, lake, caplog):
    run(
        engine,
        "CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, seats INTEGER, built DATE)",
        "INSERT INTO planes VALUES ('N1', 100, '2013-01-03')",
    )

    def since(watermark: str, known: str, lookback=None) -> str:
        wanted = contract(watermark=watermark, lookback=lookback)
        return Try(engine, lake, wanted).plan(known)[0].since

    assert since("built", "2013-01-03") == "2013-01-02"
    assert since("built", "2013-01-03", "PT6H") == "2013-01-02"
    assert since("seats", "100", 40) == "60"
    assert "is never read" not in caplog.text
    assert since("seats", "100") == "100"
    assert "is never read" in caplog.text
    with pytest.raises(ConfigurationError, match=r"lookback: column seats holds no times, so it must be"):
        since("seats", "100", "P1D")
    with pytest.raises(ConfigurationError, match=r"lookback: column built holds times"):
        since("built", "2013-01-03", 5)


def test_a_look_back_that_means_nothing_is_refused_with_the_contract():
    with pytest.raises(ContractError, match="lookback: only load 'watermark' has one"):
        contract(lookback="P1D")
    with pytest.raises(ContractError, match="greater than or equal to"):
        contract(watermark="updated_at", lookback="-P1D")


KEYS = {
    "VARCHAR(9)": ["a", "B", "_x", "Ä", "N10", "N9", "ab", "b"],
    "INTEGER": [-3, 5, 10, 9, 100, 2000, 7, 8],
    "TIMESTAMP": [f"2013-01-{day:02d} 00:00:00" for day in range(1, 9)],
    "NUMERIC(9,2)": ["-1.50", "0.01", "99.99", "100.00", "5.00", "6.00", "7.00", "-9.00"],
}


@pytest.mark.parametrize("kind", KEYS)
def test_what_was_committed_later_than_the_look_back_reaches_is_told_with_its_keys(engine, lake, kind):
    keys = KEYS[kind]
    run(engine, f"CREATE TABLE planes (id {kind} NOT NULL PRIMARY KEY, seats INTEGER, seen TIMESTAMP)")

    def insert(key: object, seen: str) -> None:
        with engine.begin() as connection:
            connection.execute(sa.text(f"INSERT INTO planes VALUES (:id, 1, '{seen}')"), {"id": key})

    wanted = contract("seats:int", key="id", watermark="seen")
    runs = Runs(engine, lake, wanted)

    def told() -> list[str]:
        found = compare_with_source(wanted, SqlExtractor(wanted, engine), f"file://{lake}")
        assert {one.remedy for one in found} <= {"person"}
        return [one.text for one in found]

    assert told() == []
    for number, key in enumerate(keys[:6]):
        insert(key, at(number * DAY))
    runs.bring("1")
    assert told() == []
    # Changed, deleted, written within the look-back: all are as they may be.
    run(engine, f"UPDATE planes SET seen = '{at(8 * DAY)}' WHERE seen = '{at(DAY)}'")
    run(engine, f"DELETE FROM planes WHERE seen = '{at(2 * DAY)}'")
    insert(keys[6], at(5 * DAY - 60))
    assert told() == []
    runs.bring("2")
    assert told() == []
    insert(keys[7], at(60))
    assert runs.bring("3") == []
    (text,) = told()
    assert "1 are missing: they were committed later than source.lookback reaches back" in text
    assert "whose seen is before 2013-01-08 00:00:00" in text
    for path in lake.glob("landing/planes/*.parquet"):
        path.unlink()
    (unread,) = compare_with_source(wanted, SqlExtractor(wanted, engine), f"file://{lake}")
    assert unread.remedy == "none"
    assert "not compared with its source: not all that was landed can be read" in unread.text


# The same second in the spellings that SQLite's own functions, JavaScript and ORMs leave there.
SPELLINGS = [
    "2024-05-01T10:00:00Z",
    "2024-05-01 10:00:00",
    "2024-05-01 10:00:00.000",
    "2024-05-01T12:00+02:00",
]


@pytest.mark.parametrize("kind", ["DATETIME", "TIMESTAMP", "TEXT"])
def test_times_in_sqlite_are_compared_as_moments_whatever_their_spelling(sqlite, lake, kind):
    run(sqlite, f"CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, seats INTEGER, seen {kind})")
    runs = Runs(sqlite, lake, contract(watermark="seen", lookback="PT1S"))

    def insert(tailnum: str, seen: str) -> None:
        run(sqlite, f"INSERT INTO planes VALUES ('{tailnum}', 1, '{seen}')")

    insert("N0", "2024-05-01 10:00:00.5")
    assert tailnums(runs.bring("0")) == ["N0"]
    assert runs.reached == "2024-05-01T10:00:00.500000"
    for number, spelling in enumerate(SPELLINGS, start=1):
        insert(f"N{number}", spelling)
        assert tailnums(runs.bring(str(number))) == [f"N{number}"]
    insert("N8", "2024-05-01T10:00:00.813")
    insert("N9", "2024-05-01T09:59:59Z")
    assert tailnums(runs.bring("8")) == ["N8"]
    assert runs.reached == "2024-05-01T10:00:00.813000"


@pytest.mark.parametrize(
    ("kind", "value", "shown"), [("DATETIME", "1714557600", "'1714557600'"), ("TEXT", "'soon'", "'soon'")]
)
def test_a_watermark_in_sqlite_that_is_no_time_is_refused_by_name(sqlite, lake, kind, value, shown):
    run(
        sqlite,
        f"CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, seats INTEGER, seen {kind})",
        f"INSERT INTO planes VALUES ('N1', 1, '2024-05-01'), ('N2', 2, {value})",
    )
    attempt = Try(sqlite, lake, contract(watermark="seen"))
    with pytest.raises(SourceDataError) as refused:
        attempt.plan()
    assert f"column seen holds {shown}, at tailnum 'N2', which is no time in ISO 8601" in str(refused.value)


def test_a_key_of_times_in_sqlite_is_read_in_the_order_of_moments(sqlite, lake):
    run(sqlite, "CREATE TABLE planes (id DATETIME NOT NULL PRIMARY KEY, place INTEGER)")
    spelled = [
        "2024-05-01T08:00:00Z",
        "2024-05-01 09:00:00",
        "2024-05-01T10:30+01:00",
        "2024-05-01 10:00:00.5",
    ]
    for place, key in enumerate(spelled):
        run(sqlite, f"INSERT INTO planes VALUES ('{key}', {place})")
    wanted = contract("place:int", key="id", batch_rows=1)
    assert [row["place"] for row in Try(sqlite, lake, wanted).landed()] == [0, 1, 2, 3]
    run(sqlite, "INSERT INTO planes VALUES ('2024-05-01 08:00:00', 4)")
    with pytest.raises(SourceDataError, match="id is not a key: 0 rows have none, 1 repeat another's"):
        Try(sqlite, lake, wanted).plan()


def test_text_as_a_watermark_is_refused_where_it_cannot_be_compared_as_moments(postgres, lake):
    run(postgres, "CREATE TABLE planes (tailnum TEXT PRIMARY KEY, seats INTEGER, seen TEXT)")
    with pytest.raises(ConfigurationError, match="column seen is text, whose order is not that of times"):
        Try(postgres, lake, contract(watermark="seen")).plan()


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
def test_infinite_times_land_as_they_are_written_and_are_no_watermark(server, postgres, lake, driver, kind):
    engine = sa.create_engine(server.url.set(drivername=f"postgresql+{driver}"), poolclass=sa.NullPool)
    values = ["infinity", "-infinity", "0044-03-15 BC", "12345-01-01", "9999-12-31", "2013-01-01"]
    run(postgres, f"CREATE TABLE planes (tailnum TEXT PRIMARY KEY, seats INTEGER, seen {kind})")
    for number, value in enumerate(values):
        run(postgres, f"INSERT INTO planes VALUES ('N{number}', {number}, '{value}')")
    runs = Runs(engine, lake, contract(watermark="seen"))
    assert tailnums(runs.bring("1")) == [f"N{number}" for number in range(6)]
    assert runs.reached == "2013-01-01" + {"date": "", "timestamp": "T00:00:00"}.get(kind, "T00:00:00+00:00")
    (file,) = runs.manifests["1"].files
    landed = pq.read_table(lake / file.path).to_pylist()
    unfit = {row["tailnum"]: dict(row[UNFIT])["seen"] for row in landed if row[UNFIT]}
    assert [unfit[f"N{number}"].partition(" ")[0] for number in range(4)] == [
        "infinity",
        "-infinity",
        "0044-03-15",
        "12345-01-01",
    ]
    assert [row["tailnum"] for row in landed if row["seen"] is not None] == ["N4", "N5"]

    run(postgres, "UPDATE planes SET seats = 9 WHERE tailnum IN ('N0', 'N2')")
    assert tailnums(runs.bring("2")) == ["N0", "N2"]
    with pytest.raises(
        SourceDataError, match=r"column seen holds '.*', at seen '.*', which comes at no place"
    ):
        Try(engine, lake, contract("seats:int", key="seen")).plan()


def test_numbers_of_every_precision_and_what_is_no_number(postgres, lake):
    run(
        postgres,
        "CREATE TABLE planes (tailnum TEXT PRIMARY KEY, hundreds NUMERIC(5,-2), small NUMERIC(2,4), "
        "money NUMERIC(10,2), much NUMERIC(60,2))",
        "INSERT INTO planes VALUES ('N1', 1234567, 0.0012, 'NaN', 'NaN'), ('N2', 100, 0, 1.5, 1), "
        "('N3', NULL, NULL, NULL, 7)",
    )
    attempt = Try(postgres, lake, contract("tailnum:string"))
    manifest = attempt.land()
    rows = pq.read_table(lake / manifest.files[0].path).to_pylist()
    assert [str(row["hundreds"]) for row in rows] == ["1234600", "100", "None"]
    assert [str(row["small"]) for row in rows] == ["0.0012", "0.0000", "None"]
    assert [str(row["money"]) for row in rows] == ["None", "1.50", "None"]
    assert [row["much"] for row in rows] == ["NaN", "1.00", "7.00"]
    assert [dict(row[UNFIT] or []) for row in rows] == [{"money": "NaN"}, {}, {}]


def test_a_key_that_is_no_number_is_refused_by_name(postgres, lake):
    run(
        postgres,
        "CREATE TABLE planes (id NUMERIC(9,2) PRIMARY KEY, seats INTEGER)",
        "INSERT INTO planes VALUES (1, 1), ('NaN', 2)",
    )
    with pytest.raises(SourceDataError, match="column id holds 'NaN', at id 'NaN', which comes at no place"):
        Try(postgres, lake, contract("seats:int", key="id")).plan()


def test_a_watermark_of_numbers_passes_what_is_no_number(postgres, lake):
    run(
        postgres,
        "CREATE TABLE planes (tailnum TEXT PRIMARY KEY, seats INTEGER, version NUMERIC(10,2))",
        "INSERT INTO planes VALUES ('N1', 1, 1.5), ('N2', 2, 'NaN')",
    )
    runs = Runs(postgres, lake, contract(watermark="version", lookback=1))
    assert tailnums(runs.bring("1")) == ["N1", "N2"]
    assert runs.reached == "1.50"
    run(postgres, "INSERT INTO planes VALUES ('N3', 3, 10)")
    assert tailnums(runs.bring("2")) == ["N3"]


def test_a_fraction_in_a_column_of_whole_numbers_is_refused(sqlite, lake):
    run(
        sqlite,
        "CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, seats INTEGER)",
        "INSERT INTO planes VALUES ('N1', 1.5)",
    )
    with pytest.raises(
        SourceDataError, match=r"column seats holds a value that is not int64: 1\.5 is no whole"
    ):
        Try(sqlite, lake).landed()


def test_text_in_sqlite_that_is_no_text_is_named(sqlite, lake):
    run(
        sqlite,
        "CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, seats TEXT)",
        "INSERT INTO planes VALUES ('N1', CAST(x'00ff' AS TEXT))",
    )
    with pytest.raises(SourceDataError, match="column seats holds a value that is not string"):
        Try(sqlite, lake).landed()


def test_names_in_capitals_at_the_source(engine, lake):
    run(
        engine,
        'CREATE TABLE planes ("thingId" VARCHAR(6) NOT NULL PRIMARY KEY, seats INTEGER, '
        '"updatedAt" TIMESTAMP)',
        f"INSERT INTO planes VALUES ('N1', 1, '{at(1)}')",
    )
    columns = [
        {"name": "thing_id", "type": "string", "description": "Thing", "aliases": ["thingId"]},
        {"name": "seats", "type": "int", "description": "Seats"},
    ]
    runs = Runs(engine, lake, contract(columns=columns, key="thingId", watermark="updatedAt"))
    assert [row["thingId"] for row in runs.bring("1")] == ["N1"]
    run(engine, f"INSERT INTO planes VALUES ('N2', 2, '{at(2)}')")
    assert [row["thingId"] for row in runs.bring("2")] == ["N2"]


def record(origin: str, hour: int, **more) -> dict:
    return {"origin": origin, "time_hour": f"2013-01-02T{hour:02d}:00:00Z", **more}


WEATHER = weather(page_size=2)


def test_records_that_nobody_can_read_are_nothing_new_when_they_come_again(lake):
    deep = f'{{"origin": {"[" * 2000}{"]" * 2000}}}'
    twice = '{"origin": "EWR", "origin": "JFK"}'
    texts = [json.dumps(record("EWR", 1)), deep, twice, "[1]", '{"origin": "LGA", "elevation": 1.50}']
    app = FastAPI()

    @app.get("/weather")
    def weather(offset: int, limit: int) -> Response:
        page = ", ".join(texts[offset : offset + limit])
        return Response(f'{{"results": [{page}]}}', media_type="application/json")

    def bring(name: str, reached: str | None) -> Manifest:
        landing = Landing(Storage(f"file://{lake}"), "weather", name)
        landing.begin()
        extractor = HttpExtractor(WEATHER, HttpEndpoint(url))
        files = [file for piece in extractor.plan([], reached) for file in extractor.fetch(piece, landing)]
        manifest = landing.commit([], files, reached)
        landed = {"watermark": manifest.watermark_high, "fetch_began": manifest.fetch_began}
        ledger_tables.publish(f"file://{lake}", "silver.weather", name, read=len(files), **landed)
        return manifest

    with serve(app) as url:
        first = bring("1", None)
        assert [file.rows for file in first.files] == [2, 2, 1]
        assert bring("2", first.watermark_high).files == ()
        # Another text is another value, though not another double.
        texts[-1] = '{"origin": "LGA", "elevation": 1.5}'
        assert [(file.rows, file.seen) for file in bring("3", first.watermark_high).files] == [(1, ())]


def test_records_of_an_api_that_come_late_arrive_and_those_read_again_are_marked(lake):
    records = [record("EWR", hour) for hour in range(5)]
    asked: list[str] = []
    app = FastAPI()

    @app.get("/weather")
    def weather(offset: int, limit: int, since: str = "") -> dict:
        asked.append(since)
        found = [one for one in records if one["time_hour"] >= since]
        return {"results": found[offset : offset + limit], "total": len(found)}

    reached: str | None = None

    def bring(name: str) -> Manifest:
        nonlocal reached
        landing = Landing(Storage(f"file://{lake}"), "weather", name)
        landing.begin()
        extractor = HttpExtractor(WEATHER, HttpEndpoint(url))
        files = [file for piece in extractor.plan([], reached) for file in extractor.fetch(piece, landing)]
        manifest = landing.commit([], files, reached)
        if files:
            reached = manifest.watermark_high
            landed = {"watermark": reached, "fetch_began": manifest.fetch_began}
            ledger_tables.publish(f"file://{lake}", "silver.weather", name, read=len(files), **landed)
        return manifest

    def new(manifest: Manifest) -> list[dict]:
        return [
            row
            for file in manifest.files
            for number, row in enumerate(json.loads((lake / file.path).read_bytes())["results"], start=1)
            if not file.has_seen(number)
        ]

    with serve(app) as url:
        assert httpx.get(f"{url}/weather?offset=0&limit=9").json()["total"] == 5
        assert new(bring("1")) == records
        assert bring("2").files == ()
        assert asked[-1] == "2013-01-01T04:00:00Z"
        records.insert(3, record("JFK", 1))
        late = bring("3")
        assert [(file.rows, file.seen) for file in late.files] == [(2, ((1, 1),))]
        assert new(late) == [record("JFK", 1)]
        assert late.watermark_high == "2013-01-02T04:00:00Z"
        assert bring("4").files == ()
        # In spellings whose order as text is another one.
        records[0] = record("EWR", 0, temp=1.5)
        records.append({"origin": "LGA", "time_hour": "2013-01-02T04:00:00.5Z"})
        changed = bring("5")
        assert new(changed) == [records[0], records[-1]]
        assert changed.watermark_high == "2013-01-02T04:00:00.5Z"
        assert bring("6").files == ()
        # Several records of one key, as of a history: each is known by itself.
        records += [record("BOS", 4, temp=1), record("BOS", 4, temp=2)]
        assert new(bring("7")) == records[-2:]
        records.append(record("BOS", 4, temp=3))
        assert new(bring("8")) == records[-1:]
        assert bring("9").files == ()
        assert bring("10").files == ()
