"""SQL sources against real databases: SQLite, and a PostgreSQL server started for the tests."""

from __future__ import annotations

import traceback
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.errors import (
    ConfigurationError,
    ContractError,
    SchemaDriftError,
    SourceDataError,
    SourceUnavailableError,
)
from millstream.landing.run import Landing
from millstream.sources.sql import SqlExtractor, SqlSlice
from tests.support.postgres_server import PASSWORD
from tests.support.sql_runs import (
    INCREMENTAL,
    PLANES,
    THREE_PLANES,
    Try,
    as_single_files,
    at,
    contract,
    run,
    tailnums,
    where,
)


def test_rows_are_landed_in_key_order_a_parquet_file_a_batch(engine, lake):
    run(engine, PLANES, "INSERT INTO planes VALUES ('N3', 182), ('N1', 55), ('N4', 2), ('N2', NULL)")
    attempt = Try(engine, lake, contract(batch_rows=2))
    manifest = attempt.land()

    assert [file.rows for file in manifest.files] == [2, 2]
    assert [file.path[-24:] for file in manifest.files] == [
        "planes-000-00000.parquet",
        "planes-000-00001.parquet",
    ]
    assert attempt.table(manifest).to_pylist() == [
        {"tailnum": "N1", "seats": 55},
        {"tailnum": "N2", "seats": None},
        {"tailnum": "N3", "seats": 182},
        {"tailnum": "N4", "seats": 2},
    ]
    assert attempt.table(manifest).schema == pa.schema([("tailnum", pa.string()), ("seats", pa.int64())])
    assert manifest.watermark_high is None


def test_columns_that_differ_only_in_case_are_refused_in_words(postgres):
    run(postgres, 'CREATE TABLE planes (tailnum text PRIMARY KEY, seats int, "Seats" int)')
    with pytest.raises(SchemaDriftError) as refused:
        SqlExtractor(contract(), postgres).plan([])
    assert "columns named twice: 'seats', 'Seats' (Spark takes no notice of case). " in str(refused.value)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
def test_types_are_the_tables_also_in_a_batch_of_nulls(engine, lake):
    table = sa.Table(
        "planes",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("big", sa.BigInteger),
        sa.Column("small", sa.SmallInteger),
        sa.Column("speed", sa.Float),
        sa.Column("price", sa.Numeric(10, 2)),
        sa.Column("flies", sa.Boolean),
        sa.Column("built", sa.Date),
        sa.Column("seen", sa.DateTime),
        sa.Column("maker", sa.String(20)),
        sa.Column("notes", sa.Text),
        sa.Column("photo", sa.LargeBinary),
    )
    row = {
        "id": 1,
        "big": 2**62,
        "small": -3,
        "speed": 0.1,
        "price": Decimal("12345678.90"),
        "flies": True,
        "built": date(1969, 2, 9),
        "seen": datetime(2013, 1, 1, 5, 17, 0, 123456),
        "maker": "Embraer — São José",
        "notes": "",
        "photo": b"\x00\xff",
    }
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), row)
        connection.execute(table.insert(), {"id": 2})

    attempt = Try(engine, lake, contract("id:int", key="id", batch_rows=1))
    manifest = attempt.land()
    filled, empty = (attempt.table(one) for one in as_single_files(manifest))

    assert filled.to_pylist() == [row]
    assert empty.to_pylist() == [{name: 2 if name == "id" else None for name in row}]
    assert filled.schema == empty.schema
    assert [(field.name, str(field.type)) for field in filled.schema] == [
        ("id", "int64"),
        ("big", "int64"),
        ("small", "int64"),
        ("speed", "double"),
        ("price", "decimal128(10, 2)"),
        ("flies", "bool"),
        ("built", "date32[day]"),
        ("seen", "timestamp[us]"),
        ("maker", "string"),
        ("notes", "string"),
        ("photo", "binary"),
    ]


