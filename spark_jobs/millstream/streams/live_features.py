"""Features of flights by the events that a stream has read, with batch's own transform.

Nothing that happens at or after a flight's cutoff changes its features
(`transforms.arrival_delay_features`), so it does not matter how long after it they are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from millstream.lake.source_rows import topic_place
from millstream.lake.tables import SOURCE_ROW_ID
from millstream.streams.fold import fold
from millstream.transforms import table_of
from millstream.transforms.arrival_delay_features import HISTORY_FROM_S, KEY, features

# Behind a flight: its own history, and the hours between local time and UTC.
HISTORY = timedelta(seconds=HISTORY_FROM_S) + timedelta(days=1)


def live_features(
    events: DataFrame, tables: Mapping[str, DataFrame], since: datetime, clock: datetime
) -> DataFrame:
    """The features, by batch's transform, of the flights that these `events` of `silver.flight_events` have
    announced and whose cutoff lies after `since`, up to `clock`; all that happened before it has to be there.

    Args:
        tables: as `features` takes them; the events come before the rows of "flights".
    """
    flights = known_flights(events, tables["flights"], (since - HISTORY).date())
    made = features({**tables, "flights": flights})
    return made.where(between(since, clock)).join(announced(events), list(KEY), "left_semi")


def known_flights(events: DataFrame, published: DataFrame, first: date) -> DataFrame:
    """The flights from the day `first` on: by their events, the others as `published` in `silver.flights`.

    What has not happened yet is null. A flight that no event has announced is not among them by its events.
    """
    table = table_of("flights")
    columns = [*table.schema.fieldNames(), SOURCE_ROW_ID]
    folded = fold(events.where(F.col("flight_date") >= first)).where(F.size("_malformed") == 0)
    older = published.where(F.col("flight_date") >= first)
    others = older.join(announced(events), list(table.key), "left_anti")
    return folded.select(*columns).unionByName(others.select(*columns))


def announced(events: DataFrame) -> DataFrame:
    """The keys of the flights that an event has announced; some more than once."""
    return events.where(F.col("event_type") == "scheduled").select(*table_of("flights").key)


def newest_events(events: DataFrame) -> dict[int, datetime]:
    """Of each partition of the topic that these `events` are of, the time of the newest."""
    partition, _ = topic_place()
    newest = events.groupBy(partition.alias("partition")).agg(F.max(F.unix_seconds("event_time")).alias("at"))
    return {row["partition"]: datetime.fromtimestamp(row["at"], UTC) for row in newest.collect()}


def event_clock(newest: Mapping[int, datetime]) -> datetime:
    """Up to when everything that happened has come: the newest event of the partition that is least far.

    A flight's events are in one partition, and each partition is in the order of time. To pass over one that
    is silent would score flights without what it still brings.
    """
    return min(newest.values())


def held_back(newest: Mapping[int, datetime]) -> str:
    """Says which partition holds the clock back by more than a day; empty where none does."""
    slowest = min(newest, key=newest.__getitem__)
    if max(newest.values()) - newest[slowest] <= timedelta(days=1):
        return ""
    return (
        f"partition {slowest} of the topic has had no event since {newest[slowest]:%Y-%m-%d %H:%M} UTC, and "
        "others are more than a day ahead: flights with a later cutoff wait for it. What to do: see why "
        "nothing is sent to it"
    )


def between(since: datetime, until: datetime) -> Column:
    """Whether a flight's cutoff lies after `since`, up to `until`."""
    at = F.unix_seconds("cutoff_utc")
    return (at > int(since.timestamp())) & (at <= int(until.timestamp()))
