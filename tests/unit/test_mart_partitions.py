"""Which marts may be made month by month: what is proved, and what is refused with line and remedy."""

from __future__ import annotations

import pytest

from millstream.errors import ContractError
from millstream.marts import Head, Mart
from millstream.marts.partitions import require_by_month

CUT_BY = {"silver.f": "month", "silver.w": "month", "gold.s": "of_month", "silver.d": None, "silver.e": None}


def proved(sql: str, partition: str = "month", key: tuple[str, ...] = ()) -> None:
    mart = Mart(name="by_month", head=Head(partition=partition, key=key), sql=sql)
    require_by_month(mart, {name: CUT_BY[name] for name in mart.inputs})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM silver.f",
        "SELECT f.*, d.name FROM silver.f AS f LEFT JOIN silver.d AS d USING (a)",
        "SELECT `MONTH` AS month, sum(x) AS x FROM silver.f GROUP BY `month`",
        "SELECT month, a, count(*) AS n FROM silver.f GROUP BY ALL",
        "SELECT a, month AS month, count(*) AS n FROM silver.f GROUP BY 1, 2 HAVING count(*) > 1",
        "SELECT of_month AS month, sum(x) AS x FROM gold.s GROUP BY month",
        "SELECT DISTINCT month, a FROM silver.f ORDER BY a",
        "SELECT w.month, f.a FROM silver.f JOIN silver.w ON f.a = w.a AND (w.month = f.month)",
        "SELECT f.month FROM silver.f, silver.w WHERE f.a = w.a AND f.month = w.month",
        "SELECT f.month FROM silver.f, gold.s WHERE f.a = s.a AND f.month <=> s.of_month",
        "SELECT month, a FROM silver.f LEFT JOIN silver.w USING (month, a)",
        "SELECT month FROM silver.f LEFT ANTI JOIN silver.w ON f.month = w.month AND f.a = w.a",
        "SELECT f.month FROM silver.d AS d JOIN silver.f ON d.a = f.a",
        "SELECT f.month FROM silver.d AS d RIGHT JOIN silver.f ON d.a = f.a",
        "SELECT f.month FROM silver.f WHERE a IN (SELECT a FROM silver.d LIMIT 3)",
        "SELECT f.month, (SELECT max(a) FROM silver.d) AS most FROM silver.f",
        "SELECT month, rank() OVER (PARTITION BY a, month ORDER BY x) AS r FROM silver.f",
        "SELECT month, sum(x) OVER w AS r FROM silver.f WINDOW w AS (PARTITION BY month)",
        "SELECT month, a FROM silver.f QUALIFY row_number() OVER (PARTITION BY month ORDER BY a) <= 3",
        "SELECT month, y FROM silver.f CROSS JOIN range(3) LATERAL VIEW explode(x) t AS y",
        "WITH c AS (SELECT month AS m, a FROM silver.f) SELECT m AS month, max(a) AS a FROM c GROUP BY m",
        "WITH c(m, a) AS (SELECT month, a FROM silver.f) SELECT m AS month FROM c",
        "SELECT month FROM (SELECT * FROM (SELECT month, a FROM silver.f) ORDER BY a) t",
        "SELECT month, a FROM silver.f UNION ALL SELECT of_month, b FROM gold.s",
        "SELECT a, month FROM silver.f UNION SELECT a, '2013-01' FROM silver.d",
        "SELECT month, a FROM silver.f EXCEPT SELECT month, a FROM silver.w",
        "SELECT month, a FROM silver.f UNION ALL BY NAME SELECT a, month FROM silver.w",
        "WITH d AS (SELECT a FROM silver.d LIMIT 1) SELECT month FROM silver.f JOIN d USING (a)",
    ],
)
def test_what_follows_from_its_own_month_alone(sql: str) -> None:
    proved(sql)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT a AS month FROM silver.f", "a SELECT whose rows do not have their month"),
        ("SELECT lower(month) AS month FROM silver.f", "a SELECT whose rows do not have their month"),
        ("SELECT max(month) AS month FROM silver.f", "a SELECT whose rows do not have their month"),
        ("SELECT a FROM silver.d", "none of the tables that it reads is cut by months, silver.d"),
        ("SELECT month AS m FROM silver.f", "its column 'month' is not the month of its rows"),
        ("SELECT month AS m, a AS month FROM silver.f", "what is: m. Name that column"),
        ("SELECT * EXCEPT (month) FROM silver.f", "do not have their month"),
        ("SELECT month, m FROM (SELECT a AS month, month AS m FROM silver.f)", "its column 'month' is not"),
        ("SELECT min(month) AS month, a FROM silver.f GROUP BY a", "GROUP BY without the month"),
        ("SELECT lower(a) AS month, month AS m FROM silver.f GROUP BY month, m", "its column 'month' is not"),
        ("SELECT month, a FROM silver.f GROUP BY ROLLUP (month, a)", "ROLLUP, CUBE or GROUPING SETS"),
        ("SELECT month, a FROM silver.f GROUP BY month, a WITH CUBE", "CUBE of several months"),
        ("SELECT month, a FROM silver.f GROUP BY month GROUPING SETS ((a), ())", "GROUPING SETS of several"),
        ("SELECT month, sum(x) OVER (ORDER BY month) AS x FROM silver.f", "a window over several months"),
        (
            "SELECT month, lag(x) OVER (PARTITION BY a ORDER BY b) AS x FROM silver.f",
            "add f.month to its PART",
        ),
        ("SELECT month, sum(x) OVER w AS r FROM silver.f WINDOW w AS (PARTITION BY a)", "a window over"),
        ("SELECT month FROM silver.f QUALIFY row_number() OVER (ORDER BY a) = 1", "a window over several"),
        ("SELECT month, sum(count(*)) OVER () AS n FROM silver.f GROUP BY month", "a window over several"),
        ("SELECT month FROM silver.f ORDER BY a LIMIT 3", "LIMIT of several months"),
        ("SELECT month FROM silver.f OFFSET 3", "OFFSET of several months"),
        ("SELECT month FROM (SELECT month FROM silver.f LIMIT 3)", "LIMIT of several months"),
        (
            "SELECT month FROM silver.f UNION ALL SELECT month FROM silver.w LIMIT 1",
            "LIMIT of several months",
        ),
        ("SELECT f.month FROM silver.f JOIN silver.w USING (a)", "not on their months; add to its ON that"),
        ("SELECT f.month FROM silver.f, silver.w WHERE f.month = w.month OR true", "not on their months"),
        ("SELECT f.month FROM silver.f JOIN silver.w ON f.month = f.month", "not on their months"),
        ("SELECT f.month FROM silver.f JOIN silver.w ON NOT (f.month = w.month)", "not on their months"),
        ("SELECT f.month FROM silver.f LEFT JOIN silver.w ON f.a = w.a WHERE f.month = w.month", "not on"),
        ("SELECT w.month FROM silver.f LEFT JOIN silver.w ON f.month = w.month", "do not have their month"),
        ("SELECT f.month FROM silver.f FULL JOIN silver.w ON f.month = w.month", "FULL JOIN of tables that"),
        ("SELECT f.month FROM silver.f RIGHT JOIN silver.d USING (a)", "RIGHT JOIN whose rows may have no"),
        ("SELECT f.month FROM silver.d LEFT JOIN silver.f USING (a)", "have the table that is cut by months"),
        ("SELECT d.month FROM silver.d LEFT SEMI JOIN silver.f ON d.month = f.month", "SEMI JOIN whose rows"),
        ("SELECT month FROM silver.f NATURAL JOIN silver.w", "METHOD of several months"),
        ("SELECT month, (SELECT max(x) FROM silver.w) AS x FROM silver.f", "a query inside an expression"),
        ("SELECT month FROM silver.f WHERE a IN (SELECT a FROM silver.w)", "join the table instead"),
        (
            "SELECT f.month FROM silver.f JOIN silver.d ON EXISTS (SELECT 1 FROM silver.w)",
            "a query inside an",
        ),
        ("SELECT f.month FROM silver.f, LATERAL (SELECT max(x) AS x FROM silver.w)", "this kind of table"),
        (
            "WITH c AS (SELECT max(x) AS x FROM silver.f) SELECT month, x FROM silver.f, c",
            "do not have their",
        ),
        ("SELECT * FROM silver.f PIVOT (sum(a) FOR b IN (1, 2))", "PIVOTS of several months"),
        ("SELECT f.month FROM (silver.f JOIN silver.d USING (a)) JOIN silver.e USING (a)", "a join in paren"),
        ("SELECT month, a FROM silver.f UNION ALL SELECT a, month FROM silver.w", "the month in different"),
        ("SELECT * FROM silver.f UNION ALL SELECT * FROM silver.w", "of stars; name the columns"),
        ("SELECT month FROM silver.f AS t(month, a)", "names of columns behind a table's alias"),
        ("WITH RECURSIVE c AS (SELECT month FROM silver.f) SELECT month FROM c", "WITH RECURSIVE"),
    ],
)
def test_what_may_follow_from_other_months_is_refused(sql: str, why: str) -> None:
    with pytest.raises(ContractError, match=r"^marts/by_month\.sql: line 1: partition: ") as refused:
        proved(sql)
    assert why in str(refused.value)
    assert "the head" in str(refused.value)


def test_the_line_is_that_of_the_part() -> None:
    with pytest.raises(ContractError, match=r"line 3: .*a window over several months"):
        proved("SELECT month,\na,\nsum(x) OVER () AS x\nFROM silver.f")


def test_a_key_has_the_month() -> None:
    proved("SELECT month, a FROM silver.f", key=("a", "month"))
    with pytest.raises(ContractError, match="its key lacks 'month': each month is judged by itself"):
        proved("SELECT month, a FROM silver.f", key=("a",))
