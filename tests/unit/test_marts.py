"""What a mart's file says: the tables that its SELECT reads, and its head."""

from __future__ import annotations

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
