"""One micro-batch to the tables: bronze, then what is broken to quarantine, then silver, each exactly once.

Each commit carries its table's own offsets, and each table takes only what lies at or beyond its own end. So
whatever is given once more, after a crash, from an old checkpoint or by a second query, changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.bronze.typed import DRIFT, typed, with_required_checked
from millstream.lake import history
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.delta import Transaction, append, create_table, insert, turn
from millstream.lake.tables import SOURCE_ROW_ID, WHOLE, TableRef
from millstream.publishing import quarantine
from millstream.publishing.counts import count
from millstream.publishing.fate import is_published, is_quarantined, with_fate
from millstream.quality.predicates import split
from millstream.streams import position
from millstream.streams.decoding import decoded
from millstream.streams.duplicates import with_duplicates_marked
from millstream.streams.position import Read
from millstream.streams.tables import BRONZE, Stream

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Committed:
    """What a micro-batch has done to silver; None where all of it had been committed before."""

    account: Account | None
    version: int | None = None


class Committer:
    """Commits the micro-batches of one stream. `topic_id` asks the broker which id the topic has now."""

    def __init__(self, stream: Stream, topic_id: Callable[[], str]) -> None:
        self._stream = stream
        self._topic_id = topic_id

    def commit(self, records: DataFrame) -> Committed:
        """Take `records` (the columns of Spark's source for Kafka, with headers) into the tables.

        Raises: StreamPositionError when they do not go on where a table's newest account ends, or the topic
            is another one; SupersededError when another query has committed them meanwhile.
        """
        stream = self._stream
        with turn(stream.silver, stream.lake_root):
            held = records.select(*BRONZE.fieldNames()).persist()
            try:
                read = _ranges(held)
                if not read:
                    return Committed(None)
                # Asked after the records were read: they are of the topic that has this id.
                topic_id = self._topic_id()
                self._bronze(held, read, topic_id)
                return self._silver(held, read, topic_id)
            finally:
                held.unpersist()

    def _bronze(self, records: DataFrame, read: Mapping[int, Read], topic_id: str) -> None:
        stream = self._stream
        before = stream.newest(stream.bronze)
        position.require_same_topic(str(stream.bronze), before, stream.source.topic, topic_id)
        left = _beyond(read, position.ends(before))
        if not left:
            return
        counts = PartitionCounts(
            read=_records(left), written=_records(left), quarantined=0, deduplicated=0, content_hash="0"
        )
        account = self._account(stream.bronze, before, None, left, topic_id, counts)
        uri = self._defined(records.sparkSession, stream.bronze)
        append(records.where(_is_beyond(left)), uri, _transaction(stream.bronze, account))

    def _silver(self, records: DataFrame, read: Mapping[int, Read], topic_id: str) -> Committed:
        stream = self._stream
        before = stream.newest(stream.silver)
        position.require_same_topic(str(stream.silver), before, stream.source.topic, topic_id)
        left = _beyond(read, position.ends(before))
        if not left:
            log.info("%s: offsets up to %s were committed before", stream.silver, read)
            return Committed(None)
        judged = self._judged(records.where(_is_beyond(left))).persist()
        try:
            counted = count(judged, stream.columns, stream.defined.checks)
            ahead = stream.newest(stream.silver.quarantine, of=stream.silver)
            account = self._account(stream.silver, before, ahead, left, topic_id, counted.partitions[WHOLE])
            account.check_conservation(_records(left))
            self._quarantine(judged, account, ahead)
            uri = self._defined(records.sparkSession, stream.silver)
            good = judged.where(is_published()).select(*stream.columns.fieldNames())
            insert(good, uri, stream.defined.key, _transaction(stream.silver, account))
        finally:
            judged.unpersist()
        return Committed(account, history.version(stream.silver, stream.lake_root))

    def _judged(self, records: DataFrame) -> DataFrame:
        """A row for each record, typed, with its reasons and its fate."""
        stream, table = self._stream, self._stream.defined
        rows = table.rows(typed(decoded(records, stream.contract), stream.contract))
        rows = with_required_checked(rows, table.schema).drop(DRIFT)
        rows = rows.withColumn("_partition", F.lit(WHOLE))
        uri = stream.silver.uri(stream.lake_root)
        published = records.sparkSession.read.format("delta").load(uri) if history.exists(uri) else None
        rows = with_duplicates_marked(rows, published, table.key, stream.columns)
        # A row at a time: what a rule says of all of a table, or of a share, the gate judges.
        rules = {rule.index for rule in stream.suite.quarantining if not rule.checks_uniqueness}
        return with_fate(split(rows, stream.suite, rules), table, None)

    def _quarantine(self, judged: DataFrame, account: Account, ahead: Account | None) -> None:
        """The broken rows, before silver: if this is the last that happens, what comes next puts it right."""
        stream, place = self._stream, self._stream.silver.quarantine
        assert account.offsets is not None
        # It has rows that silver never accounted for: under other rules they may be good now.
        there = position.ends(ahead)
        unaccounted = any(there.get(one, 0) > offset for one, offset in account.offsets.start.items())
        if not account.quarantined and not unaccounted:
            return
        broken = quarantine.kept(
            judged.where(is_quarantined()),
            stream.columns,
            account.run,
            stream.contract.version,
            stream.suite.version,
        )
        uri = self._defined(judged.sparkSession, place)
        transaction = _transaction(place, account)
        if unaccounted:
            withdrawn = _is_in(account.offsets.topic, account.offsets.start)
            insert(broken, uri, (SOURCE_ROW_ID,), transaction, withdrawn)
        else:
            append(broken, uri, transaction)

    def _account(
        self,
        table: TableRef,
        before: Account | None,
        ahead: Account | None,
        read: Mapping[int, Read],
        topic_id: str,
        counts: PartitionCounts,
    ) -> Account:
        stream = self._stream
        offsets = position.advance(str(table), before, stream.source.topic, topic_id, read)
        return Account(
            table=str(table),
            run=f"stream-{offsets.position}",
            partitions={WHOLE: counts},
            verdict={"passed": True, "reason": "row rules"},
            contract_version=stream.contract.version,
            contract=stream.contract.schema_in_short(),
            suite_version=stream.suite.version,
            code_version=stream.code_version,
            # The position, or the number behind that of a quarantine which a crash has left ahead.
            sequence=max(offsets.position, *(1 + one.sequence if one else 0 for one in (before, ahead))),
            offsets=offsets,
        )

    def _defined(self, spark: SparkSession, table: TableRef) -> str:
        uri = table.uri(self._stream.lake_root)
        create_table(spark, uri, self._stream.definition(table), history.snapshot(uri))
        return uri


def _ranges(records: DataFrame) -> dict[int, Read]:
    found = (
        records.groupBy("partition")
        .agg(
            F.min("offset").alias("first"), F.max("offset").alias("last"), F.count(F.lit(1)).alias("records")
        )
        .collect()
    )
    return {row["partition"]: Read(row["first"], row["last"], row["records"]) for row in found}


def _beyond(read: Mapping[int, Read], ends: Mapping[int, int]) -> dict[int, Read]:
    """What of `read` lies at or beyond these ends; what was read is without gaps, or `advance` refuses it."""
    left = {}
    for partition, records in read.items():
        first = max(records.first, ends.get(partition, 0))
        if first <= records.last:
            left[partition] = Read(first, records.last, records.records - (first - records.first))
    return left


def _is_beyond(left: Mapping[int, Read]) -> Column:
    """Whether a record is one of `left`."""
    at_or_beyond = F.lit(False)
    for partition, records in left.items():
        at_or_beyond |= (F.col("partition") == partition) & (F.col("offset") >= records.first)
    return at_or_beyond


def _is_in(topic: str, starts: Mapping[int, int]) -> str:
    """SQL over `old`: whether a row's source is at or beyond these offsets."""
    file = f"substring_index(old.{SOURCE_ROW_ID}, '#', 1)"
    row = f"CAST(substring_index(old.{SOURCE_ROW_ID}, '#', -1) AS BIGINT)"
    parts = [f"({file} = '{topic}/{partition}' AND {row} >= {start})" for partition, start in starts.items()]
    return f"({' OR '.join(parts)})"


def _records(read: Mapping[int, Read]) -> int:
    return sum(records.records for records in read.values())


def _transaction(table: TableRef, account: Account) -> Transaction:
    return Transaction(f"millstream:{table}:stream", account.sequence, account.model_dump_json())
