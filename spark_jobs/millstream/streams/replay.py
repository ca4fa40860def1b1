"""The view of delays made anew from raw records (Kappa): from archived bronze, then from Kafka."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.errors import ConfigurationError
from millstream.lake.offsets import Offsets
from millstream.lake.reading import read_at
from millstream.lake.source_rows import below
from millstream.publishing.fate import is_published, with_fate
from millstream.streams import position
from millstream.streams.access import Access
from millstream.streams.commits import bronze_rows, silver_rows
from millstream.streams.duplicates import with_duplicates_marked
from millstream.streams.tables import Stream
from millstream.streams.topic import Topics
from millstream.streams.views import as_of
from millstream.transforms.airport_delays_batch import aggregate


def records_below(
    spark: SparkSession, stream: Stream, offsets: Offsets, archived: int, access: Access
) -> tuple[DataFrame, dict[int, int]]:
    """The records below the ends of `offsets`: what bronze has at version `archived`, the rest from Kafka;
    and of each partition the offset from which on they are Kafka's.

    Raises: ConfigurationError: a broker is needed, and there is none, or its topic is another one. Kafka's
        own error where it no longer has what comes next.
    """
    archive = position.offsets_at(stream.bronze, stream.lake_root, archived)
    known = {number: min(archive.end.get(number, 0), end) for number, end in offsets.end.items()}
    bronze = read_at(spark, str(stream.bronze), stream.lake_root, archived)
    archived_ones = below(known, F.col("partition"), F.col("offset"))
    rows = bronze_rows(bronze.where((F.col("topic") == offsets.topic) & archived_ones))
    if known == offsets.end:
        return rows, known
    if not access.servers:
        raise ConfigurationError(
            f"{stream.bronze} ends at {known} in version {archived}, and the view at {offsets.end}: the rest "
            "is Kafka's, whose address is not known"
        )
    topic_id = Topics(access).id_of(offsets.topic)
    if topic_id != offsets.topic_id:
        raise ConfigurationError(
            f"topic {offsets.topic} has id {topic_id}, and the view was made of {offsets.topic_id}: it was "
            "made anew, and the rest of the records is not in it. What to do: use a newer version of bronze"
        )
    more = (
        spark.read.format("kafka")
        .options(**access.spark)
        # A partition that was added later has no offset to start at.
        .option("assign", json.dumps({offsets.topic: sorted(offsets.end)}))
        .option("startingOffsets", _json(offsets.topic, known))
        .option("endingOffsets", _json(offsets.topic, offsets.end))
        .option("includeHeaders", "true")
        .load()
    )
    return rows.unionByName(bronze_rows(more)), known


def view_of(spark: SparkSession, stream: Stream, records: DataFrame, offsets: Offsets) -> DataFrame:
    """The view that these records make: decoded, judged and deduplicated as the stream does, all at once."""
    nothing = spark.createDataFrame([], stream.columns)
    marked = with_duplicates_marked(silver_rows(records, stream), nothing, stream.defined.key, stream.columns)
    events = with_fate(marked, stream.defined, None).where(is_published())
    return as_of(aggregate(events), offsets)


def _json(topic: str, offsets: Mapping[int, int]) -> str:
    return json.dumps({topic: {str(partition): offset for partition, offset in offsets.items()}})
