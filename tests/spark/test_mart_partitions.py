"""Marts by month, on tables that were really published: the same rows as the whole table, with less work."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from millstream.errors import ContractError
from millstream.lake import history
from millstream.lake.history import Snapshot
from millstream.marts import Mart, load_mart
from millstream.marts.partitions import require_by_month
from millstream.publishing.mart_changes import Rebuild, rebuild_of
from millstream.quality.suite import Suite
from millstream.quality.suites import suite_of_mart
from tests.support.chain import Chain, month_zip
from tests.support.flights_rows import AA1141, B6725, FEBRUARY, UA1545
from tests.support.marts import Marts

pytestmark = pytest.mark.spark

CUT_BY = {"silver.flights": "month"}
SELECT = """/*
key: [month, origin]
partition: month
chart: {x: month, y: flights, by: origin}
*/
SELECT month, origin, count(*) AS flights, max(share) AS share
FROM (
  SELECT month, origin, dep_delay_min / sum(abs(dep_delay_min)) OVER (PARTITION BY month) AS share
  FROM silver.flights
  WHERE dep_delay_min <> -1
)
GROUP BY ALL
"""
WHOLE = SELECT.replace("partition: month\n", "")


@pytest.fixture
def marts(published: Chain) -> Marts:
    return Marts(published)


def written(folder: Path, sql: str) -> Mart:
    (folder / "marts").mkdir(exist_ok=True)
    (folder / "marts" / "by_month.sql").write_text(sql)
    mart = load_mart(folder, "by_month")
    require_by_month(mart, CUT_BY)
    return mart


def due(marts: Marts, mart: Mart) -> Rebuild:
    suite = Suite.from_dict(suite_of_mart(mart, {"name": mart.name, "expectations": []}))
    return rebuild_of(mart, marts.inputs(mart), CUT_BY, suite.version, marts.chain.root)


def table_of(marts: Marts, mart: Mart) -> Snapshot:
    present = history.snapshot(mart.table.uri(marts.chain.root))
    assert present is not None
    return present


def as_a_whole(marts: Marts, mart: Mart) -> list[tuple[object, ...]]:
    """What the SELECT says of the tables as they are."""
    marts.chain.rows().createOrReplaceTempView("flights_now")
    return sorted(map(tuple, marts.chain.spark.sql(mart.query({"silver.flights": "flights_now"})).collect()))


def as_published(marts: Marts, mart: Mart) -> list[tuple[object, ...]]:
    return sorted(map(tuple, marts.chain.rows(mart.table).collect()))


def deliver(marts: Marts, run: str, month: str, *rows: str) -> None:
    marts.chain.put(f"flights/flights_{month}.csv.zip", month_zip(*rows))
    marts.chain.run(run, [month])


def test_a_changed_month_is_made_anew_beside_the_others(marts: Marts, tmp_path: Path) -> None:
    mart = written(tmp_path, SELECT)
    first = due(marts, mart)
    assert (first.months, first.why) == (
        None,
        "gold.by_month is not published yet, or somebody has changed it since",
    )
    marts.run("r1", mart, rebuild=first)
    assert due(marts, mart).months == ()
    january = table_of(marts, mart)
    assert january.partition_columns == ["month"]

    deliver(marts, "r2", "2013-02", FEBRUARY)
    second = due(marts, mart)
    assert second.months == ("2013-02",)
    result = marts.run("r2", mart, rebuild=second, data_docs=True)
    assert (result["partitions"], result["read"], result["changed"]) == (["2013-02"], 1, True)
    # January's files are those of before.
    assert january.files() < table_of(marts, mart).files()
    assert as_published(marts, mart) == as_a_whole(marts, mart)
    assert len(as_published(marts, mart)) == 3
    latest = history.read(mart.table, marts.chain.root).accounts[0]
    assert latest.inputs == marts.inputs(mart)
    assert due(marts, mart).months == ()
    # The chart is of the whole table.
    docs = Path(marts.chain.root.removeprefix("file://")) / "data_docs" / "gold.by_month"
    (page,) = [one.read_text() for one in docs.rglob("*.html")]
    assert ">2013-01<" in page
    assert ">2013-02<" in page


def test_a_month_without_rows_vanishes(marts: Marts, tmp_path: Path) -> None:
    mart = written(tmp_path, SELECT)
    marts.run("r1", mart)
    # Every flight of January is one that the SELECT leaves out now.
    deliver(marts, "r2", "2013-01", B6725)
    assert due(marts, mart).months == ("2013-01",)
    assert marts.run("r2", mart, rebuild=due(marts, mart))["written"] == 0
    assert as_published(marts, mart) == as_a_whole(marts, mart) == []
    assert due(marts, mart).months == ()


def test_from_whole_to_months_and_back(marts: Marts, tmp_path: Path) -> None:
    """The table is cut as its head says now, whatever it was."""
    outlier = {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "origin", "value_set": ["JFK"], "mostly": 0.4},
        "severity": "critical",
    }
    for run, sql, cut_by in (("r1", WHOLE, []), ("r2", SELECT, ["month"]), ("r3", WHOLE, [])):
        mart = written(tmp_path, sql)
        if mart.head.partition and run != "r1":
            assert due(marts, mart) == Rebuild(None, "marts/by_month.sql has changed")
        result = marts.run(run, mart, outlier)
        assert (result["changed"], result["quarantined"]) == (True, 1)
        assert table_of(marts, mart).partition_columns == cut_by
        broken = history.snapshot(mart.table.quarantine.uri(marts.chain.root))
        assert broken is not None
        assert broken.partition_columns == ["_partition"]
    # Another comment replaces the schema and leaves the table cut.
    marts.run("r4", written(tmp_path, SELECT))
    commented = SELECT.replace("partition:", "columns: {flights: Scheduled}\npartition:")
    assert marts.run("r5", written(tmp_path, commented))["changed"]
    assert table_of(marts, mart).partition_columns == ["month"]


def test_what_is_no_month_is_refused(marts: Marts, tmp_path: Path) -> None:
    head = written(tmp_path, SELECT).head.model_copy(update={"key": (), "chart": None})
    wrong = Mart(name="by_month", head=head, sql="SELECT 'all' AS month, 1 AS flights FROM silver.flights")
    with pytest.raises(ContractError, match=r"marts/by_month\.sql: its column 'month', .* has 'all'"):
        marts.run("r1", wrong)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [1, 2])
def test_after_any_changes_it_has_the_rows_of_the_whole(marts: Marts, tmp_path: Path, seed: int) -> None:
    chance, mart = random.Random(seed), written(tmp_path, SELECT)
    rows = {"2013-01": [UA1545, AA1141, B6725], "2013-02": [FEBRUARY, FEBRUARY.replace("1117", "1118")]}
    partial = 0
    for step in range(8):
        month = chance.choice(sorted(rows))
        kept = chance.sample(rows[month], chance.randrange(1, len(rows[month]) + 1))
        deliver(marts, f"d{step}", month, *kept)
        if chance.random() < 0.3:
            continue
        rebuild = due(marts, mart)
        partial += bool(rebuild.months)
        if rebuild.months != ():
            marts.run(f"m{step}", mart, rebuild=rebuild)
        assert as_published(marts, mart) == as_a_whole(marts, mart), step
    assert partial >= 2
