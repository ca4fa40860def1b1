"""Random SELECTs: of those that are taken for made month by month, no row follows from another month.

DuckDB runs each before and after the rows of one month have changed: the rows of the other months stay.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import duckdb
import pytest
import sqlglot

from millstream.errors import ContractError
from millstream.marts import Head, Mart
from millstream.marts.partitions import require_by_month
from tests.support.thorough import thorough

MONTHS = ("2013-01", "2013-02", "2013-03")
CUT_BY = {"silver.f": "month", "silver.w": "month", "silver.d": None}
QUERIES = 150
Rows = list[tuple[Any, ...]]


class Grammar:
    """Makes SELECTs with the columns month, a and x, most of them nearly right."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.names = 0

    def query(self, depth: int = 2) -> str:
        shapes = [self.plain, self.grouped, self.windowed, self.distinct, self.limited]
        if depth > 0:
            shapes.append(self.united)
        return str(self.chance.choice(shapes)(depth))

    def plain(self, depth: int) -> str:
        origin, alias = self.origin(depth)
        return f"SELECT {self.month(alias)} AS month, {alias}.a, {alias}.x FROM {origin} {self.where(alias)}"

    def grouped(self, depth: int) -> str:
        origin, alias = self.origin(depth)
        keys = self.some(f"{alias}.month", f"{alias}.a", "1", "ALL")
        month = self.one_of(f"{alias}.month", f"max({alias}.month)", f"min({alias}.month)")
        chosen = f"SELECT {month} AS month, max({alias}.a) AS a, sum({alias}.x) AS x FROM {origin}"
        having = self.one_of("", "", "HAVING count(*) > 1")
        return f"{chosen} {self.where(alias)} GROUP BY {'ALL' if 'ALL' in keys else keys} {having}"

    def windowed(self, depth: int) -> str:
        origin, alias = self.origin(depth)
        by = self.one_of("", *(f"PARTITION BY {self.some(f'{alias}.month', f'{alias}.a')}" for _ in range(3)))
        over = f"sum({alias}.x) OVER ({by} {self.one_of('', f'ORDER BY {alias}.a')})"
        if self.chance.random() < 0.3:
            kept = f"QUALIFY {over} > 3"
            return f"SELECT {alias}.month, {alias}.a, {alias}.x FROM {origin} {self.where(alias)} {kept}"
        return f"SELECT {alias}.month, {alias}.a, {over} AS x FROM {origin} {self.where(alias)}"

    def distinct(self, depth: int) -> str:
        origin, alias = self.origin(depth)
        return f"SELECT DISTINCT {self.month(alias)} AS month, {alias}.a, 1 AS x FROM {origin}"

    def united(self, depth: int) -> str:
        how = self.one_of("UNION", "UNION ALL", "EXCEPT", "INTERSECT")
        left, right = (
            f"SELECT {self.one_of('month, a, x', 'a, month, x')} FROM ({self.query(depth - 1)})"
            for _ in range(2)
        )
        return f"{left} {how} {right}"

    def limited(self, depth: int) -> str:
        return f"{self.plain(depth)} {self.one_of('', '', 'ORDER BY 1, 2, 3 LIMIT 2')}"

    def origin(self, depth: int) -> tuple[str, str]:
        """A FROM, and the alias of what has the columns."""
        first, alias = self.source(depth)
        if self.chance.random() < 0.5:
            return first, alias
        if self.chance.random() < 0.3:
            self.names += 1
            how = self.one_of("JOIN", "LEFT JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN", "RIGHT JOIN")
            return f"{first} {how} silver.d AS d{self.names} ON d{self.names}.a = {alias}.a", alias
        second, other = self.source(depth)
        how = self.one_of("JOIN", "LEFT JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN", "RIGHT JOIN", "FULL JOIN")
        equal = self.one_of(
            *(f"{alias}.month = {other}.month", f"{other}.month = {alias}.month AND {alias}.a = {other}.a"),
            *(f"{alias}.a = {other}.a", f"{alias}.month = {other}.month OR {alias}.a = {other}.a"),
            *(f"{alias}.month <= {other}.month", f"NOT ({alias}.month = {other}.month)"),
        )
        hidden = how in ("LEFT SEMI JOIN", "LEFT ANTI JOIN")
        return f"{first} {how} {second} ON {equal}", alias if hidden else self.one_of(alias, alias, other)

    def source(self, depth: int) -> tuple[str, str]:
        self.names += 1
        alias = f"t{self.names}"
        if depth > 0 and self.chance.random() < 0.4:
            return f"({self.query(depth - 1)}) AS {alias}", alias
        return f"{self.one_of('silver.f', 'silver.w')} AS {alias}", alias

    def month(self, alias: str) -> str:
        return self.one_of(*[f"{alias}.month"] * 5, f"max({alias}.month) OVER ()", "'2013-01'", f"{alias}.a")

    def where(self, alias: str) -> str:
        table = self.one_of("silver.d", "silver.d", "silver.f")
        return self.one_of(
            *["", "", f"WHERE {alias}.x > 1", f"WHERE {alias}.month >= '2013-02'"],
            f"WHERE {alias}.a IN (SELECT a FROM {table})",
            f"WHERE {alias}.x >= (SELECT min(a) FROM {table})",
        )

    def one_of(self, *values: Any) -> Any:
        return self.chance.choice(values)

    def some(self, *values: str) -> str:
        return ", ".join(self.chance.sample(values, self.chance.randrange(1, len(values))))


