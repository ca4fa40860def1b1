"""What MariaDB alone does: its types, its collations, values that no calendar has, and its errors."""

from __future__ import annotations

import traceback
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.errors import ConfigurationError, SourceDataError, SourceUnavailableError
from millstream.formats.readers.parquet import UNFIT
from millstream.landing.run import Landing
from millstream.sources.sql import SqlExtractor
from tests.support.mariadb_server import DATABASE, PASSWORD
from tests.support.sql_runs import PLANES, THREE_PLANES, Try, contract, run, tailnums, where

pytestmark = pytest.mark.thorough

TYPES = """CREATE TABLE planes (
    id INT UNSIGNED PRIMARY KEY, price DECIMAL(10,2), exact DECIMAL(65,30), seen DATETIME(6),
    changed TIMESTAMP(6) NULL, flies BOOLEAN, small TINYINT, one BIT(1), bits BIT(64), built YEAR,
    at TIME(3), day DATE, engine ENUM('jet','fan'), tags SET('x','y'), doc JSON, photo LONGBLOB,
    code VARBINARY(12), hash BINARY(4), note TEXT, short CHAR(3), speed FLOAT, weight DOUBLE, uid UUID,
    old VARCHAR(5) CHARACTER SET latin1)"""
OF_TYPES = """INSERT INTO planes VALUES (4294967295, 1.50, 0.123456789012345678901234567890,
    '2013-01-01 00:00:00.123456', '2013-06-01 00:00:00.5', TRUE, -3, b'1', 18446744073709551615, 2013,
    '-838:59:59', '1969-02-09', 'fan', 'x,y', '{"a": 1}', x'00ff', 'v', 'ab', '😀 São', 'a', 16777217,
    0.12345678901234567, '0b0e7d6e-1c1f-4b7e-9a54-3f1f0c1d2e3f', 'Äé')"""
VALUES = {
    "id": 4294967295,
    "price": Decimal("1.50"),
    "exact": "0.123456789012345678901234567890",
    "seen": datetime(2013, 1, 1, 0, 0, 0, 123456),
    "changed": datetime(2013, 5, 31, 19, 0, 0, 500000, UTC),
    "flies": True,
    "small": -3,
    "one": True,
    "bits": Decimal(2**64 - 1),
    "built": 2013,
    "at": "-838:59:59.000",
    "day": date(1969, 2, 9),
    "engine": "fan",
    "tags": "x,y",
    "doc": '{"a": 1}',
    "photo": b"\x00\xff",
    "code": b"v",
    "hash": b"ab\x00\x00",
    "note": "😀 São",
    "short": "a",
    "speed": 16777216.0,
    "weight": 0.12345678901234567,
    "uid": "0b0e7d6e-1c1f-4b7e-9a54-3f1f0c1d2e3f",
    "old": "Äé",
}
READ_AS = "id:bigint flies:boolean one:boolean bits:decimal(20,0)"


def test_every_type_lands_exact_and_times_in_utc_whatever_the_servers_zone(mariadb, lake):
    with mariadb.begin() as connection:
        connection.execute(sa.text(TYPES))
        connection.execute(sa.text("SET time_zone = '+05:00'"))
        connection.execute(sa.text(OF_TYPES.replace(":", r"\:")))
        connection.execute(sa.text("INSERT INTO planes (id) VALUES (1)"))
        connection.execute(sa.text("SET GLOBAL time_zone = '+09:00'"))
    try:
        empty, filled = Try(mariadb, lake, contract(READ_AS, key="id", batch_rows=1)).landed()
    finally:
        run(mariadb, "SET GLOBAL time_zone = 'SYSTEM'")
    assert filled == VALUES
    assert empty == {name: 1 if name == "id" else None for name in VALUES}


def test_a_flag_that_the_contract_calls_a_number_is_one(mariadb, lake):
    run(mariadb, "CREATE TABLE planes (id INT PRIMARY KEY, flies BOOLEAN, one BIT(1), bits BIT(9))")
    run(mariadb, "INSERT INTO planes VALUES (1, 7, b'1', 256)")
    attempt = Try(mariadb, lake, contract("id:int flies:int one:int bits:int", key="id"))
    assert attempt.landed() == [{"id": 1, "flies": 7, "one": 1, "bits": 256}]