def test_types_without_a_counterpart_land_as_the_databases_own_text(postgres, lake):
    run(
        postgres,
        "CREATE TYPE engine AS ENUM ('Turbo-fan', 'Turbo-jet')",
        "CREATE TABLE planes (id uuid PRIMARY KEY, exact numeric, doc jsonb, took interval, at time, "
        "tags text[], prices numeric[], ip inet, engine engine, seen timestamptz)",
        "INSERT INTO planes VALUES ('0b0e7d6e-1c1f-4b7e-9a54-3f1f0c1d2e3f', 0.12345678901234567890123, "
        """'{"a": 1}', '1 day 02:00', '05:17', '{x,NULL}', '{0.10}', '10.0.0.1', 'Turbo-fan', """
        "'2013-01-01 05:00+05')",
    )
    attempt = Try(postgres, lake, contract("id:string", key="id", batch_rows=1))
    manifest = attempt.land()
    assert attempt.table(manifest).to_pylist() == [
        {
            "id": "0b0e7d6e-1c1f-4b7e-9a54-3f1f0c1d2e3f",
            "exact": "0.12345678901234567890123",
            "doc": '{"a": 1}',
            "took": "1 day 02:00:00",
            "at": "05:17:00",
            "tags": '["x", null]',
            "prices": "[0.10]",
            "ip": "10.0.0.1/32",
            "engine": "Turbo-fan",
            "seen": datetime.fromisoformat("2013-01-01T00:00:00+00:00"),
        }
    ]


def test_large_table_is_cut_into_key_ranges(engine, lake):
    run(engine, PLANES)
    rows = ", ".join(f"('N{number:03d}', {number})" for number in range(25))
    run(engine, f"INSERT INTO planes VALUES {rows}")
    attempt = Try(engine, lake, contract(batch_rows=1))

    # 25 rows, slices of at most ten batches of one row: three slices of nine rows or fewer.
    ranges = [(piece.number, piece.after, piece.upto) for piece in attempt.plan()]
    assert ranges == [(0, None, "N008"), (1, "N008", "N017"), (2, "N017", None)]
    assert attempt.landed() == [{"tailnum": f"N{number:03d}", "seats": number} for number in range(25)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.sets(st.integers(-(2**40), 2**40), min_size=1, max_size=60),
    batch_rows=st.integers(1, 7),
)
def test_every_row_is_landed_once_whatever_the_keys(tmp_path_factory, keys, batch_rows):
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    run(engine, "CREATE TABLE planes (id BIGINT NOT NULL PRIMARY KEY)")
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO planes VALUES (:id)"), [{"id": key} for key in keys])
    attempt = Try(
        engine, tmp_path_factory.mktemp("lake"), contract("id:int", key="id", batch_rows=batch_rows)
    )
    assert [row["id"] for row in attempt.landed()] == sorted(keys)


@pytest.mark.parametrize(
    ("sql_type", "keys"),
    [
        ("VARCHAR(9)", ["", "B", "a", "Ä", "ä'; DROP TABLE planes; --"[:9], "z%_"]),
        ("DATE", ["1969-02-09", "2013-01-01", "2013-12-31"]),
        (
            "TIMESTAMP",
            ["2013-01-01 00:00:00.000000", "2013-01-01 00:00:00.000001", "2013-01-02 00:00:00.000000"],
        ),
        ("NUMERIC(12, 3)", ["-1.500", "0.001", "99999.999"]),
    ],
)
def test_keys_of_other_types_are_read_in_the_databases_order(engine, lake, sql_type, keys):
    run(engine, f"CREATE TABLE planes (id {sql_type} NOT NULL PRIMARY KEY, place INTEGER)")
    with engine.begin() as connection:
        values = [{"id": key, "place": place} for place, key in enumerate(keys)]
        connection.execute(sa.text("INSERT INTO planes VALUES (:id, :place)"), values)
    attempt = Try(engine, lake, contract("id:string", key="id", batch_rows=1))
    assert sorted(row["place"] for row in attempt.landed()) == list(range(len(keys)))


def test_first_run_reads_all_and_the_watermark_is_the_highest(register, lake):
    attempt = Try(register, lake, INCREMENTAL)
    manifest = attempt.land()
    assert tailnums(attempt.table(manifest).to_pylist()) == ["N1", "N2", "N3"]
    assert manifest.watermark_high == "2013-01-01T00:00:02"


