"""A stream as a process: begins where silver's newest account ends, and drains when it is told to end.

Spark's checkpoint is scratch: it is made anew at each start, so none can be lost, old or broken.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from millstream.errors import ClusterError, MillstreamError, TransientError
from millstream.lake.delta import require_writer
from millstream.lake.storage import local_uri
from millstream.streams import delays, position, snapshot
from millstream.streams.commits import Committed, Committer
from millstream.streams.snapshot import Delays, Snapshot
from millstream.streams.tables import Stream
from millstream.streams.topic import Topics

log = logging.getLogger(__name__)
# Often enough for a person, seldom enough for a log of commits.
EVERY = "1 second"
AWAIT_S = 1
# Between two looks at the topic's end.
LOOK_S = 3.0
# What Kafka's client says when the broker does not answer.
AWAY = ("TimeoutException", "DisconnectException", "NetworkException")
# Between two looks for a broker that is away.
PAUSE_S = 2.0


class _Drained(Exception):
    """Ends a micro-batch that has begun after the stream was told to end: nothing of it is committed."""


class Runner:
    """Runs one stream until it is told to end, or, with `available_now`, until the topic's present end.

    A micro-batch reads up to `most_records`.
    """

    def __init__(
        self, spark: SparkSession, stream: Stream, servers: str, available_now: bool, most_records: int
    ) -> None:
        self._spark = spark
        self._stream = stream
        self._servers = servers
        self._available_now = available_now
        self._most_records = most_records
        self._topics = Topics(servers)
        self._committer = Committer(stream, lambda: self._topics.id_of(stream.source.topic))
        self._ending = threading.Event()
        self._busy = threading.Lock()
        self._showing = threading.Lock()
        self._failure: BaseException | None = None
        self._shown = Snapshot(stream=stream.name, state="starting", at=datetime.now(UTC))

    def drain(self) -> None:
        """Let the micro-batch that is under way end, and begin no other. Safe in a signal handler."""
        self._ending.set()

    def run(self) -> Snapshot:
        """The figures at the end. Raises: StreamPositionError when the topic does not go on where the tables
        end; what a rule, a contract or the lake says.
        """
        require_writer(self._spark, self._stream.lake_root)
        while not self._ending.is_set():
            try:
                self._query()
            except TransientError as error:
                log.warning("waiting: %s", error)
                self._show(state="waiting", reason=str(error))
                self._ending.wait(PAUSE_S)
                continue
            except BaseException as error:
                self._show(state="stopped", reason=str(error))
                raise
            if self._available_now:
                break
        with suppress(TransientError):
            self._look()
        self._show(state="drained", reason="")
        return self._shown

    def _query(self) -> None:
        """One query of Spark, from where the tables end; returns when it has been drained or has read all."""
        self._failure = None
        checkpoint = Path(tempfile.mkdtemp(prefix="checkpoint-"))
        try:
            query = self._start(self._records(), checkpoint)
            self._await(query)
        finally:
            shutil.rmtree(checkpoint, ignore_errors=True)

    def _records(self) -> DataFrame:
        stream, topic = self._stream, self._topics.look(self._stream.source.topic)
        starts = [
            position.begin(str(table), stream.newest(table), topic)
            for table in (stream.bronze, stream.silver)
        ]
        begin = {str(one): min(start[one] for start in starts) for one in topic.begin}
        log.info("%s begins at %s", stream.silver, begin)
        return (
            self._spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", self._servers)
            .option("subscribe", topic.name)
            .option("startingOffsets", json.dumps({topic.name: begin}))
            .option("includeHeaders", "true")
            .option("maxOffsetsPerTrigger", self._most_records)
            .load()
        )

    def _start(self, records: DataFrame, checkpoint: Path) -> StreamingQuery:
        writer = records.writeStream.queryName(self._stream.name).foreachBatch(self._batch)
        writer = writer.option("checkpointLocation", local_uri(checkpoint))
        if self._available_now:
            return writer.trigger(availableNow=True).start()
        return writer.trigger(processingTime=EVERY).start()

    def _batch(self, records: DataFrame, number: int) -> None:
        with self._busy:
            if self._ending.is_set():
                raise _Drained
            began = time.monotonic()
            try:
                committed = self._committer.commit(records)
            except BaseException as error:
                # Spark hands on a text only.
                self._failure = error
                raise
            self._committed(committed, time.monotonic() - began)

    def _await(self, query: StreamingQuery) -> None:
        try:
            looked = 0.0
            while not query.awaitTermination(AWAIT_S):
                if time.monotonic() - looked > LOOK_S:
                    self._look()
                    looked = time.monotonic()
                if self._ending.is_set():
                    # The batch that is under way ends first; the next one raises _Drained.
                    with self._busy:
                        pass
                    query.stop()
        except PySparkException as error:
            if self._ending.is_set() and self._failure is None:
                return
            raise self._reason(error) from error
        finally:
            query.stop()

    def _reason(self, error: PySparkException) -> BaseException:
        if isinstance(self._failure, MillstreamError):
            return self._failure
        if _is_kafkas(str(error)):
            return ClusterError(f"Kafka at {self._servers}: {str(error).splitlines()[0]}")
        return self._failure or error

    def _committed(self, committed: Committed, seconds: float) -> None:
        account = committed.account
        if account is None or account.offsets is None:
            return
        log.info(
            "%s: read %d, written %d, quarantined %d, deduplicated %d in %.2f s",
            *(
                account.table,
                account.read,
                account.written,
                account.quarantined,
                account.deduplicated,
                seconds,
            ),
        )
        shown = self._shown
        self._show(
            position=account.offsets.position,
            batches=shown.batches + 1,
            read=shown.read + account.read,
            written=shown.written + account.written,
            quarantined=shown.quarantined + account.quarantined,
            deduplicated=shown.deduplicated + account.deduplicated,
            batch_s=seconds,
            events_per_s=account.read / seconds,
        )

    def _look(self) -> None:
        """Where the stream is, against the topic's end; also between micro-batches, so that it shows life."""
        stream = self._stream
        end = position.ends(stream.newest(stream.silver))
        topic = self._topics.look(stream.source.topic)
        lag = sum(offset - end.get(one, topic.begin[one]) for one, offset in topic.end.items())
        self._show(state="running", reason="", position=sum(end.values()), lag=lag)
        if end and self._shown.delays_at != sum(end.values()):
            # Beside the micro-batches, which are not to wait for figures.
            events = self._spark.read.format("delta").load(stream.silver.uri(stream.lake_root))
            rows = delays.latest(events).orderBy("airport", "carrier").collect()
            figures = tuple(Delays.model_validate(row.asDict()) for row in rows)
            self._show(delays=figures, delays_at=sum(end.values()))

    def _show(self, **changes: Any) -> None:
        with self._showing:
            self._shown = self._shown.model_copy(update={**changes, "at": datetime.now(UTC)})
            snapshot.write(self._stream.lake_root, self._shown)


def _is_kafkas(text: str) -> bool:
    return any(f"org.apache.kafka.common.errors.{name}" in text for name in AWAY)