def unfit(attempt: Try) -> list[dict[str, str] | None]:
    (file,) = attempt.land().files
    return [
        dict(entries) if entries else None
        for entries in pq.read_table(attempt.lake / file.path)[UNFIT].to_pylist()
    ]


def test_values_that_no_type_has_land_as_text_apart(mariadb, lake):
    with mariadb.begin() as connection:
        connection.execute(sa.text("SET sql_mode = 'ALLOW_INVALID_DATES'"))
        connection.execute(
            sa.text(
                "CREATE TABLE planes (id INT PRIMARY KEY, day DATE, seen DATETIME, big BIGINT UNSIGNED, "
                "b BOOLEAN)"
            )
        )
        rows = [
            "(1, '0000-00-00', '2013-00-10', 9223372036854775808, 2)",
            "(2, '2013-02-31', '0000-00-00', 9223372036854775807, 1)",
            "(3, '2012-02-29', '9999-12-31 23:59:59', 0, 0)",
            "(4, NULL, NULL, NULL, NULL)",
            "(5, '0000-05-05', '2013-05-00', 1, -1)",
        ]
        connection.execute(sa.text(f"INSERT INTO planes VALUES {', '.join(rows)}".replace(":", r"\:")))
    attempt = Try(mariadb, lake, contract("id:int day:date big:bigint b:boolean", key="id"))
    assert unfit(attempt) == [
        {"day": "0000-00-00", "seen": "2013-00-10 00:00:00", "big": "9223372036854775808", "b": "2"},
        {"day": "2013-02-31", "seen": "0000-00-00 00:00:00"},
        None,
        None,
        {"day": "0000-05-05", "seen": "2013-05-00 00:00:00", "b": "-1"},
    ]
    assert attempt.landed()[2] == {
        "id": 3, "day": date(2012, 2, 29), "seen": datetime(9999, 12, 31, 23, 59, 59), "big": 0, "b": False,
    }  # fmt: skip


def test_a_zero_date_as_watermark_is_read_every_time_and_is_no_highest(mariadb, lake):
    with mariadb.begin() as connection:
        connection.execute(sa.text("SET sql_mode = ''"))
        connection.execute(
            sa.text("CREATE TABLE planes (tailnum VARCHAR(6) PRIMARY KEY, updated_at DATETIME)")
        )
        connection.execute(sa.text("INSERT INTO planes VALUES ('N1', '0000-00-00'), ('N2', '2013-01-01')"))
    made = contract("tailnum:string", watermark="updated_at")
    manifest = Try(mariadb, lake, made).land()
    assert manifest.watermark_high == "2013-01-01T00:00:00"
    assert tailnums(Try(mariadb, lake, made).landed("2013-02-01T00:00:00")) == ["N1"]


@pytest.mark.parametrize("key", ["DATE", "BIGINT UNSIGNED"])
def test_a_key_that_cannot_be_kept_in_order_is_refused(mariadb, lake, key):
    value = "'0000-00-00'" if key == "DATE" else "18446744073709551615"
    with mariadb.begin() as connection:
        connection.execute(sa.text("SET sql_mode = ''"))
        connection.execute(sa.text(f"CREATE TABLE planes (id {key} PRIMARY KEY)"))
        connection.execute(sa.text(f"INSERT INTO planes VALUES ({value})"))
    with pytest.raises(SourceDataError, match=f"column id holds {value if key == 'DATE' else repr(value)}"):
        Try(mariadb, lake, contract("id:bigint" if key != "DATE" else "id:date", key="id")).plan()


TEXTS = ["", "A", "a", "Ä", "ä", "a ", "B", "b", "ß", "ss", "😀", "a\t"]