def test_later_run_reads_what_changed_and_what_shares_the_watermarks_moment(register, lake):
    high = Try(register, lake, INCREMENTAL).land().watermark_high
    # N0 comes in late, with the very time stamp that was the highest; N1 changes.
    run(
        register,
        f"INSERT INTO planes VALUES ('N0', 0, '{at(2)}')",
        f"UPDATE planes SET seats = 11, updated_at = '{at(3)}' WHERE tailnum = 'N1'",
    )
    attempt = Try(register, lake, INCREMENTAL, run="2")
    manifest = attempt.land(high)
    rows = {row["tailnum"]: row["seats"] for row in attempt.table(manifest).to_pylist()}
    assert rows == {"N0": 0, "N1": 11, "N2": 2, "N3": 3}
    assert (manifest.watermark_low, manifest.watermark_high) == ("2013-01-01T00:00:02", "2013-01-01T00:00:03")


def test_nothing_new_gives_no_slice(register, lake):
    assert Try(register, lake, INCREMENTAL).plan("2013-01-02T00:00:03") == []


def test_row_without_a_watermark_is_read_every_time(register, lake):
    run(register, "INSERT INTO planes VALUES ('N9', 9, NULL)")
    assert tailnums(Try(register, lake, INCREMENTAL).landed()) == ["N1", "N2", "N3", "N9"]
    assert tailnums(Try(register, lake, INCREMENTAL).landed("2013-01-02T00:00:03")) == ["N9"]


def test_row_dated_ahead_is_read_and_does_not_hide_what_comes_until_then(register, lake):
    run(register, "INSERT INTO planes VALUES ('N9', 9, '2099-01-01 00:00:00')")
    manifest = Try(register, lake, INCREMENTAL).land()
    assert manifest.watermark_high == "2013-01-01T00:00:02"

    run(register, f"UPDATE planes SET seats = 11, updated_at = '{at(3)}' WHERE tailnum = 'N1'")
    attempt = Try(register, lake, INCREMENTAL, run="2")
    again = attempt.land(manifest.watermark_high)
    assert {"tailnum": "N1", "seats": 11, "updated_at": datetime(2013, 1, 1, 0, 0, 3)} in attempt.table(
        again
    ).to_pylist()
    assert again.watermark_high == "2013-01-01T00:00:03"


def test_when_every_new_row_is_dated_ahead_the_watermark_stays(register, lake):
    run(register, "DELETE FROM planes", "INSERT INTO planes VALUES ('N9', 9, '2099-01-01 00:00:00')")
    attempt = Try(register, lake, INCREMENTAL)
    assert attempt.land("2013-01-01T00:00:03").watermark_high == "2013-01-01T00:00:03"


def test_row_that_changes_between_plan_and_fetch_is_read_by_the_next_run(register, lake):
    attempt = Try(register, lake, INCREMENTAL)
    (piece,) = attempt.plan()
    run(register, f"UPDATE planes SET seats = 11, updated_at = '{at(5)}' WHERE tailnum = 'N1'")
    files = attempt.extractor.fetch(piece, Landing(attempt.storage, "planes", "1"))
    manifest = Landing(attempt.storage, "planes", "1").commit([], files)

    assert manifest.watermark_high == "2013-01-01T00:00:02"
    again = Try(register, lake, INCREMENTAL, run="2").landed(manifest.watermark_high)
    assert {"tailnum": "N1", "seats": 11, "updated_at": datetime(2013, 1, 1, 0, 0, 5)} in again


def test_watermark_that_is_no_value_of_its_column(register, lake):
    with pytest.raises(
        ConfigurationError, match=r"'yesterday' is no value of column updated_at .* a full refresh"
    ):
        Try(register, lake, INCREMENTAL).plan("yesterday")


def test_slice_sees_one_state_of_the_table_while_it_is_written_to(postgres, lake):
    run(postgres, PLANES, THREE_PLANES)
    attempt = Try(postgres, lake, contract(batch_rows=1))
    (piece,) = attempt.plan()

    class WritingMeanwhile(Landing):
        def land(self, *given, **named):
            run(postgres, "DELETE FROM planes WHERE tailnum > 'N1'")
            return super().land(*given, **named)

    files = attempt.extractor.fetch(piece, WritingMeanwhile(attempt.storage, "planes", "1"))
    assert [file.rows for file in files] == [1, 1, 1]


