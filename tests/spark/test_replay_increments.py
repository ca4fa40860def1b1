"""Increments replayed, cleared and judged anew: newer rows stay, and no row is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from millstream.errors import DecisionRefusedError
from millstream.lake import history
from millstream.lake.tables import TableRef
from tests.support.chain import Chain, contract_of, small_suite
from tests.support.replays import NEW, SEATED, counts, increment, staged_by, state


@pytest.fixture
def planes(spark: SparkSession, tmp_path: Path) -> Chain:
    return Chain(spark, tmp_path, contract_of("planes"), small_suite(NEW, SEATED))


@pytest.mark.thorough
def test_an_old_increment_never_overwrites_a_newer_one(planes: Chain) -> None:
    first = increment(planes, "r1", "2013-01-01", N1=(2000, 10), N2=(1980, 20), N3=(1981, 0))
    assert first["quarantined"] == 2
    increment(planes, "r2", "2013-02-01", N1=(2001, 11), N4=(1970, 40))
    assert [piece["source_run"] for piece in planes.find("q1")["pieces"]] == ["r1", "r2"]
    with pytest.raises(DecisionRefusedError, match="break a constraint"):
        planes.decide("q1", "accept", reason="seats")

    planes.suite = small_suite(SEATED)
    first, second = planes.replay("q1")
    assert counts(first) == (3, 1, 1, 1, 0, 0)
    assert counts(second) == (2, 2, 0, 0, 0, 0)
    newest = {"N1": 2001, "N2": 1980, "N4": 1970}
    assert {row["tailnum"]: row["year"] for row in planes.rows().collect()} == newest
    assert history.read(planes.table, planes.root).watermark == "2013-02-01"

    after, found = state(planes), planes.find("q2")
    assert [result["changed"] for result in planes.replay("q2", found)] == [False]
    assert state(planes) == after

    planes.decide("q2", "drop")
    dropped = planes.publish("r1", staged_by(planes, "q2.0", rows=3), [], replay="q2")
    assert counts(dropped) == (3, 1, 0, 1, 1, 0)
    assert planes.rows(planes.table.quarantine).isEmpty()
    assert {row["tailnum"]: row["year"] for row in planes.rows().collect()} == newest


@pytest.mark.thorough
def test_a_full_refresh_keeps_a_broken_row_once(planes: Chain) -> None:
    increment(planes, "r1", "2013-01-01", page="first", N1=(2000, 10), N2=(2001, 0))
    increment(planes, "r2", "2013-02-01", N3=(2002, 30), N4=(2003, 0))
    refreshed = increment(planes, "r3", "2013-02-01", page="first", N1=(2000, 10), N2=(2001, 0))
    assert counts(refreshed)[:3] == (2, 1, 1)
    broken = planes.rows(planes.table.quarantine).collect()
    assert {(row["tailnum"], row["_run"]) for row in broken} == {("N2", "r3"), ("N4", "r2")}
    assert len(broken) == 2


@pytest.mark.thorough
def test_a_row_of_an_increment_that_breaks_todays_rules_leaves_the_table(planes: Chain) -> None:
    planes.suite = small_suite(SEATED)
    first = {"N1": (2000, 10), "N2": (1980, 20), "N3": (1985, 30)}
    assert counts(increment(planes, "r1", "2013-01-01", **first)) == (3, 3, 0, 0, 0, 0)
    increment(planes, "r2", "2013-02-01", N3=(1986, 31))

    planes.suite = small_suite(NEW, SEATED)
    assert counts(increment(planes, "r1", "2013-01-01", **first)) == (3, 1, 2, 0, 0, 0)
    # The later increment's row breaks the rule too, but that run has not been judged again.
    assert {row["tailnum"]: row["year"] for row in planes.rows().collect()} == {"N1": 2000, "N3": 1986}
    broken = planes.rows(planes.table.quarantine).collect()
    assert sorted((row["tailnum"], row["year"], row["_run"]) for row in broken) == [
        ("N2", 1980, "r1"),
        ("N3", 1985, "r1"),
    ]


@pytest.mark.thorough
def test_a_withdrawn_row_of_an_increment_leaves_the_table(planes: Chain) -> None:
    increment(planes, "r1", "2013-01-01", N1=(2000, 10), N2=(1980, 20))
    planes.decide("q1", "accept")
    assert counts(planes.replay("q1")[0]) == (2, 2, 0, 0, 0, 1)
    assert {row["tailnum"] for row in planes.rows().collect()} == {"N1", "N2"}

    found = planes.find("q2", action="withdraw")
    planes.decide("q2", "withdraw")
    assert counts(planes.replay("q2", found)[0]) == (2, 1, 1, 0, 0, 0)
    assert {row["tailnum"] for row in planes.rows().collect()} == {"N1"}
    assert [row["tailnum"] for row in planes.rows(planes.table.quarantine).collect()] == ["N2"]


@pytest.mark.thorough
def test_a_dataset_by_watermark_may_become_one_that_is_loaded_whole(planes: Chain) -> None:
    """As `make plan` says: bronze, the table and its quarantine have just the rows of the newest run."""
    bronze = TableRef.parse("bronze.planes")
    planes.suite = small_suite(SEATED)
    increment(planes, "r1", "2013-01-01", mode="elt", N1=(2000, 10), N2=(1980, 0))
    increment(planes, "r2", "2013-02-01", mode="elt", N3=(2001, 30))
    planes.contract = contract_of("planes", load="full")
    # The same account as the newest increment's: what was there besides has to go.
    shrunk = increment(planes, "r3", None, mode="elt", page="r2", N3=(2001, 30))
    assert (shrunk["changed"], counts(shrunk)[:3]) == (True, (1, 1, 0))
    assert [row["tailnum"] for row in planes.rows().collect()] == ["N3"]
    assert [row["tailnum"] for row in planes.rows(bronze).collect()] == ["N3"]
    assert planes.rows(planes.table.quarantine).isEmpty()
    assert not increment(planes, "r4", None, mode="elt", page="r2", N3=(2001, 30))["changed"]

    planes.contract = contract_of("planes")
    back = increment(planes, "r5", "2013-03-01", mode="elt", N4=(2002, 40), N5=(2003, 0))
    assert counts(back)[:3] == (2, 1, 1)
    assert {row["tailnum"] for row in planes.rows().collect()} == {"N3", "N4"}
    assert {row["_ingest_run"] for row in planes.rows(bronze).collect()} == {"r4", "r5"}
