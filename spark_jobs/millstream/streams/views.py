"""Delays by airport, carrier and hour as views of silver: one made at once, one kept up, one served.

Both are made by `delays.aggregate`, and each row has the *whole* figures of its group as of a position
(`as_of`), never a part to be added. So of two rows of a group the one with the greater position is right,
whichever view it is in, and whatever was made twice, late or in another order.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.lake import history
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.delta import TableDefinition, Transaction, create_table, merge, replace, turn
from millstream.lake.reading import read_at
from millstream.lake.source_rows import at_or_beyond
from millstream.lake.tables import WHOLE, TableRef
from millstream.streams import delays, position
from millstream.streams.tables import Stream
from millstream.transforms import column

BATCH = TableRef(zone="gold", name="airport_delays_batch")
SPEED = TableRef(zone="gold", name="airport_delays_speed")
SCHEMA = StructType(
    [
        column("airport", "string", "FAA code of the airport of departure", key=True),
        column("carrier", "string", "IATA carrier code", key=True),
        column("hour", "timestamp", "Hour of the events, UTC", key=True),
        column("scheduled", "bigint", "Flights announced"),
        column("cancelled", "bigint", "Flights cancelled"),
        column("departed", "bigint", "Departures"),
        column("late_departures", "bigint", "Departures more than 15 minutes late"),
        column("departure_delay_min", "bigint", "Sum of departure delays, minutes; negative is early"),
        column("arrived", "bigint", "Arrivals"),
        column("late_arrivals", "bigint", "Arrivals more than 15 minutes late"),
        column("arrival_delay_min", "bigint", "Sum of arrival delays, minutes; negative is early"),
        column("as_of", "bigint", "Position of the stream whose events these are all of", key=True),
    ]
)
GROUP = ("airport", "carrier", "hour")
# Its name in a contract's `source.views`.
AIRPORT_DELAYS = "airport_delays"


def served(batch: str, speed: str) -> str:
    """SQL, for Spark and for DuckDB, over the names of both views: of each group the row that is further."""
    columns = ", ".join(SCHEMA.fieldNames())
    return (
        f"SELECT {columns} FROM (SELECT {columns}, row_number() OVER (PARTITION BY {', '.join(GROUP)} "
        f"ORDER BY as_of DESC) AS place FROM (SELECT {columns} FROM {batch} UNION ALL SELECT {columns} FROM "
        f"{speed}) AS both_views) AS ordered WHERE place = 1"
    )


def make_batch_view(spark: SparkSession, stream: Stream) -> Account | None:
    """All groups anew, from silver as of its newest account; None where silver has none."""
    newest = stream.newest(stream.silver)
    if newest is None or newest.version is None:
        return None
    with turn(BATCH, stream.lake_root):
        events = read_at(spark, str(stream.silver), stream.lake_root, newest.version)
        rows = _as_of(delays.aggregate(events), newest)
        account = _account(BATCH, stream, newest, rows.count())
        uri = _defined(spark, BATCH, stream)
        replace(rows, uri, None, _transaction(BATCH, account))
        return account


def keep_up_speed_view(spark: SparkSession, stream: Stream) -> Account | None:
    """The groups that events beyond the view's own account have touched; None where there are none."""
    newest = stream.newest(stream.silver)
    with turn(SPEED, stream.lake_root):
        before = stream.newest(SPEED)
        if newest is None or newest.version is None or newest.offsets is None:
            return None
        position.require_same_topic(str(SPEED), before, newest.offsets.topic, newest.offsets.topic_id)
        if position.ends(before) == newest.offsets.end:
            return None
        events = read_at(spark, str(stream.silver), stream.lake_root, newest.version).alias("silver")
        begin = {one: position.ends(before).get(one, 0) for one in newest.offsets.end}
        more = events.where(at_or_beyond(newest.offsets.topic, begin, "silver"))
        touched = delays.aggregate(more).select(*GROUP)
        rows = _as_of(delays.aggregate(events).join(F.broadcast(touched), list(GROUP), "left_semi"), newest)
        held = rows.persist()
        try:
            account = _account(SPEED, stream, newest, held.count())
            uri = _defined(spark, SPEED, stream)
            kept = held.withColumn("_keep", F.lit(True))
            merge(kept, uri, GROUP, "new.as_of > old.as_of", "false", _transaction(SPEED, account))
        finally:
            held.unpersist()
        return account


def _as_of(figures: DataFrame, newest: Account) -> DataFrame:
    assert newest.offsets is not None
    return figures.withColumn("as_of", F.lit(newest.offsets.position).cast("bigint"))


def _account(table: TableRef, stream: Stream, newest: Account, groups: int) -> Account:
    assert newest.offsets is not None
    assert newest.version is not None
    counts = PartitionCounts(read=groups, written=groups, quarantined=0, deduplicated=0, content_hash="0")
    return Account(
        table=str(table),
        run=newest.run,
        partitions={WHOLE: counts},
        verdict={"passed": True, "reason": "made from silver"},
        inputs={str(stream.silver): newest.version},
        suite_version=newest.suite_version,
        code_version=stream.code_version,
        sequence=newest.offsets.position,
        offsets=newest.offsets,
    )


def _defined(spark: SparkSession, table: TableRef, stream: Stream) -> str:
    uri = table.uri(stream.lake_root)
    definition = TableDefinition(SCHEMA, "Delays by airport, carrier and hour; each row is whole")
    create_table(spark, uri, definition, history.snapshot(uri))
    return uri


def _transaction(table: TableRef, account: Account) -> Transaction:
    return Transaction(f"millstream:{table}:view", account.sequence, account.model_dump_json())