@pytest.mark.parametrize("charset", ["utf8mb4", "latin1"])
@pytest.mark.parametrize("batches_a_slice", [1, 10])
def test_texts_that_are_one_for_the_collation_are_rows_of_their_own(
    mariadb, lake, monkeypatch, charset, batches_a_slice
):
    """'a', 'A' and 'a ' are equal there: behind 'a' none of them comes."""
    monkeypatch.setattr("millstream.sources.sql.BATCHES_A_SLICE", batches_a_slice)
    texts = [one for one in TEXTS if charset == "utf8mb4" or one.encode("latin1", "ignore")]
    run(mariadb, f"CREATE TABLE planes (tailnum VARCHAR(12) NOT NULL, seats INT) CHARACTER SET {charset}")
    with mariadb.begin() as connection:
        values = [{"name": one, "seats": place} for place, one in enumerate(texts)]
        connection.execute(sa.text("INSERT INTO planes VALUES (:name, :seats)"), values)
    landed = Try(mariadb, lake, contract(batch_rows=1)).landed()
    assert tailnums(landed) == sorted(texts)
    run(mariadb, "INSERT INTO planes VALUES ('a', 99)")
    with pytest.raises(SourceDataError, match="tailnum is not a key: 0 rows have none, 1 repeat another's"):
        Try(mariadb, lake).plan()


def test_keys_of_a_view_whose_texts_begin_alike_lose_no_row(mariadb, lake):
    run(
        mariadb,
        "CREATE TABLE long_names (tailnum TEXT, seats INT)",
        "CREATE VIEW planes AS SELECT tailnum, seats FROM long_names",
    )
    with mariadb.begin() as connection:
        values = [{"name": "x" * 2000 + end, "seats": place} for place, end in enumerate("badcAB")]
        connection.execute(sa.text("INSERT INTO long_names VALUES (:name, :seats)"), values)
    landed = Try(mariadb, lake, contract(batch_rows=1)).landed()
    assert [row["seats"] for row in landed] == [4, 5, 1, 0, 3, 2]


@pytest.mark.parametrize("key", [", PRIMARY KEY (tailnum)", ""])
@pytest.mark.parametrize("kind", ["VARCHAR(12)", "VARBINARY(12)"])
def test_quotes_and_backslashes_are_characters_however_the_server_is_set(mariadb, lake, key, kind):
    run(mariadb, "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT'")
    try:
        run(mariadb, f"CREATE TABLE planes (tailnum {kind} NOT NULL, seats INT{key})")
        texts = ["'", "'' OR 1=1", "\\", "\\'", "\\\\", '"', "%s", ":x"]
        with mariadb.begin() as connection:
            values = [{"name": one, "seats": place} for place, one in enumerate(texts)]
            connection.execute(sa.text("INSERT INTO planes VALUES (:name, :seats)"), values)
        fresh = sa.create_engine(mariadb.url, poolclass=sa.NullPool)
        type_ = "binary" if kind.startswith("VARB") else "string"
        made = contract(f"tailnum:{type_} seats:int", batch_rows=1)
        landed = Try(fresh, lake, made).landed()
    finally:
        run(mariadb, "SET GLOBAL sql_mode = DEFAULT")
    assert sorted(row["seats"] for row in landed) == list(range(len(texts)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text("aAäÄbBß _%😀", max_size=3), min_size=1, max_size=25),
    batch_rows=st.integers(1, 4),
    declared=st.booleans(),
)
def test_every_row_is_landed_once_whatever_the_texts_of_a_key_of_two(
    mariadb, tmp_path_factory, texts, batch_rows, declared
):
    key = "PRIMARY KEY (name, line)" if declared else "INDEX (name)"
    run(mariadb, "DROP TABLE IF EXISTS planes")
    run(mariadb, f"CREATE TABLE planes (name VARCHAR(12) NOT NULL, line INT NOT NULL, {key})")
    with mariadb.begin() as connection:
        insert = sa.text("INSERT IGNORE INTO planes VALUES (:name, :line)")
        connection.execute(insert, [{"name": one, "line": place % 3} for place, one in enumerate(texts)])
        stored = [tuple(row) for row in connection.execute(sa.text("SELECT name, line FROM planes"))]
    made = contract("name:string line:int", key=["name", "line"], batch_rows=batch_rows)
    attempt = Try(mariadb, tmp_path_factory.mktemp("lake"), made)
    if len(set(stored)) != len(stored):
        with pytest.raises(SourceDataError, match="name, line is not a key"):
            attempt.plan()
        return
    landed = [(row["name"], row["line"]) for row in attempt.landed()]
    assert sorted(landed) == sorted(stored)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("ENUM('z','b','a')", ["a", "b", "z"]),
        ("SET('z','b')", ["", "b", "z", "z,b"]),
        ("FLOAT", ["0.1", "0.2", "16777217"]),
        ("BIT(9)", [1, 2, 256]),
        ("YEAR", [1969, 2013, 2014]),
        ("UUID", ["10000000-0000-1000-8000-000000000002", "f0000000-0000-1000-8000-000000000001"]),
        ("TIMESTAMP(6)", ["2013-01-01 00:00:00.000001", "2013-01-01 00:00:00.000002"]),
    ],
)  # fmt: skip
def test_keys_of_its_own_types_lose_no_row(mariadb, lake, kind, values):
    run(mariadb, "DROP TABLE IF EXISTS planes")
    with mariadb.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE planes (id {kind} NOT NULL PRIMARY KEY, place INT)"))
        for place, value in enumerate(values):
            connection.execute(
                sa.text("INSERT INTO planes VALUES (:id, :place)"), {"id": value, "place": place}
            )
    landed = Try(mariadb, lake, contract("id:string", key="id", batch_rows=1)).landed()
    assert sorted(row["place"] for row in landed) == list(range(len(values)))


