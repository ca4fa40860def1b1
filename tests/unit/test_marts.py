"""What a mart's file says: the tables that its SELECT reads, and its head."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from millstream.errors import ConfigurationError, ContractError
from millstream.marts import Mart, load_mart, marts
from millstream.settings import CHECKOUT

SELECT = """/*
description: Größe und Verspätung.
key: [origin]
columns: {origin: FAA code}
*/
WITH late AS (SELECT * FROM silver.flights f WHERE f.dep_delay_min > 15) -- FROM silver.nothing
SELECT 'silver.planes ü' AS text, origin, count(*) AS n
FROM late JOIN gold.arrival_delay_predictions USING (flight)
WHERE EXISTS (SELECT 1 FROM `silver`.`airports` WHERE airports.faa = origin)
GROUP BY ALL
"""


def written(root: Path, sql: str, name: str = "late_flights") -> Mart:
    (root / "marts").mkdir(exist_ok=True)
    (root / "marts" / f"{name}.sql").write_text(sql, encoding="utf-8")
    return load_mart(root, name)


def test_what_it_reads_is_found_in_the_sql(tmp_path: Path) -> None:
    mart = written(tmp_path, SELECT)
    assert mart.inputs == ("gold.arrival_delay_predictions", "silver.airports", "silver.flights")
    assert (str(mart.table), mart.head.key) == ("gold.late_flights", ("origin",))
    assert mart.head.description == "Größe und Verspätung."
    assert marts(tmp_path) == ["late_flights"]


def test_only_the_names_of_tables_are_replaced(tmp_path: Path) -> None:
    views = {"silver.flights": "v1", "silver.airports": "v2", "gold.arrival_delay_predictions": "v3"}
    expected = (
        SELECT.replace("FROM silver.flights f", "FROM v1 f")
        .replace("`silver`.`airports`", "v2 AS airports")
        .replace("gold.arrival_delay_predictions", "v3 AS arrival_delay_predictions")
    )
    assert written(tmp_path, SELECT).query(views) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT t.y FROM silver.flights LATERAL VIEW OUTER explode(x) t AS y",
        "SELECT id FROM silver.flights, range(3), LATERAL explode(x), LATERAL (SELECT 1 AS one)",
        "SELECT inline(x), transform(y, z -> z + 1) FROM silver.flights, VALUES (1), (2) AS t(a)",
        "SELECT /*+ BROADCAST(f) */ f.now, `current_time` FROM silver.flights AS f",
        "SELECT unix_timestamp(a), DATE '2013-01-01', pi(), first(b) OVER (ORDER BY c) FROM silver.flights",
        "SELECT user, a AS uuid, 'rand()' AS text FROM silver.flights -- rand()",
        "SELECT * FROM silver.flights PIVOT (sum(a) FOR b IN (1, 2)) ORDER BY 1 LIMIT 3",
    ],
)
def test_what_rows_are_made_of_is_free(tmp_path: Path, sql: str) -> None:
    assert written(tmp_path, sql).inputs == ("silver.flights",)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("SELECT 1 FROM silver.flights, IDENTIFIER('silver.' || 'planes')", "'identifier' has no place"),
        ("SELECT IDENTIFIER('a') FROM silver.flights", "'identifier' has no place"),
        ("SELECT 1 FROM silver.flights, table_changes('silver.planes', 1)", "'table_changes' is no table to"),
        ("SELECT 1 FROM silver.flights, read_files('/etc/passwd')", "'read_files' is no table to read"),
        ("SELECT 1 FROM silver.flights, LATERAL mine(a)", "'mine' is no table to read"),
        ("SELECT 1 FROM silver.flights, delta.`/lake/planes`", "'delta.`/lake/planes`' is no table"),
        ("SELECT 1 FROM silver.flights, parquet.`/x`", "'parquet.`/x`' is no table"),
        ("SELECT TRANSFORM (a) USING 'cat' AS (b) FROM silver.flights", "\"TRANSFORM(a) USING 'cat'"),
        ("SELECT reflect('java.lang.System', 'exit', 1) FROM silver.flights", "'reflect' has no place"),
        ("SELECT java_method('a', 'b') FROM silver.flights", "'java_method' has no place"),
        ("SELECT system.builtin.TRY_REFLECT('a', 'b') FROM silver.flights", "'try_reflect' has no place"),
        ("SELECT a FROM silver.flights WHERE `rand`(1) < 0.1", "'rand' has no place"),
        ("SELECT a FROM silver.flights ORDER BY random()", "'random' has no place"),
        ("SELECT uuid() AS id FROM silver.flights", "'uuid' has no place"),
        ("SELECT now() FROM silver.flights", "'now' has no place"),
        ("SELECT current_timestamp FROM silver.flights", "'current_timestamp' has no place"),
        ("SELECT localtimestamp FROM silver.flights", "'localtimestamp' has no place"),
        ("SELECT unix_timestamp() FROM silver.flights", "'current_timestamp' has no place"),
        ("SELECT DATE 'today' FROM silver.flights", "'today' has no place"),
        ("SELECT a FROM silver.flights TABLESAMPLE (10 PERCENT)", "'TABLESAMPLE (10 PERCENT)' has no place"),
        ("SELECT a FROM silver.flights VERSION AS OF 3", "'VERSION AS OF 3' has no place"),
        ("SELECT a FROM silver.flights@v3", "'${v3}' has no place"),
        ("SELECT :a FROM silver.flights", "':a' has no place"),
    ],
)
def test_what_another_day_or_place_would_answer_otherwise_is_refused(
    tmp_path: Path, sql: str, what: str
) -> None:
    with pytest.raises(ContractError, match=rf"^marts/late_flights.sql: line 1: {re.escape(what)}"):
        written(tmp_path, sql)


def test_the_line_is_that_of_the_call(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="line 3: 'uuid'"):
        written(tmp_path, "SELECT a,\nb,\nuuid() FROM silver.flights")


def test_another_text_is_another_version(tmp_path: Path) -> None:
    first = written(tmp_path, SELECT).version
    assert written(tmp_path, SELECT).version == first
    assert written(tmp_path, SELECT.replace("15", "20")).version != first


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT * FROM flights", "line 1: 'flights' is no table to read: write its zone and name"),
        ("SELECT 1\nFROM bronze.flights", "line 2: 'bronze.flights' is no table to read"),
        ("SELECT 1 FROM parquet.`/tmp/x`", "is no table to read"),
        ("SELECT 1 FROM a.silver.flights", "is no table to read"),
        ("SELECT 1 FROM gold.late_flights", "line 1: reads itself"),
        ("SELECT 1 AS one", "reads no table"),
        ("SELECT 1 FROM silver.flights; DROP TABLE x", "has to be one SELECT, and nothing else"),
        ("DELETE FROM silver.flights", "has to be one SELECT, and nothing else"),
        ("SELECT FROM WHERE (", "cannot be read: "),
        ("SELECT date_trunc() FROM silver.flights", "cannot be read: "),
        ("FROM silver.f |> WHERE x > 1 |> UNION ALL SELECT x FROM silver.g", "cannot be read: "),
        ("SELECT a -- see C:\\\n, b FROM silver.f", r"line 1: ends in \ behind --"),
        ("/* key: [a */ SELECT 1 FROM silver.flights", "is not YAML"),
        ("/* keys: [a] */ SELECT 1 FROM silver.flights", "keys: Extra inputs are not permitted"),
        ("/*\nkey: [a]\nkey: [b]\n*/ SELECT 1 FROM silver.flights", "key 'key' occurs twice"),
        ("/* chart: {x: a} */ SELECT 1 FROM silver.flights", "chart.y: Field required"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, sql: str, why: str) -> None:
    with pytest.raises(ContractError) as refused:
        written(tmp_path, sql)
    assert str(refused.value).startswith("marts/late_flights.sql: ")
    assert why in str(refused.value)


def test_a_mart_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for name in ("nothing", "../nothing"):
        with pytest.raises(ConfigurationError, match="no such mart"):
            load_mart(tmp_path, name)


@pytest.mark.parametrize("name", marts(CHECKOUT))
def test_the_shipped_ones_say_what_each_column_is(name: str) -> None:
    mart = load_mart(CHECKOUT, name)
    assert mart.head.description
    assert mart.head.chart
    assert {mart.head.chart.x, mart.head.chart.y} <= mart.head.columns.keys()
