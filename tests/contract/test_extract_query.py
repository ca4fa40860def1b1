"""What a query selects at a real database, in the place of a table."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError, ContractError, SchemaDriftError, SourceDataError
from tests.support.sql_runs import Try, run

JOINED = """
SELECT o.id AS id, c.name AS "Customer", sum(l.price) AS total, count(*) AS parts, o.placed AS placed
FROM orders o JOIN order_lines l ON l.order_id = o.id LEFT JOIN customers c ON c.id = o.customer
WHERE l.note <> 'cancelled: 10%' GROUP BY o.id, c.name, o.placed
"""
COLUMNS = [
    {"name": "id", "type": "int"},
    {"name": "customer", "aliases": ["Customer"]},
    {"name": "total", "type": "decimal(12,2)"},
    {"name": "parts", "type": "int"},
    {"name": "placed", "type": "timestamp_ntz"},
]


def contract(query: str | None = JOINED, columns: Any = COLUMNS, **source: Any) -> Contract:
    given = {"kind": "sql", "connection": "shop", "query": query, "key": "id", "batch_rows": 2, **source}
    load = "watermark" if "watermark" in source else "full"
    return Contract.from_dict(
        {"dataset": "orders", "source": given, "load": load, "columns": columns, "primary_key": ["id"]},
        origin="orders.yaml",
    )


@pytest.fixture
def shop(engine: sa.Engine) -> sa.Engine:
    run(
        engine,
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(9))",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, placed TIMESTAMP)",
        "CREATE TABLE order_lines (order_id INTEGER, price NUMERIC(8,2), note VARCHAR(30))",
        "INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob')",
        *(
            f"INSERT INTO orders VALUES ({number}, {number % 3}, '2024-05-0{number} 10:00:00.000000')"
            for number in range(1, 6)
        ),
        *(f"INSERT INTO order_lines VALUES ({number}, {number}.25, 'x')" for number in range(1, 6)),
        "INSERT INTO order_lines VALUES (5, 0.50, 'x'), (1, 99, 'cancelled: 10%')",
    )
    return engine


def test_a_join_with_sums_lands_in_the_order_of_its_key(shop: sa.Engine, lake: Path) -> None:
    attempt = Try(shop, lake, contract())
    manifest = attempt.land()
    assert [file.rows for file in manifest.files] == [2, 2, 1]
    assert all("query-000-" in file.path for file in manifest.files)
    assert all(file.source.startswith("the query of ") for file in manifest.files)
    rows = attempt.table(manifest).to_pylist()
    assert [row["id"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["Customer"] for row in rows] == ["Ada", "Bob", None, "Ada", "Bob"]
    assert [row["parts"] for row in rows] == [1, 1, 1, 1, 2]
    totals = [Decimal(str(row["total"])) for row in rows]
    assert totals == [Decimal(text) for text in ("1.25", "2.25", "3.25", "4.25", "5.75")]


def test_an_increment_brings_what_is_new(shop: sa.Engine, lake: Path) -> None:
    wanted = contract(watermark="placed", lookback="PT1S")
    first = Try(shop, lake, wanted).land()
    assert first.watermark_high == "2024-05-05T10:00:00"
    run(
        shop,
        "INSERT INTO orders VALUES (6, 1, '2024-05-06 10:00:00.000000')",
        "INSERT INTO order_lines VALUES (6, 6.25, 'x')",
    )
    second = Try(shop, lake, wanted, "2")
    manifest = second.land(first.watermark_high)
    assert second.table(manifest).column("id").to_pylist()[-1] == 6
    assert manifest.watermark_high == "2024-05-06T10:00:00"


def test_a_filter_and_columns_are_of_what_is_selected(shop: sa.Engine, lake: Path) -> None:
    given = {"kind": "sql", "connection": "shop", "query": JOINED, "key": "id", "columns": ["total"]}
    of = {"source": {**given, "filter": "id > 3"}, "columns": [COLUMNS[0], COLUMNS[2]], "primary_key": ["id"]}
    rows = Try(shop, lake, Contract.from_dict({"dataset": "orders", **of}, origin="orders.yaml")).landed()
    assert [{**row, "total": Decimal(str(row["total"]))} for row in rows] == [
        {"id": 4, "total": Decimal("4.25")},
        {"id": 5, "total": Decimal("5.75")},
    ]


def test_numbers_may_be_read_as_text(shop: sa.Engine, lake: Path) -> None:
    columns = [{"name": "id"}, {"name": "customer"}]
    rows = Try(shop, lake, contract("SELECT id, customer FROM orders", columns)).landed()
    assert rows[0] == {"id": "1", "customer": "1"}


@pytest.mark.parametrize(
    ("query", "error", "said"),
    [
        ("SELECT 1 AS id UNION ALL SELECT 1", SourceDataError, "id is not a key: 0 rows have none, 1 repeat"),
        ("SELECT id FROM nowhere", SourceDataError, "the database refused the query"),
        ("SELECT customer FROM orders", SchemaDriftError, "column removed at the source: id"),
    ],
)
def test_what_is_wrong_with_a_query_is_told(
    shop: sa.Engine, lake: Path, query: str, error: type[Exception], said: str
) -> None:
    attempt = Try(shop, lake, contract(query, [{"name": "id", "type": "int"}]))
    with pytest.raises(error, match=f"the query of .*{said}"):
        attempt.land()
    assert not attempt.has_landed()


def test_columns_named_twice_are_told(postgres: sa.Engine, lake: Path) -> None:
    # SQLite gives the second one a name of its own.
    attempt = Try(postgres, lake, contract("SELECT 1 AS id, 2 AS id", [{"name": "id", "type": "int"}]))
    with pytest.raises(ConfigurationError, match=r"the query of .* selects columns named twice: 'id'"):
        attempt.land()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"query": None}, "one of the two says what is read"),
        ({"table": "orders"}, "one of the two says what is read"),
        ({"query": "DELETE FROM orders"}, "expected a SELECT"),
        ({"query": "SELECT 1 AS id; DELETE FROM orders"}, "without comments and semicolons"),
        ({"query": "SELECT id FROM orders -- all"}, "without comments and semicolons"),
        ({"query": "SELECT id FROM orders ORDER BY id LIMIT 5"}, "ORDER, LIMIT: rows are read in parts"),
        ({"query": "SELECT id FROM"}, "query: "),
        ({"query": "WITH a AS (SELECT 1 AS id) SELECT id FROM a LIMIT 1"}, "LIMIT: rows are read in parts"),
    ],
)
def test_what_is_no_query_is_refused(source: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        contract(**source)