def test_table_in_a_schema(postgres, lake):
    run(
        postgres,
        "DROP SCHEMA IF EXISTS fleet CASCADE",
        "CREATE SCHEMA fleet",
        PLANES.replace("planes", "fleet.planes"),
    )
    run(postgres, THREE_PLANES.replace("planes", "fleet.planes"))
    assert tailnums(Try(postgres, lake, contract(table="fleet.planes")).landed()) == ["N1", "N2", "N3"]


def test_hostile_column_name_at_the_source_is_only_a_name(engine, lake):
    hostile = 'x"; DROP TABLE planes; --'
    names = [sa.Column("seats", sa.Integer), sa.Column(hostile, sa.Integer)]
    table = sa.Table("planes", sa.MetaData(), sa.Column("tailnum", sa.String(6), primary_key=True), *names)
    table.create(engine)
    run(engine, "INSERT INTO planes VALUES ('N1', 55, 7)")
    assert Try(engine, lake).landed() == [{"tailnum": "N1", "seats": 55, hostile: 7}]
    assert Try(engine, lake).landed() == [{"tailnum": "N1", "seats": 55, hostile: 7}]


@pytest.mark.parametrize("field", ["table", "key", "watermark"])
def test_hostile_name_in_a_contract_is_refused(field):
    with pytest.raises(ContractError, match=rf"planes.yaml: source.{field}(\.0)?: String should match"):
        contract(**{field: "planes; DROP TABLE planes"})


def test_hostile_bound_in_a_slice_is_only_a_value(engine, lake):
    run(engine, PLANES, THREE_PLANES)
    attempt = Try(engine, lake)
    piece = SqlSlice(after="N0' OR 1=1; DROP TABLE planes; --", upto="N2")
    (file,) = attempt.extractor.fetch(piece, Landing(attempt.storage, "planes", "1"))
    assert file.rows == 2
    assert tailnums(attempt.landed()) == ["N1", "N2", "N3"]


def test_removed_column_is_named_nothing_lands_and_putting_it_back_heals(engine, lake):
    run(
        engine,
        "CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY)",
        "INSERT INTO planes VALUES ('N1')",
    )
    attempt = Try(engine, lake)
    with pytest.raises(SchemaDriftError) as refused:
        attempt.land()
    assert str(refused.value) == (
        f"{where(engine)}: column removed at the source: seats; found tailnum. Nothing was landed. What to "
        "do: ask the source's owner; if it has another name now, add that to the column's aliases; if it is "
        "gone for good, publish a new version of the contract"
    )
    assert not attempt.has_landed()

    run(engine, "ALTER TABLE planes ADD COLUMN seats INTEGER")
    assert attempt.landed() == [{"tailnum": "N1", "seats": None}]


def test_removed_column_may_be_allowed_but_never_the_key(engine, lake):
    run(
        engine,
        "CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY)",
        "INSERT INTO planes VALUES ('N1')",
    )
    evolve = {"drift": {"removed": "evolve"}}
    assert Try(engine, lake, contract(**evolve)).landed() == [{"tailnum": "N1"}]
    with pytest.raises(SchemaDriftError, match="column removed at the source: serial; found tailnum"):
        Try(engine, lake, contract("tailnum:string seats:int", key="serial", **evolve)).land()


def test_removed_table_is_named(engine, lake):
    with pytest.raises(SchemaDriftError) as refused:
        Try(engine, lake).land()
    assert str(refused.value) == (
        f"{where(engine)}: there is no such table that this login can see. Nothing was landed. What to do: "
        "ask the database's owner, or correct source.table in the contract"
    )


def test_retyped_column_stops_the_run_only_where_the_contract_freezes_types(engine, lake):
    run(engine, "CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, seats VARCHAR(3))")
    run(engine, "INSERT INTO planes VALUES ('N1', '55')")
    with pytest.raises(SchemaDriftError) as refused:
        Try(engine, lake, contract(drift={"retyped": "freeze"})).land()
    assert str(refused.value) == (
        f"{where(engine)}: column retyped at the source: seats (VARCHAR(length=3), the contract says int); "
        "found tailnum, seats. Nothing was landed. What to do: ask the source's owner, or publish a new "
        "version of the contract"
    )
    assert Try(engine, lake).landed() == [{"tailnum": "N1", "seats": "55"}]


