"""Delays by airport, carrier and hour, kept up by the stream.

Each row has the *whole* figures of its group as of a position (`as_of`), never a part to be added, made by
`airport_delays_batch.aggregate` as in the batch view: so what was made twice, late or in another order does
no harm. What is served of both is in `millstream.streams.served`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.lake import history
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.delta import TableDefinition, Transaction, create_table, merge, table_version, turn
from millstream.lake.offsets import Offsets
from millstream.lake.reading import read_at
from millstream.lake.source_rows import at_or_beyond
from millstream.lake.tables import WHOLE, TableRef
from millstream.streams import position, served
from millstream.streams.tables import Stream
from millstream.transforms.airport_delays_batch import AS_OF, KEY, SCHEMA, aggregate

# Its name in a contract's `source.views`.
AIRPORT_DELAYS = "airport_delays"


def keep_up_speed_view(spark: SparkSession, stream: Stream) -> Account | None:
    """The groups that events beyond the view's own account have touched; None where there are none."""
    newest, table = stream.newest(stream.silver), served.speed_view(stream.lake_root)
    with turn(table, stream.lake_root):
        before = stream.newest(table)
        if newest is None or newest.version is None or newest.offsets is None:
            return None
        position.require_same_topic(str(table), before, newest.offsets.topic, newest.offsets.topic_id)
        if position.ends(before) == newest.offsets.end:
            return None
        events = read_at(spark, str(stream.silver), stream.lake_root, newest.version).alias("silver")
        begin = {one: position.ends(before).get(one, 0) for one in newest.offsets.end}
        more = events.where(at_or_beyond(newest.offsets.topic, begin, "silver"))
        touched = aggregate(more).select(*KEY).persist()
        try:
            near = aggregate(events.where(_in_hours_of(touched)))
            rows = as_of(near.join(F.broadcast(touched), list(KEY), "left_semi"), newest.offsets).persist()
            try:
                account = account_of(table, stream, newest, rows.count())
                uri = defined(spark, table, stream)
                kept, newer = rows.withColumn("_keep", F.lit(True)), f"new.{AS_OF} > old.{AS_OF}"
                merge(kept, uri, KEY, newer, "false", transaction(table, account, "view"))
            finally:
                rows.unpersist()
        finally:
            touched.unpersist()
        return account


def _in_hours_of(groups: DataFrame) -> Column:
    """Whether an event is within the first and last hour of the groups: files without such are not read."""
    # As text, which the session's time zone reads again; a moment would be read by the client's.
    ends = (F.min("hour").cast("string").alias("first"), F.max("hour").cast("string").alias("last"))
    row = groups.agg(*ends).collect()[0]
    first, last = (F.lit(row[name]).cast("timestamp") for name in ("first", "last"))
    return (F.col("event_time") >= first) & (F.col("event_time") < last + F.expr("INTERVAL 1 HOUR"))


def served_rows(
    spark: SparkSession, lake_root: str, versions: Mapping[TableRef, int] | None = None
) -> DataFrame:
    """What `streams.served` serves now, or of these tables at these versions; at least one is there."""
    if versions is None:
        versions = {table: table_version(table.uri(lake_root)) for table in served.sources(lake_root)}
    names = []
    for table, version in versions.items():
        names.append(f"_served_{table.name}")
        read_at(spark, str(table), lake_root, version).createOrReplaceTempView(names[-1])
    return spark.sql(served.query(names))


def as_of(figures: DataFrame, offsets: Offsets) -> DataFrame:
    """The figures with the position that they are of."""
    return figures.withColumn(AS_OF, F.lit(offsets.position).cast("bigint"))


def account_of(table: TableRef, stream: Stream, newest: Account, groups: int) -> Account:
    """The account of a view with so many `groups`, as of the account `newest`."""
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


def defined(spark: SparkSession, table: TableRef, stream: Stream) -> str:
    """The URI of a view, which is there afterwards."""
    uri = table.uri(stream.lake_root)
    definition = TableDefinition(SCHEMA, "Delays by airport, carrier and hour; each row is whole")
    create_table(spark, uri, definition, history.snapshot(uri))
    return uri


def transaction(table: TableRef, account: Account, writer: str) -> Transaction:
    return Transaction(f"millstream:{table}:{writer}", account.sequence, account.model_dump_json())