def test_bytes_are_a_key(mariadb, lake):
    run(mariadb, "CREATE TABLE planes (id BINARY(16) PRIMARY KEY)")
    keys = [bytes([number]) * 16 for number in (0, 10, 39, 92, 255)]
    with mariadb.begin() as connection:
        connection.execute(sa.text("INSERT INTO planes VALUES (:id)"), [{"id": key} for key in keys])
    attempt = Try(mariadb, lake, contract("id:binary", key="id", batch_rows=1))
    assert [row["id"] for row in attempt.landed()] == keys


def test_a_read_sees_one_state_of_the_table_while_it_is_written_to(mariadb, lake):
    run(mariadb, PLANES, THREE_PLANES)
    # As some servers are set.
    run(mariadb, "SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED")
    attempt = Try(mariadb, lake, contract(batch_rows=1))
    (piece,) = attempt.plan()

    class WritingMeanwhile(Landing):
        def land(self, *given, **named):
            run(mariadb, "DELETE FROM planes WHERE tailnum > 'N1'")
            return super().land(*given, **named)

    try:
        files = attempt.extractor.fetch(piece, WritingMeanwhile(attempt.storage, "planes", "1"))
    finally:
        run(mariadb, "SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    assert [file.rows for file in files] == [1, 1, 1]


def test_keys_that_are_compared_do_not_fill_the_memory(mariadb, lake, monkeypatch):
    monkeypatch.setattr("millstream.sources.sql.KEYS_AT_ONCE", 1000)
    run(
        mariadb,
        "CREATE TABLE planes (tailnum VARCHAR(99) NOT NULL PRIMARY KEY, updated_at DATETIME)",
        "INSERT INTO planes SELECT LPAD(seq, 99, '0'), '2013-01-01' FROM seq_1_to_100000",
    )
    made = contract("tailnum:string", watermark="updated_at", deletes="compare_keys")
    attempt = Try(mariadb, lake, made)
    piece = attempt.plan()[-1]
    assert piece.keys
    tracemalloc.start()
    (file,) = attempt.extractor.fetch(piece, Landing(attempt.storage, "planes", "1"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pq.read_table(lake / file.path).num_rows == 100_000
    # All keys at once are twenty megabytes of Python's texts, and as much of rows.
    assert peak < 10_000_000


def test_reconcile_counts_by_characters_as_python_does(mariadb, lake):
    run(
        mariadb,
        "CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, updated_at DATETIME)",
        "INSERT INTO planes VALUES ('a', '2013-01-01'), ('B', '2013-01-01'), ('c', '2013-01-01')",
    )
    extractor = SqlExtractor(contract("tailnum:string", watermark="updated_at"), mariadb)
    with extractor.counting("2014-01-01T00:00:00") as source:
        # In the order of codes B comes first; for the collation it is behind a.
        assert source.counts(["B", "a"]) == [1, 1, 1]


def test_a_refused_login_and_an_unknown_database_are_the_connections_fault(mariadb, lake):
    for change, said in (
        ({"password": "wr0ng-s3cret"}, "Access denied for user"),
        ({"database": "warehouse"}, "Unknown database 'warehouse'"),
    ):
        wrong = sa.create_engine(mariadb.url.set(**change), poolclass=sa.NullPool)
        with pytest.raises(
            ConfigurationError, match=f"refused the login: {said}.*Correct connection register"
        ) as refused:
            Try(wrong, lake).land()
        assert "wr0ng-s3cret" not in "".join(traceback.format_exception(refused.value))


def test_a_refused_query_shows_the_servers_reason_and_a_grant_heals(mariadb, lake):
    run(
        mariadb,
        PLANES,
        THREE_PLANES,
        f"CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
        f"GRANT SELECT (tailnum) ON {DATABASE}.planes TO reader@'127.0.0.1'",
    )
    reader = sa.create_engine(mariadb.url.set(username="reader"), poolclass=sa.NullPool)
    attempt = Try(reader, lake)
    with pytest.raises(SourceDataError, match=r"the database refused the query: .*denied to user 'reader'"):
        attempt.land()
    assert not attempt.has_landed()

    run(mariadb, f"GRANT SELECT ON {DATABASE}.planes TO reader@'127.0.0.1'")
    assert tailnums(attempt.landed()) == ["N1", "N2", "N3"]


def test_a_server_that_is_down_says_so_without_the_password_and_a_retry_heals(
    mariadb_server, mariadb, lake, caplog
):
    run(mariadb, PLANES, THREE_PLANES)
    attempt = Try(mariadb, lake)
    mariadb_server.stop()
    try:
        with pytest.raises(SourceUnavailableError) as refused:
            attempt.land()
    finally:
        mariadb_server.start()
    assert str(refused.value).startswith(f"{where(mariadb)}: the database does not answer: ")
    assert str(refused.value).endswith("Check the database and connection register; another try will follow")
    assert PASSWORD not in "".join(traceback.format_exception(refused.value)) + caplog.text
    assert not attempt.has_landed()
    assert tailnums(attempt.landed()) == ["N1", "N2", "N3"]


def test_what_passes_is_tried_again(mariadb, lake):
    run(mariadb, PLANES, "INSERT INTO planes SELECT seq, seq FROM seq_1_to_100000")
    run(mariadb, "SET GLOBAL max_statement_time = 0.001")
    try:
        with pytest.raises(SourceUnavailableError, match=r"max_statement_time.*another try will follow"):
            Try(mariadb, lake).plan()
    finally:
        run(mariadb, "SET GLOBAL max_statement_time = 0")


def test_a_table_that_somebody_changes_meanwhile_is_tried_again(mariadb, lake):
    run(mariadb, PLANES, THREE_PLANES)
    attempt = Try(mariadb, lake)
    with mariadb.connect() as writer:
        writer.execute(sa.text("LOCK TABLES planes WRITE"))
        run(mariadb, "SET GLOBAL lock_wait_timeout = 1")
        try:
            with pytest.raises(SourceUnavailableError, match="another try will follow"):
                attempt.land()
        finally:
            run(mariadb, "SET GLOBAL lock_wait_timeout = 86400")
    assert tailnums(attempt.landed()) == ["N1", "N2", "N3"]