def test_a_whole_number_that_became_a_double_is_widened_not_retyped(engine, lake):
    run(engine, "CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, seats DOUBLE PRECISION)")
    run(engine, "INSERT INTO planes VALUES ('N1', 55)")
    assert Try(engine, lake, contract(drift={"retyped": "freeze"})).landed() == [
        {"tailnum": "N1", "seats": 55.0}
    ]
    with pytest.raises(SchemaDriftError, match=r"column widened at the source: seats \("):
        Try(engine, lake, contract(drift={"widened": "freeze"}), run="2").land()


def test_added_and_renamed_columns_stop_the_run_where_the_contract_freezes_them(engine, lake):
    run(
        engine,
        "CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, seat_count INTEGER, wings INTEGER)",
    )
    run(engine, "INSERT INTO planes VALUES ('N1', 55, 2)")
    columns = [
        {"name": "tailnum", "type": "string", "description": "Tail number"},
        {"name": "seats", "type": "int", "description": "Seats", "aliases": ["seat_count"]},
    ]
    assert Try(engine, lake, contract(columns=columns)).landed() == [
        {"tailnum": "N1", "seat_count": 55, "wings": 2}
    ]
    frozen = contract(columns=columns, drift={"added": "freeze", "renamed": "freeze"})
    with pytest.raises(
        SchemaDriftError,
        match=r"column renamed at the source: seats \(delivered as seat_count\); column added at the source: "
        "wings; found tailnum, seat_count, wings. Nothing was landed",
    ):
        Try(engine, lake, frozen, run="2").land()


def test_key_that_is_none_is_refused_before_rows_are_lost(engine, lake):
    run(engine, "CREATE TABLE planes (tailnum VARCHAR(6), seats INTEGER)")
    run(engine, "INSERT INTO planes VALUES ('N1', 1), ('N1', 2), ('N2', 3), (NULL, 4), (NULL, 5)")
    attempt = Try(engine, lake)
    with pytest.raises(SourceDataError) as refused:
        attempt.land()
    assert str(refused.value) == (
        f"{where(engine)}: tailnum is not a key: 2 rows have none, 1 repeat another's. Nothing was landed. "
        "What to do: name a unique column, or several, as source.key in the contract"
    )
    assert not attempt.has_landed()

    run(engine, "DELETE FROM planes WHERE tailnum IS NULL OR seats = 2")
    assert tailnums(attempt.landed()) == ["N1", "N2"]


def test_empty_table_is_an_error_unless_the_contract_allows_it(engine, lake):
    run(engine, PLANES)
    attempt = Try(engine, lake)
    with pytest.raises(SourceDataError) as refused:
        attempt.land()
    assert str(refused.value) == (
        f"{where(engine)} is empty. Nothing was landed. What to do: ask the database's owner; if that is "
        "right, set allow_empty in the contract"
    )
    assert not attempt.has_landed()

    allowed = Try(engine, lake, contract(allow_empty=True))
    empty = allowed.table(allowed.land())
    assert empty.num_rows == 0
    assert empty.schema == pa.schema([("tailnum", pa.string()), ("seats", pa.int64())])

    run(engine, THREE_PLANES)
    assert tailnums(attempt.landed()) == ["N1", "N2", "N3"]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (
            "seats INTEGER",
            "'many'",
            "column seats holds a value that is not int64: Could not convert 'many' with type str",
        ),
        (
            "seats TIMESTAMP",
            "'soon'",
            "a value is not what its column's type says: Invalid isoformat string: 'soon'",
        ),
    ],
)
def test_value_that_is_not_its_columns_type(sqlite, lake, column, value, reason):
    """SQLite alone keeps such values."""
    run(sqlite, f"CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, {column})")
    run(sqlite, f"INSERT INTO planes VALUES ('N1', {value})")
    attempt = Try(sqlite, lake)
    with pytest.raises(SourceDataError) as refused:
        attempt.land()
    assert str(refused.value).startswith(f"{where(sqlite)}: {reason}")
    assert str(refused.value).endswith(
        "Nothing was landed. What to do: correct the row there, then clear the task"
    )
    assert not attempt.has_landed()

    run(sqlite, "UPDATE planes SET seats = NULL")
    assert attempt.landed() == [{"tailnum": "N1", "seats": None}]


