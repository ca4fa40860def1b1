"""Micro-batches to the tables, each exactly once: records to bronze; rows to quarantine, then to silver.

Each commit carries its table's own offsets, and each table takes only what lies at or beyond its own end. So
whatever is given once more, after a crash, from an old checkpoint or by a second query, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from millstream.bronze.typed import DRIFT, typed, with_required_checked
from millstream.errors import SupersededError
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.delta import Transaction, append, insert, turn
from millstream.lake.offsets import Offsets
from millstream.lake.source_rows import at_or_beyond, topic_place
from millstream.lake.sql import between
from millstream.lake.tables import SOURCE_ROW_ID, WHOLE, TableRef
from millstream.publishing import quarantine
from millstream.publishing.counts import count
from millstream.publishing.fate import is_published, is_quarantined, with_fate
from millstream.quality.predicates import REASONS
from millstream.streams import position, rules
from millstream.streams.decoding import decoded
from millstream.streams.definitions import make_ready
from millstream.streams.duplicates import with_duplicates_marked
from millstream.streams.position import Read
from millstream.streams.tables import BRONZE, Stream

# Of a key that stands in a statement, in characters.
LONGEST = 1000


def bronze_rows(records: DataFrame) -> DataFrame:
    """`records` of Spark's source for Kafka as bronze has them."""
    return records.select(*BRONZE.fieldNames())


def silver_rows(records: DataFrame, stream: Stream) -> DataFrame:
    """A row for each of the `records`: decoded, typed, transformed, with the rules that it breaks.

    Planned once for all micro-batches: planning it takes longer than carrying it out for a few records.
    """
    return judged_rows(decoded(records, stream.contract), stream)


def judged_rows(received: DataFrame, stream: Stream) -> DataFrame:
    """Decoded rows typed and transformed, with the rules that each breaks."""
    rows = typed(received, stream.contract)
    rows = with_required_checked(stream.defined.rows(rows), stream.defined.schema).drop(DRIFT)
    return rules.with_reasons(rows.withColumn("_partition", F.lit(WHOLE)), stream)


@dataclass(frozen=True)
class _Left:
    """What of a micro-batch its table does not have yet, and where the table goes on: behind the account
    `before`, or where the query has `begun`."""

    before: Account | None
    begun: Mapping[int, int]
    read: dict[int, Read]
    topic_id: str
    # Between these lies the first column of its rows' keys, where that is text.
    keys: tuple[str, str] | None

    @property
    def records(self) -> int:
        return sum(records.records for records in self.read.values())

    def among(self, partition: Column, offset: Column) -> Column:
        """Whether a record is one of these."""
        found = F.lit(False)
        for number, records in self.read.items():
            found |= (partition == number) & (offset >= records.first)
        return found


