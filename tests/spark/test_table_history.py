"""The history of a table is that of a plain reference, in whatever order deliveries come, and how often."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from millstream.publishing.versions import in_order
from tests.support.chain import Chain
from tests.support.thorough import thorough
from tests.support.updates import EVENTS, chain_of, deliver

pytestmark = pytest.mark.spark

SCHEMA = (
    "id int, value string, _source_row_id string, "
    "valid_from timestamp, is_deleted boolean, _read_at timestamp"
)
ZERO = datetime(2024, 1, 1, tzinfo=UTC)
HISTORY = {"keep": "latest by changed", "deletes": "soft: state = gone", "history": "scd2"}


class Event(NamedTuple):
    """What a delivery says: the value of a key from an hour on, or that it is deleted (None)."""

    id: int
    hour: int
    value: str | None


class Version(NamedTuple):
    id: int
    since: int
    until: int | None
    value: str | None
    current: bool


def reference(deliveries: list[list[Event]], first_stays: bool) -> set[Version]:
    """What the history must have of deliveries in the order in which they were made."""
    said: dict[tuple[int, int], str | None] = {}
    for delivery in deliveries:
        now: dict[tuple[int, int], str | None] = {}
        for event in delivery:
            now.setdefault((event.id, event.hour), event.value)
        said = {**now, **said} if first_stays else {**said, **now}
    versions = set()
    for id_, hour in said:
        later = sorted(other for key, other in said if key == id_ and other > hour)
        value, until = said[id_, hour], later[0] if later else None
        versions.add(Version(id_, hour, until, value, until is None and value is not None))
    return versions


EVENT = st.builds(Event, st.integers(1, 3), st.integers(0, 6), st.sampled_from(["a", "b", None]))
DELIVERIES = st.lists(st.lists(EVENT, min_size=1, max_size=6), min_size=1, max_size=4)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DELIVERIES, st.booleans(), st.randoms(use_true_random=False))
def test_versions_are_those_of_the_reference_in_any_order_of_runs(
    spark: SparkSession, deliveries: list[list[Event]], first_stays: bool, order: random.Random
) -> None:
    known = spark.createDataFrame([], SCHEMA)
    runs = list(enumerate(deliveries))
    # A run may be published late, and once more.
    carried_out = [*runs, order.choice(runs)]
    order.shuffle(carried_out)
    for number, delivery in carried_out:
        rows = {}
        for event in delivery:
            moment, read = ZERO + timedelta(hours=event.hour), ZERO + timedelta(days=9, minutes=number)
            row = (event.id, event.value, f"{number}", moment, event.value is None, read)
            rows.setdefault((event.id, event.hour), row)
        new = spark.createDataFrame(list(rows.values()), SCHEMA)
        made = in_order(known, new, ("id",), first_stays).collect()
        kept = [tuple(row[name] for name in known.columns) for row in made]
        known = spark.createDataFrame(kept, SCHEMA)
    in_time = [delivery for number, delivery in runs if (number, delivery) in carried_out]
    assert {_version(row) for row in made} == reference(in_time, first_stays)
    assert len(made) == len(reference(in_time, first_stays))


def _version(row: object) -> Version:
    since, until = (_hour(row[name]) for name in ("valid_from", "valid_to"))  # type: ignore[index]
    assert since is not None
    deleted = row["is_deleted"]  # type: ignore[index]
    value = None if deleted else row["value"]  # type: ignore[index]
    return Version(row["id"], since, until, value, row["is_current"])  # type: ignore[index]


def _hour(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    zero = ZERO if moment.tzinfo else datetime.fromtimestamp(ZERO.timestamp())
    return round((moment - zero) / timedelta(hours=1))


def history_of(chain: Chain) -> set[Version]:
    return {_version(row) for row in chain.rows(chain.table.history).collect()}


def delivered(event: Event) -> tuple[object, ...]:
    return (event.id, event.value or "-", event.hour, *(() if event.value else ("gone",)))


@pytest.mark.parametrize("seed", thorough(1, 2))
def test_the_lake_has_the_history_of_the_reference_and_the_table_its_last_versions(
    spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    chain = chain_of(spark, tmp_path, EVENTS, **HISTORY, max_deleted_share=1)
    events = [Event(id_, hour, f"{id_} at {hour}") for id_ in range(1, 5) for hour in range(1, 6)]
    events = [event._replace(value=None) if chance.random() < 0.2 else event for event in events]
    chance.shuffle(events)
    made = [events[:7], events[7:14], events[14:]]
    # Rows that come again in another file, beside new ones.
    made[2] = [*made[2], *made[0][:3]]
    for number, delivery in enumerate(made):
        result = deliver(chain, f"r{number}", *map(delivered, delivery))
        fates = ("written", "quarantined", "deduplicated", "dropped", "tombstones")
        assert result["read"] == len(delivery) == sum(result[name] for name in fates)
        expected = reference(made[: number + 1], first_stays=True)
        assert history_of(chain) == expected
        current = {(version.id, version.value) for version in expected if version.current}
        assert {(row["id"], row["value"]) for row in chain.rows().collect()} == current

    # Published once more, no row is another: its account alone says that later runs replaced some of them.
    before, rows = history_of(chain), set(chain.rows().collect())
    staged = chain.stage("r1")
    chain.judge("r1", staged)
    for changed in (True, False):
        assert chain.publish("r1", staged, [])["changed"] is changed
        assert (history_of(chain), set(chain.rows().collect())) == (before, rows)


def test_a_table_gets_a_history_later_with_what_it_has(spark: SparkSession, tmp_path: Path) -> None:
    chain = chain_of(spark, tmp_path, EVENTS, keep="latest by changed")
    deliver(chain, "a", (1, "a", 1), (2, "a", 1))
    chain = chain_of(spark, tmp_path, EVENTS, **HISTORY)
    deliver(chain, "b", (1, "b", 2))
    assert history_of(chain) == {
        Version(1, 1, 2, "a", False),
        Version(1, 2, None, "b", True),
        Version(2, 1, None, "a", True),
    }
    assert {(row["id"], row["value"]) for row in chain.rows().collect()} == {(1, "b"), (2, "a")}


@pytest.mark.thorough
def test_a_version_that_breaks_a_rule_is_none_and_the_one_before_is_valid(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Also once the rule comes later: the version leaves the history, and the table has the one before."""
    chain = chain_of(spark, tmp_path, EVENTS, **HISTORY)
    deliver(chain, "a", (1, "a", 1), (2, "a", 1))
    deliver(chain, "b", (1, "wrong", 2), (3, "b", 2))
    rule = {"column": "value", "value_set": ["a", "b", "late"], "mostly": 0.1}
    chain.suite["expectations"].append(
        {"type": "expect_column_values_to_be_in_set", "kwargs": rule, "severity": "critical"}
    )
    staged = chain.stage("b")
    chain.judge("b", staged)
    result = chain.publish("b", staged, [])
    assert (result["written"], result["quarantined"]) == (1, 1)
    assert {version for version in history_of(chain) if version.id == 1} == {Version(1, 1, None, "a", True)}
    assert {(row["id"], row["value"]) for row in chain.rows().collect()} == {(1, "a"), (2, "a"), (3, "b")}
    # An older row is judged too, although the table would not have it.
    late = deliver(chain, "c", (3, "wrong", 1), (2, "late", 0))
    assert late["deduplicated"] == 2
    assert {(version.id, version.since) for version in history_of(chain)} == {(1, 1), (2, 0), (2, 1), (3, 2)}
