"""Copies of quarantined records in a topic of their own, for whoever sends them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from millstream.errors import ConfigurationError
from millstream.lake.offsets import Offsets
from millstream.lake.source_rows import topic_place
from millstream.lake.tables import SOURCE_ROW_ID
from millstream.quality.predicates import REASONS
from millstream.streams.access import Access

# Headers of a copy, beside those that the record has.
SOURCE_HEADER, REASONS_HEADER = "millstream.source_row_id", "millstream.reasons"
# A record that the topic has taken is not to be refused here: the limit is the dead-letter topic's own.
MOST_BYTES = 64 * 1024 * 1024
TOO_LARGE = "RecordTooLargeException"


def copy(broken: DataFrame, offsets: Offsets, access: Access, topic: str) -> None:
    """Send the records behind the rows `broken`, which lie within `offsets`, to `topic`, as they came.

    Called before the commit that has `offsets`: after a crash they are sent once more, never too seldom. The
    header `millstream.source_row_id` is the same each time, `millstream.reasons` is a JSON list.
    Raises: ConfigurationError: `topic` does not take a record of that size.
    """
    partition, offset = topic_place()
    why = broken.select(
        partition.alias("partition"),
        offset.alias("offset"),
        F.array(
            _header(SOURCE_HEADER, F.col(SOURCE_ROW_ID)), _header(REASONS_HEADER, F.to_json(REASONS))
        ).alias("_more"),
    )
    copies = (
        _records(broken, offsets, access)
        .join(F.broadcast(why), ["partition", "offset"])
        .select("key", "value", F.concat(F.coalesce("headers", F.array()), "_more").alias("headers"))
    )
    writer = copies.write.format("kafka").options(**access.spark).option("topic", topic)
    try:
        writer.option("kafka.max.request.size", MOST_BYTES).option("kafka.acks", "all").save()
    except PySparkException as error:
        if TOO_LARGE in str(error):
            raise ConfigurationError(
                f"the topic {topic} refuses a record for its size: raise its max.message.bytes above that of "
                f"{offsets.topic}, because a copy has two headers more"
            ) from error
        raise


def _records(rows: DataFrame, offsets: Offsets, access: Access) -> DataFrame:
    def of(ends: Mapping[int, int]) -> str:
        return json.dumps({offsets.topic: {str(one): end for one, end in ends.items()}})

    return (
        rows.sparkSession.read.format("kafka")
        .options(**access.spark)
        .option("assign", json.dumps({offsets.topic: sorted(offsets.end)}))
        .option("startingOffsets", of(offsets.start))
        .option("endingOffsets", of(offsets.end))
        .option("includeHeaders", "true")
        .load()
    )


def _header(name: str, value: Column) -> Column:
    return F.struct(F.lit(name).alias("key"), value.cast("binary").alias("value"))