class Committer:
    """Commits the micro-batches of one stream. `topic_id` asks the broker which id the topic has now;
    `dead_letter` sends copies of the records behind quarantined rows, which lie within these offsets.

    Each of its methods returns the account of the commit, None where all had been committed before. `begun`
    are the offsets at which its query began.
    Raises: StreamPositionError when the micro-batch does not go on where the table's newest account ends, or
        the topic is another one; SupersededError when another query has committed it meanwhile.
    """

    def __init__(
        self,
        stream: Stream,
        topic_id: Callable[[], str],
        dead_letter: Callable[[DataFrame, Offsets], None] | None = None,
    ) -> None:
        self._stream = stream
        self._topic_id = topic_id
        self._dead_letter = dead_letter
        self._ready: dict[TableRef, str] = {}

    def bronze(self, records: DataFrame, begun: Mapping[int, int]) -> Account | None:
        """Add `bronze_rows`."""
        table, place = self._stream.bronze, (F.col("partition"), F.col("offset"))
        with self._begun(table, begun, records, *place, None) as (held, left):
            if left is None:
                return None
            uri = self._defined(records.sparkSession, table)
            counts = PartitionCounts(
                read=left.records, written=left.records, quarantined=0, deduplicated=0, content_hash="0"
            )
            account = self._account(table, left, None, counts)
            append(held.where(left.among(*place)), uri, _transaction(table, account))
            return account

    def silver(self, rows: DataFrame, begun: Mapping[int, int]) -> Account | None:
        """Add `silver_rows`, each event once; before that what is broken to quarantine."""
        stream, table, place = self._stream, self._stream.silver, topic_place()
        key = stream.defined.key[0]
        text = isinstance(stream.columns[key].dataType, StringType)
        with self._begun(table, begun, rows, *place, key if text else None) as (held, left):
            if left is None:
                return None
            uri = self._defined(rows.sparkSession, table)
            near = between(f"old.`{key}`", *left.keys) if left.keys else ""
            judged = self._judged(held.where(left.among(*place)), uri, near).persist()
            try:
                counted = count(judged, stream.columns, stream.defined.checks)
                ahead = stream.newest(table.quarantine, of=table)
                account = self._account(table, left, ahead, counted.partitions[WHOLE])
                account.verdict = rules.verdict(judged, stream, counted.broken)
                account.check_conservation(left.records)
                self._quarantine(judged, account, left.before, ahead)
                if self._dead_letter and account.quarantined and account.offsets:
                    self._dead_letter(judged.where(is_quarantined()), account.offsets)
                good = judged.where(is_published()).select(*stream.columns.fieldNames())
                insert(good, uri, stream.defined.key, _transaction(table, account), near=near)
            finally:
                judged.unpersist()
            return account

    @contextmanager
    def _begun(
        self,
        table: TableRef,
        begun: Mapping[int, int],
        rows: DataFrame,
        partition: Column,
        offset: Column,
        key: str | None,
    ) -> Iterator[tuple[DataFrame, _Left | None]]:
        """The table's turn, with the rows held in memory, and what is left of them to be committed."""
        stream = self._stream
        with turn(table, stream.lake_root):
            held = rows.persist()
            try:
                read, keys = _ranges(held, partition, offset, key)
                # Asked after the records were read: they are of the topic that has this id.
                topic_id = self._topic_id()
                before = stream.newest(table)
                position.require_same_topic(str(table), before, stream.source.topic, topic_id)
                beyond = _beyond(read, position.ends(before))
                yield held, _Left(before, begun, beyond, topic_id, keys) if beyond else None
            finally:
                held.unpersist()

    def _judged(self, rows: DataFrame, uri: str, near: str) -> DataFrame:
        """The rows with their fate: whether their event came before is looked up in silver, at `uri`, among
        the rows `old` for which `near` holds."""
        stream = self._stream
        published = rows.sparkSession.read.format("delta").load(uri).alias("old").where(near or "true")
        marked = with_duplicates_marked(rows, published, stream.defined.key, stream.columns)
        return with_fate(marked, stream.defined, None)

    def _quarantine(
        self, judged: DataFrame, account: Account, before: Account | None, ahead: Account | None
    ) -> None:
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
        uri, transaction = self._defined(judged.sparkSession, place), _transaction(place, account)
        # Another query that had nothing for the quarantine leaves no number there that would refuse this.
        if (now := stream.newest(stream.silver)) != before:
            raise SupersededError(f"{stream.silver}: another query has committed {now and now.run} meanwhile")
        if unaccounted:
            withdrawn = at_or_beyond(account.offsets.topic, account.offsets.start, "old")
            insert(broken, uri, (SOURCE_ROW_ID,), transaction, withdrawn)
        else:
            append(broken, uri, transaction)

    def _account(
        self, table: TableRef, left: _Left, ahead: Account | None, counts: PartitionCounts
    ) -> Account:
        stream, before = self._stream, left.before
        offsets = position.advance(
            str(table), before, stream.source.topic, left.topic_id, left.read, left.begun
        )
        return Account(
            table=str(table),
            run=f"stream-{offsets.position}",
            partitions={WHOLE: counts},
            verdict={"passed": True, "reason": "records as received"},
            contract_version=stream.contract.version,
            contract=stream.contract.schema_in_short(),
            suite_version=stream.suite.version,
            code_version=stream.code_version,
            # Behind the account that it goes on from, and a quarantine which a crash has left ahead: of two
            # queries that go on from one account Delta lets one commit.
            sequence=1 + max(one.sequence if one else 0 for one in (before, ahead)),
            offsets=offsets,
        )

    def _defined(self, spark: SparkSession, table: TableRef) -> str:
        if table not in self._ready:
            self._ready[table] = make_ready(spark, self._stream, table)
        return self._ready[table]


def _ranges(
    rows: DataFrame, partition: Column, offset: Column, key: str | None
) -> tuple[dict[int, Read], tuple[str, str] | None]:
    """What there is of each partition, and the least and the greatest `key` of rows that may be published."""
    keyed = F.when(F.size(REASONS) == 0, F.col(key)) if key else F.lit(None)
    found = (
        rows.groupBy(partition.alias("number"))
        .agg(
            F.min(offset).alias("first"),
            F.max(offset).alias("last"),
            F.count(F.lit(1)).alias("records"),
            F.min(keyed).alias("least"),
            F.max(keyed).alias("greatest"),
        )
        .collect()
    )
    read = {row["number"]: Read(row["first"], row["last"], row["records"]) for row in found}
    # Spark orders texts as Python does: by their characters.
    ends = [end for row in found for end in (row["least"], row["greatest"]) if end is not None]
    return read, (min(ends), max(ends)) if ends and max(map(len, ends)) <= LONGEST else None


def _beyond(read: Mapping[int, Read], ends: Mapping[int, int]) -> dict[int, Read]:
    """What of `read` lies at or beyond these ends; what was read is without gaps, or `advance` refuses it."""
    left = {}
    for partition, records in read.items():
        first = max(records.first, ends.get(partition, 0))
        if first <= records.last:
            left[partition] = Read(first, records.last, records.records - (first - records.first))
    return left


def _transaction(table: TableRef, account: Account) -> Transaction:
    return Transaction(f"millstream:{table}:stream", account.sequence, account.model_dump_json())