def test_missing_sqlite_file_is_not_made_and_coming_back_heals(tmp_path, lake):
    path = tmp_path / "mount" / "source.db"
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    attempt = Try(engine, lake)
    with pytest.raises(SourceUnavailableError) as refused:
        attempt.land()
    assert str(refused.value) == (
        f"table planes of sqlite:///{path}: there is no such database file. Check that it is mounted, and "
        "the path in connection register"
    )
    assert not path.parent.exists()

    path.parent.mkdir()
    path.touch()
    run(engine, PLANES, THREE_PLANES)
    assert tailnums(attempt.landed()) == ["N1", "N2", "N3"]


@pytest.mark.parametrize("share", [0.5, 0.001])
def test_half_a_sqlite_file_is_said_so_nothing_lands_and_the_whole_one_heals(sqlite, lake, share):
    fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) "
    run(sqlite, PLANES, f"{fill} INSERT INTO planes SELECT 'N' || i, i FROM n")
    path = Path(sqlite.url.database)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    attempt = Try(sqlite, lake)
    with pytest.raises(
        SourceDataError, match=r"refused the query: database disk image is malformed\. What to do"
    ):
        attempt.land()
    assert not attempt.has_landed()

    path.write_bytes(whole)
    assert len(attempt.landed()) == 9000


def test_a_sqlite_file_that_somebody_holds_is_tried_again(sqlite, lake):
    run(sqlite, PLANES, THREE_PLANES)
    attempt = Try(sqlite, lake)
    with sqlite.connect() as writer:
        writer.execute(sa.text("BEGIN EXCLUSIVE"))
        with pytest.raises(SourceUnavailableError, match=r"database is locked.*another try will follow"):
            attempt.land()
    assert tailnums(attempt.landed()) == ["N1", "N2", "N3"]


def test_database_that_is_down_says_so_without_the_password_and_a_retry_heals(server, postgres, lake, caplog):
    run(postgres, PLANES, THREE_PLANES)
    attempt = Try(postgres, lake)
    (piece,) = attempt.plan()
    server.stop()
    try:
        with pytest.raises(SourceUnavailableError) as planning:
            attempt.land()
        with pytest.raises(SourceUnavailableError) as fetching:
            attempt.extractor.fetch(piece, Landing(attempt.storage, "planes", "1"))
    finally:
        server.start()
    for refused in (planning.value, fetching.value):
        assert str(refused).startswith(f"{where(postgres)}: the database does not answer: ")
        assert str(refused).endswith("Check the database and connection register; another try will follow")
        assert PASSWORD not in "".join(traceback.format_exception(refused)) + caplog.text
    assert not attempt.has_landed()
    assert tailnums(attempt.landed()) == ["N1", "N2", "N3"]


def test_refused_login_shows_no_password(postgres, lake):
    wrong = sa.create_engine(postgres.url.set(password="wr0ng-s3cret"), poolclass=sa.NullPool)
    said = "refused the login: .*password authentication failed.*Correct connection register"
    with pytest.raises(ConfigurationError, match=said) as refused:
        Try(wrong, lake).land()
    assert "wr0ng-s3cret" not in "".join(traceback.format_exception(refused.value))


def test_refused_query_shows_the_databases_reason(postgres, lake):
    run(
        postgres,
        PLANES,
        THREE_PLANES,
        f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'",
    )
    reader = sa.create_engine(postgres.url.set(username="reader"), poolclass=sa.NullPool)
    attempt = Try(reader, lake)
    with pytest.raises(SourceDataError) as refused:
        attempt.land()
    assert str(refused.value) == (
        f"{where(reader)}: the database refused the query: permission denied for table planes. What "
        "to do: ask the database's owner, or correct the contract; then clear the task"
    )

    run(postgres, "GRANT SELECT ON planes TO reader")
    assert tailnums(attempt.landed()) == ["N1", "N2", "N3"]


ITEMS = 'CREATE TABLE "orderItems" ("orderId" INTEGER NOT NULL, line VARCHAR(3) NOT NULL, amount INTEGER, '
ITEMS += 'note VARCHAR(9), PRIMARY KEY ("orderId", line))'
ITEM_COLUMNS = [
    {"name": "order_id", "type": "bigint", "aliases": ["orderId"]},
    {"name": "line"},
    {"name": "amount", "type": "int"},
]


