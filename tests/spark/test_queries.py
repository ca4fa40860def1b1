"""Text in queries: a literal is always a literal, and `make sql` changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from millstream.lake.sql import literal
from millstream_stack.commands.sql import read_only

pytestmark = pytest.mark.spark

HOSTILE = (
    "'",
    "\\",
    "\\'",
    "' OR '1'='1",
    "\\' OR 1=1 --",
    "x'); DROP TABLE t; --",
    "${spark.app.name}",
    "${spark.sql.session.timeZone}",
    "`a`",
    'say "hi"',
    "a\nb\tc\r",
    "%_",
    "\u2019\u02bc\uff07",
    "/* */ -- #",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_literal_is_the_text_whatever_it_holds(spark: SparkSession, text: str) -> None:
    assert spark.sql(f"SELECT {literal(text)}").collect() == [(text,)]


@pytest.fixture(scope="module")
def table(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"file://{tmp_path_factory.mktemp('table')}"
    spark.createDataFrame([(2, "b"), (1, "a")], "id int, name string").write.format("delta").save(uri)
    return f"delta.`{uri}`"


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT name FROM {t} ORDER BY id", [("a",), ("b",)]),
        ("select count(*) from {t};", [(2,)]),
        ("WITH few AS (SELECT * FROM {t} WHERE id = 1) SELECT name FROM few -- the first", [("a",)]),
        ("VALUES (1)", [(1,)]),
        ("describe {t}", [("id", "int", None), ("name", "string", None)]),
    ],
)
def test_questions_are_answered(
    spark: SparkSession, table: str, query: str, rows: list[tuple[object, ...]]
) -> None:
    assert spark.sql(read_only(query.format(t=table))).collect() == rows


@pytest.mark.parametrize(
    "command",
    [
        "DELETE FROM {t}",
        "-- harmless\nDELETE FROM {t}",
        "INSERT INTO {t} VALUES (3, 'c')",
        "UPDATE {t} SET name = 'x'",
        "DROP TABLE {t}",
        "VACUUM {t} RETAIN 0 HOURS",
        "RESTORE TABLE {t} TO VERSION AS OF 0",
        "SET spark.sql.ansi.enabled = false",
        "BEGIN DELETE FROM {t}; END",
        "SELECT 1); DELETE FROM {t}; SELECT * FROM (SELECT 1",
        "SELECT 1; DELETE FROM {t}",
        "WITH few AS (SELECT 1) DELETE FROM {t}",
        "WITH few AS (SELECT 3 AS id, 'c' AS name) INSERT INTO {t} SELECT * FROM few",
        "FROM {t} INSERT OVERWRITE DIRECTORY '{folder}' SELECT id",
        "DESCRIBE {t}; DELETE FROM {t}",
        "EXPLAIN DELETE FROM {t}; DELETE FROM {t}",
    ],
)
def test_commands_are_refused(spark: SparkSession, table: str, tmp_path: Path, command: str) -> None:
    before = spark.sql(f"DESCRIBE HISTORY {table}").count()
    with pytest.raises(PySparkException):
        spark.sql(read_only(command.format(t=table, folder=tmp_path / "out"))).collect()

    assert spark.sql(f"DESCRIBE HISTORY {table}").count() == before
    assert not (tmp_path / "out").exists()
