"""Rows of several sides that must be the same, key by key and value by value, and what is behind the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.lake import source_rows
from millstream.lake.offsets import Offsets
from millstream.streams.compared import Difference
from millstream.streams.fold import fold
from millstream.transforms.airport_delays_batch import KEY

# More than a person reads; all of them are counted.
MOST = 50
MOST_EVENTS = 20
EVENT = ("event_id", *KEY, "event_type", "delay_min")
FLIGHT = ("flight_date", "carrier", "flight", "origin")


@dataclass(frozen=True)
class Compared:
    """Rows by side, how many keys differ, and the first of these: the rows that not each side has once."""

    rows: dict[str, int]
    different: int
    differing: dict[tuple[Any, ...], dict[str, list[dict[str, Any]]]]


def compare(sides: Mapping[str, DataFrame], key: Sequence[str], columns: Sequence[str]) -> Compared:
    """The rows of all `sides`, by `columns`; a row that a side has twice differs too."""
    tagged = [rows.select(*columns, F.lit(name).alias("_side")) for name, rows in sides.items()]
    every = tagged[0]
    for rows in tagged[1:]:
        every = every.unionByName(rows)
    alike = every.groupBy(*columns).agg(F.sort_array(F.collect_list("_side")).alias("_sides")).persist()
    try:
        counted = alike.select(F.explode("_sides").alias("_side")).groupBy("_side").count().collect()
        unlike = alike.where(F.col("_sides") != F.array(*(F.lit(name) for name in sorted(sides))))
        keys = unlike.select(*key).distinct().orderBy(*key)
        different = keys.count()
        differing: dict[tuple[Any, ...], dict[str, list[dict[str, Any]]]] = {}
        if different:
            shown = _with_key_in(unlike, keys.limit(MOST), key).orderBy(*key).collect()
            for row in shown:
                by_side = differing.setdefault(tuple(row[name] for name in key), defaultdict(list))
                for side in row["_sides"]:
                    by_side[side].append({name: row[name] for name in columns})
    finally:
        alike.unpersist()
    rows_of = dict.fromkeys(sides, 0) | {row["_side"]: row["count"] for row in counted}
    return Compared(rows_of, different, differing)


def delays_of(events: DataFrame) -> DataFrame:
    """Rows of `silver.flight_events` in the columns of `EVENT`, as the MapReduce job has them."""
    delay = F.when(F.col("event_type") == "departed", F.col("dep_delay_min")).when(
        F.col("event_type") == "arrived", F.col("arr_delay_min")
    )
    return events.select(
        "event_id",
        F.col("origin").alias("airport"),
        "carrier",
        F.date_trunc("hour", "event_time").alias("hour"),
        "event_type",
        delay.cast("bigint").alias("delay_min"),
    )


def below(events: DataFrame, offsets: Offsets) -> DataFrame:
    """The events that came from below the ends of `offsets`."""
    return events.where(source_rows.below(offsets.end, *source_rows.topic_place()))


def flights_of(events: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Rows of `silver.flights` that the events make, without the id of their source row."""
    return fold(events).select(*columns)


def differences(
    kind: Literal["group", "event", "flight"],
    compared: Compared,
    event_ids: Mapping[tuple[Any, ...], Sequence[str]],
) -> list[Difference]:
    """Each differing key in words; `event_ids` are those of each key."""
    named = []
    for key, by_side in compared.differing.items():
        rows = [row for of_side in by_side.values() for row in of_side]
        differ = [name for name in rows[0] if len({str(row[name]) for row in rows}) > 1]
        named.append(
            Difference(
                kind=kind,
                key="/".join(map(str, key)),
                sides={side: _in_words(by_side.get(side, []), differ) for side in compared.rows},
                event_ids=tuple(sorted(event_ids.get(key, ())))[:MOST_EVENTS],
            )
        )
    return named


def behind(events: DataFrame, compared: Compared, key: Sequence[str]) -> dict[tuple[Any, ...], list[str]]:
    """For each differing key the ids of the `events` that have it in these columns."""
    if not compared.differing:
        return {}
    schema = events.select(*key).schema
    keys = events.sparkSession.createDataFrame(list(compared.differing), schema)
    rows = _with_key_in(events, keys, key).groupBy(*key).agg(F.collect_set("event_id").alias("ids")).collect()
    return {tuple(row[name] for name in key): row["ids"] for row in rows}


def _with_key_in(rows: DataFrame, keys: DataFrame, key: Sequence[str]) -> DataFrame:
    """The rows with one of these keys; null is a key too."""
    same = F.lit(True)
    for name in key:
        same &= F.col(f"row.{name}").eqNullSafe(F.col(f"key.{name}"))
    return rows.alias("row").join(F.broadcast(keys).alias("key"), same, "left_semi")


def _in_words(rows: list[dict[str, Any]], differ: Sequence[str]) -> str:
    if not rows:
        return "not there"
    times = f"{len(rows)} times " if len(rows) > 1 else ""
    return times + ", ".join(f"{name} {rows[0][name]}" for name in differ) or "there"