def items(**source):
    """A contract for order items: a key of two columns, with capitals in a name."""
    made = contract(
        ITEM_COLUMNS, table="orderItems", key=["orderId", "line"], primary_key=["order_id", "line"]
    )
    given = {**made.source.model_dump(mode="json", exclude_none=True), **source}
    return made.from_dict({**made.model_dump(mode="json"), "source": given}, origin="items.yaml")


ROWS = [(order, line, order * 10, None) for order in range(1, 8) for line in ("a", "b", "c")]


def fill(engine):
    values = ", ".join(f"({order}, '{line}', {amount}, NULL)" for order, line, amount, _ in ROWS)
    run(engine, ITEMS, f'INSERT INTO "orderItems" VALUES {values}')


@pytest.mark.parametrize(("batch_rows", "batches_a_slice"), [(4, 10), (1, 2), (5, 1), (100, 10)])
def test_a_key_of_several_columns_loses_no_row_and_repeats_none(
    engine, lake, monkeypatch, batch_rows, batches_a_slice
):
    monkeypatch.setattr("millstream.sources.sql.BATCHES_A_SLICE", batches_a_slice)
    fill(engine)
    attempt = Try(engine, lake, items(batch_rows=batch_rows))
    manifest = attempt.land()
    found = attempt.table(manifest).select(["orderId", "line"]).to_pylist()
    assert [(row["orderId"], row["line"]) for row in found] == [(order, line) for order, line, *_ in ROWS]


def test_a_key_of_several_columns_that_repeats_is_none(engine, lake):
    run(engine, 'CREATE TABLE "orderItems" ("orderId" INTEGER, line VARCHAR(3), amount INTEGER)')
    run(engine, "INSERT INTO \"orderItems\" VALUES (1, 'a', 1), (1, 'a', 2), (1, NULL, 3), (1, 'b', 4)")
    with pytest.raises(
        SourceDataError, match="orderId, line is not a key: 1 rows have none, 1 repeat another"
    ):
        Try(engine, lake, items()).land()


def test_only_the_columns_and_rows_that_are_asked_for_are_read(engine, lake):
    fill(engine)
    attempt = Try(engine, lake, items(columns=["amount"], filter="amount >= 60 AND line <> 'b:c'"))
    table = attempt.table(attempt.land())
    assert table.column_names == ["orderId", "line", "amount"]
    assert table.num_rows == 6
    with pytest.raises(SchemaDriftError, match="column removed at the source: price"):
        Try(engine, lake, items(columns=["amount", "price"])).plan()
    with pytest.raises(SourceDataError, match=r"no row for which source\.filter holds"):
        Try(engine, lake, items(filter="amount > 1000")).plan()
    with pytest.raises((SourceDataError, SourceUnavailableError), match="price"):
        Try(engine, lake, items(filter="price > 1")).plan()


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"filter": "true; DROP TABLE planes"}, "filter: expected one condition"),
        ({"filter": "true -- but"}, "filter: expected one condition"),
        ({"filter": " "}, "filter: expected one condition"),
        ({"columns": ["line"]}, "source.columns: leaves out what the contract has: amount"),
        ({"key": []}, "key: expected a column, or several"),
        ({"key": ["line", "line"]}, "key: expected a column, or several"),
    ],
)
def test_a_filter_is_a_condition_and_a_key_has_columns(entries, why):
    with pytest.raises(ContractError, match=why):
        items(**entries)


def test_all_keys_are_listed_beside_the_rows_where_they_are_compared(register, lake):
    """In one file of their own, as they are now; rows that are not wanted have none."""
    made = contract("tailnum:string", watermark="updated_at", deletes="compare_keys")
    made = made.from_dict(
        {
            **made.model_dump(mode="json"),
            "source": {**made.source.model_dump(mode="json"), "filter": "seats < 3"},
        },
        origin="planes.yaml",
    )
    manifest = Try(register, lake, made).land()
    assert [file.keys for file in manifest.files] == [False]
    (keys,) = manifest.keys
    listed = pq.read_table(lake / keys.path)
    assert listed.to_pydict() == {"tailnum": ["N1", "N2"]}
    assert set(manifest.objects) == {*manifest.paths, keys.path}
    # Nothing is new, but the keys are asked for all the same.
    again = Try(register, lake, made, run="2")
    assert [piece.keys for piece in again.plan("2099-01-01T00:00:00")] == [True]