def is_taken(sql: str) -> bool:
    mart = Mart(name="by_chance", head=Head(partition="month"), sql=sql)
    try:
        require_by_month(mart, {name: CUT_BY[name] for name in mart.inputs})
    except ContractError:
        return False
    return True


def fill(lake: duckdb.DuckDBPyConnection, chance: random.Random, *months: str) -> None:
    for table in ("f", "w"):
        for month in months:
            lake.execute(f"DELETE FROM silver.{table} WHERE month = '{month}'")
            rows = [f"('{month}', {chance.randrange(3)}, {chance.randrange(4)})" for _ in range(4)]
            if kept := rows[: chance.randrange(5)]:
                lake.execute(f"INSERT INTO silver.{table} VALUES {', '.join(kept)}")


def rows_of(lake: duckdb.DuckDBPyConnection, sql: str, *but: str) -> Rows | None:
    """The rows of all months `but` these, in order; None for what DuckDB does not take."""
    ordered = sqlglot.transpile(f"SELECT month, a, x FROM ({sql}) AS made", read="spark", write="duckdb")
    try:
        rows = lake.execute(ordered[0]).fetchall()
    except duckdb.Error:
        return None
    return sorted((row for row in rows if row[0] not in but), key=repr)


def outcomes(
    seed: int, taken: Callable[[str], bool] = is_taken
) -> tuple[Counter[tuple[bool, bool]], list[str]]:
    """How many SELECTs are (taken, the same for the other months), and those that are taken and are not."""
    chance = random.Random(seed)
    lake = duckdb.connect(config={"threads": 1})
    lake.execute("CREATE SCHEMA silver")
    for table in ("f", "w"):
        lake.execute(f"CREATE TABLE silver.{table} (month TEXT, a INT, x INT)")
    lake.execute("CREATE TABLE silver.d AS SELECT unnest([0, 1]) AS a")
    counted: Counter[tuple[bool, bool]] = Counter()
    wrong = []
    for _ in range(QUERIES):
        sql, same = Grammar(chance).query(), True
        fill(lake, chance, *MONTHS)
        for _ in range(3):
            month = chance.choice(MONTHS)
            before = rows_of(lake, sql, month)
            fill(lake, chance, month)
            if before is None:
                break
            same = same and before == rows_of(lake, sql, month)
        else:
            accepted = taken(sql)
            counted[accepted, same] += 1
            wrong += [sql] if accepted and not same else []
    return counted, wrong


@pytest.mark.parametrize("seed", [1, *thorough(*range(2, 12))])
def test_of_what_is_taken_no_row_follows_from_another_month(seed: int) -> None:
    counted, wrong = outcomes(seed)
    assert wrong == []
    # Both kinds occur, so that the test has something to tell apart.
    assert counted[True, True] >= 15
    assert counted[False, False] >= 15
