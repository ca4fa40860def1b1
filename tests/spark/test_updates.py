"""What a run does to the rows that a table has: which row of a key stays, and what is added or taken out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from millstream.errors import QualityGateError
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.landing.manifest import read_manifest
from tests.support.chain import Chain
from tests.support.updates import EVENTS, SHOP, Shop, chain_of, deliver, lines

pytestmark = pytest.mark.spark

LATEST = "latest by changed"


def counts(result: dict[str, Any]) -> tuple[int, ...]:
    """Read, written, quarantined, deduplicated, tombstones; and rows that left."""
    names = ("written", "quarantined", "deduplicated", "dropped", "tombstones")
    parts = {name: result[name] for name in names}
    assert result["read"] == sum(parts.values())
    return (result["read"], *(parts[name] for name in names if name != "dropped"), result["deleted"])


def values(chain: Chain) -> dict[int, str]:
    return {row["id"]: row["value"] for row in chain.rows().collect()}


@pytest.mark.parametrize(("keep", "kept"), [("first", "old"), (LATEST, "new")])
def test_of_one_key_the_first_row_or_the_latest_is_kept(
    spark: SparkSession, tmp_path: Path, keep: str, kept: str
) -> None:
    chain = chain_of(spark, tmp_path, EVENTS, load="full", keep=keep)
    done = deliver(chain, "a", (1, "old", 1), (1, "new", 3), (1, "middle", 2), (2, "only", 1))
    assert counts(done) == (4, 2, 0, 2, 0, 0)
    assert values(chain) == {1: kept, 2: "only"}


def test_appended_files_add_their_rows_once_and_stay_when_they_are_gone(
    spark: SparkSession, tmp_path: Path
) -> None:
    chain = chain_of(spark, tmp_path, EVENTS)
    assert counts(deliver(chain, "a", (1, "a", 1), (2, "a", 1))) == (2, 2, 0, 0, 0, 0)
    # The first stays: what has happened does not change.
    assert counts(deliver(chain, "b", (2, "b", 2), (3, "b", 2))) == (2, 1, 0, 1, 0, 0)
    assert values(chain) == {1: "a", 2: "a", 3: "b"}

    (tmp_path / "drop" / "events" / "a.jsonl").unlink()
    assert counts(deliver(chain, "c", (4, "c", 3))) == (1, 1, 0, 0, 0, 0)
    assert values(chain) == {1: "a", 2: "a", 3: "b", 4: "c"}

    # A file that has grown is read again: what it had is known.
    chain.put("events/c.jsonl", lines([(4, "c", 3), (5, "c", 3)]))
    assert counts(chain.run("d")) == (2, 1, 0, 1, 0, 0)
    version = chain.version()
    # Cleared, an old run is the same again.
    staged = chain.stage("b")
    chain.judge("b", staged)
    assert not chain.publish("b", staged, [])["changed"]
    assert chain.version() == version


def test_a_run_of_appended_files_lands_only_what_is_new(spark: SparkSession, tmp_path: Path) -> None:
    chain = chain_of(spark, tmp_path, EVENTS)
    deliver(chain, "a", (1, "a", 1))
    # Of a file that is another only by its name no row is new, and it is not read a second time.
    assert counts(deliver(chain, "b", (1, "a", 1))) == (1, 0, 0, 1, 0, 0)
    chain.land("c", [])
    assert read_manifest(Storage(chain.root), "events", "c").files == ()


def test_broken_rows_of_appended_files_are_replayed_in_their_place(
    spark: SparkSession, tmp_path: Path
) -> None:
    chain = chain_of(spark, tmp_path, EVENTS)
    chain.suite["meta"]["tolerated_rows"] = 5
    assert counts(deliver(chain, "a", (1, "a", 1), (2, None, 1), (3, None, 1))) == (3, 1, 2, 0, 0, 0)
    assert counts(deliver(chain, "b", (2, "b", 2))) == (1, 1, 0, 0, 0, 0)
    chain.decide("q1", "drop")
    (replayed,) = chain.replay("q1")
    # Of the dropped ones one has come in another file since.
    fates = [replayed[name] for name in ("read", "written", "deduplicated", "dropped")]
    assert fates == [3, 1, 1, 1]
    assert values(chain) == {1: "a", 2: "b"}
    assert chain.rows(chain.table.quarantine).isEmpty()


def test_a_late_older_row_never_overwrites_a_later_one(spark: SparkSession, tmp_path: Path) -> None:
    chain = chain_of(spark, tmp_path, EVENTS, keep=LATEST)
    deliver(chain, "a", (1, "a5", 5), (2, "a1", 1))
    assert counts(deliver(chain, "b", (1, "b3", 3), (2, "b2", 2))) == (2, 1, 0, 1, 0, 0)
    assert values(chain) == {1: "a5", 2: "b2"}


SOFT = {"deletes": "soft: state = gone", "keep": LATEST, "load": "full"}


def test_rows_that_are_marked_as_deleted_leave_the_table_and_are_counted(
    spark: SparkSession, tmp_path: Path
) -> None:
    chain = chain_of(spark, tmp_path, EVENTS, **SOFT)
    first = deliver(chain, "a", (1, "a", 1), (2, "a", 1), (3, "a", 1, "gone"))
    assert counts(first) == (3, 2, 0, 0, 1, 0)
    second = deliver(chain, "b", (1, "b", 2, "gone"))
    # One row may leave always, however few there are.
    assert counts(second) == (4, 1, 0, 1, 2, 1)
    assert values(chain) == {2: "a"}
    assert chain.account().deleted == 1
    again = chain.run("c")
    assert (again["changed"], again["deleted"]) == (False, 0)


def test_more_deleted_rows_than_the_share_stop_the_run(spark: SparkSession, tmp_path: Path) -> None:
    chain = chain_of(spark, tmp_path, EVENTS, **SOFT)
    rows = [(number, "a", 1) for number in range(20)]
    deliver(chain, "a", *rows)
    before = chain.version()
    marked = [(number, "b", 2, "gone") for number in range(3)]
    with pytest.raises(QualityGateError, match=r"deleted 3 of the 20 rows .* max_deleted_share allows 0\.1"):
        deliver(chain, "b", *marked)
    assert chain.version() == before
    chain = chain_of(spark, tmp_path, EVENTS, **SOFT, max_deleted_share=0.2)
    assert counts(chain.run("c"))[-1] == 3


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    chain = chain_of(spark, tmp_path, SHOP, deletes="compare_keys")
    shop = Shop(chain, f"sqlite:///{tmp_path}/shop.db")
    rows = ", ".join(f"({number}, 'n{number}', '2024-01-01 00:00:00', false)" for number in range(1, 31))
    shop.execute(f"INSERT INTO customers VALUES {rows}")
    return shop


def test_keys_that_are_gone_at_the_source_take_their_rows_out_of_the_table(shop: Shop) -> None:
    first = shop.run("r1")
    assert first is not None
    assert counts(first) == (30, 30, 0, 0, 0, 0)
    assert shop.run("r2") is None

    shop.execute("DELETE FROM customers WHERE id IN (7, 8)")
    gone = shop.run("r3")
    assert gone is not None
    assert counts(gone) == (0, 0, 0, 0, 0, 2)
    assert sorted(shop.names()) == [number for number in range(1, 31) if number not in (7, 8)]
    assert history.read(shop.chain.table, shop.chain.root).accounts[0].deleted == 2
    assert shop.run("r4") is None

    shop.execute(
        "DELETE FROM customers WHERE id = 9",
        "INSERT INTO customers VALUES (31, 'new', '2024-01-02 00:00:00', false)",
        "UPDATE customers SET name = 'other', changed = '2024-01-02 00:00:00' WHERE id = 1",
    )
    mixed = shop.run("r5")
    assert mixed is not None
    assert counts(mixed) == (2, 2, 0, 0, 0, 1)
    assert (shop.names()[1], shop.names()[31], 9 in shop.names()) == ("other", "new", False)


def test_a_cleared_or_replayed_run_takes_out_nothing_that_came_later(shop: Shop) -> None:
    shop.run("r1")
    shop.execute("INSERT INTO customers VALUES (31, 'new', '2024-01-02 00:00:00', false)")
    reached = shop.land("r2")
    assert reached is not None
    shop.execute("INSERT INTO customers VALUES (32, 'newer', '2024-01-03 00:00:00', false)")
    later = shop.run("r3")
    assert later is not None
    # r2 has listed its keys before 32 was there.
    assert counts(shop.publish("r2", reached))[-1] == 0
    assert {31, 32} <= shop.names().keys()


def test_a_source_that_has_lost_many_rows_stops_the_run(shop: Shop) -> None:
    shop.run("r1")
    shop.execute("DELETE FROM customers WHERE id > 20")
    with pytest.raises(QualityGateError, match="deleted 10 of the 30 rows"):
        shop.run("r2")
    assert len(shop.names()) == 30
