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
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from millstream.contracts.sources.kafka import ARRIVAL_DELAY_LIVE
from millstream.errors import ClusterError, MillstreamError, QualityGateError, TransientError
from millstream.lake.accounts import Account
from millstream.lake.delta import require_writer
from millstream.lake.storage import local_uri
from millstream.lake.tables import TableRef
from millstream.streams import breaker, dead_letter, delays, desired, position, snapshot, views
from millstream.streams.access import Access
from millstream.streams.commits import Committer, bronze_rows, silver_rows
from millstream.streams.freshness import Freshness
from millstream.streams.snapshot import Delays, HourlyDelays, Snapshot
from millstream.streams.tables import Stream
from millstream.streams.topic import Topic, Topics, refusal

if TYPE_CHECKING:
    from millstream.streams.scoring import Scoring

log = logging.getLogger(__name__)
Batch = Callable[[DataFrame, int], None]
COUNTS = ("read", "written", "quarantined", "deduplicated")
# Often enough for a person, seldom enough for a log of commits.
EVERY = "1 second"
AWAIT_S = 1
# Between two looks at the topic's end.
LOOK_S = 3.0
# What Kafka's client says when the broker does not answer.
AWAY = tuple(
    f"org.apache.kafka.common.errors.{name}"
    for name in ("TimeoutException", "DisconnectException", "NetworkException")
)
# Error class of Delta, for instance when a table is compacted while a micro-batch is merged into it.
CONFLICT = "DELTA_CONCURRENT_"
# Between two looks for a broker that is away.
PAUSE_S = 2.0


class _Drained(Exception):
    """Ends a micro-batch that has begun after the stream was told to end: nothing of it is committed."""


class Runner:
    """Runs one stream until it is told to end, or, with `available_now`, until the topic's present end.

    A micro-batch reads up to `most_records`. Once `ending` is set, the micro-batch that is under way ends and
    no other begins.
    """

    def __init__(
        self,
        spark: SparkSession,
        stream: Stream,
        access: Access,
        available_now: bool,
        most_records: int,
        ending: threading.Event,
    ) -> None:
        self._spark = spark
        self._stream = stream
        self._access = access
        self._available_now = available_now
        self._most_records = most_records
        self._topics = Topics(access)
        copies = stream.source.dead_letter
        self._committer = Committer(
            stream,
            lambda: self._topics.id_of(stream.source.topic),
            partial(dead_letter.copy, access=access, topic=copies) if copies else None,
        )
        self._ending = ending
        # One for each query: held while a micro-batch is under way.
        self._busy = (threading.Lock(), threading.Lock())
        self._showing = threading.Lock()
        # Set while somebody wants the stream drained; its process stays.
        self._paused = threading.Event()
        self._failure: BaseException | None = None
        earlier = snapshot.read(stream.lake_root, stream.name)
        began = datetime.now(UTC)
        # A stream that starts again and again is as far behind as before.
        fresh_at = (earlier.fresh_at if earlier else None) or began
        self._freshness = Freshness(fresh_at)
        self._shown = Snapshot(stream=stream.name, state="starting", at=began, fresh_at=fresh_at)
        self._scoring = self._scored_beside() if ARRIVAL_DELAY_LIVE in stream.source.views else None

    def run(self) -> Snapshot:
        """The figures at the end. Raises: StreamPositionError when the topic does not go on where the tables
        end; what a rule, a contract or the lake says.
        """
        require_writer(self._spark, self._stream.lake_root)
        while not self._ending.is_set():
            try:
                if not self._wanted():
                    parked = desired.reason(self._stream.lake_root, self._stream.name)
                    self._show(state="parked" if parked else "drained", reason=parked or "asked for")
                    self._ending.wait(PAUSE_S)
                    continue
                self._queries()
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
        if self._scoring and not self._ending.is_set():
            self._scoring.attempt()
        self._show(state="drained", reason="")
        return self._shown

    def _scored_beside(self) -> Scoring:
        # Here, because a stream without predictions has no use for models.
        from millstream.streams.scoring import Scoring

        return Scoring(self._spark, self._stream, lambda predictions: self._show(predictions=predictions))

    def _wanted(self) -> bool:
        """Whether the stream is to run, by what somebody has asked for in the lake."""
        if self._available_now or desired.read(self._stream.lake_root, self._stream.name) == "run":
            self._paused.clear()
        else:
            self._paused.set()
        return not self._paused.is_set()

    @property
    def _draining(self) -> bool:
        return self._ending.is_set() or self._paused.is_set()

    def _queries(self) -> None:
        """Two queries of Spark, each from where its table ends: silver does not wait for bronze.

        Returns when they have been drained or have read all.
        """
        self._failure = None
        checkpoints = Path(tempfile.mkdtemp(prefix="checkpoint-"))
        stream, committer = self._stream, self._committer
        started: list[StreamingQuery] = []
        try:
            topic = self._topics.look(stream.source.topic)
            if stream.source.dead_letter:
                self._topics.id_of(stream.source.dead_letter)
            # Both are asked for before either goes on.
            at = {
                table: self._begin(table, other, topic)
                for table, other in ((stream.bronze, stream.silver), (stream.silver, stream.bronze))
            }
            bronze = bronze_rows(self._records(topic, at[stream.bronze]))
            to_bronze = self._batch(partial(committer.bronze, begun=at[stream.bronze]), 0)
            started.append(self._start("bronze", bronze, to_bronze, checkpoints))
            silver = silver_rows(self._records(topic, at[stream.silver]), stream)
            to_silver = self._batch(partial(committer.silver, begun=at[stream.silver]), 1)
            started.append(self._start("silver", silver, to_silver, checkpoints))
            with self._scoring.beside() if self._scoring else nullcontext():
                self._await(started)
        finally:
            for query in started:
                query.stop()
            shutil.rmtree(checkpoints, ignore_errors=True)

    def _begin(self, table: TableRef, other: TableRef, topic: Topic) -> dict[int, int]:
        newest = self._stream.newest(table)
        first = self._stream.oldest(other) if newest is None else None
        begin = position.begin(str(table), newest, topic, first)
        log.info("%s begins at %s", table, begin)
        return begin

    def _records(self, topic: Topic, begin: dict[int, int]) -> DataFrame:
        return (
            self._spark.readStream.format("kafka")
            .options(**self._access.spark)
            .option("subscribe", topic.name)
            .option("startingOffsets", json.dumps({topic.name: {str(one): at for one, at in begin.items()}}))
            .option("includeHeaders", "true")
            .option("maxOffsetsPerTrigger", self._most_records)
            .load()
        )

    def _start(self, name: str, rows: DataFrame, batch: Batch, checkpoints: Path) -> StreamingQuery:
        writer = rows.writeStream.queryName(f"{name}.{self._stream.name}").foreachBatch(batch)
        writer = writer.option("checkpointLocation", local_uri(checkpoints / name))
        if self._available_now:
            return writer.trigger(availableNow=True).start()
        return writer.trigger(processingTime=EVERY).start()

    def _batch(self, commit: Callable[[DataFrame], Account | None], number: int) -> Batch:
        def batch(rows: DataFrame, _: int) -> None:
            with self._busy[number]:
                if self._draining:
                    raise _Drained
                began = time.monotonic()
                try:
                    account = commit(rows)
                    if account is not None:
                        self._committed(account, time.monotonic() - began)
                        self._park_if_broken(account)
                except BaseException as error:
                    # Spark hands on a text only.
                    self._failure = error
                    raise

        return batch

    def _await(self, queries: list[StreamingQuery]) -> None:
        looked = 0.0
        try:
            while [query for query in queries if not query.awaitTermination(AWAIT_S)]:
                if time.monotonic() - looked > LOOK_S:
                    try:
                        self._look()
                    except TransientError as error:
                        # The queries find out for themselves whether they can go on; to plan them anew takes
                        # longer than most of this.
                        log.warning("looking again: %s", error)
                        self._show(state="waiting", reason=str(error))
                    looked = time.monotonic()
                if self._draining or not self._wanted():
                    # The batches that are under way end first; the next ones raise _Drained.
                    for busy in self._busy:
                        with busy:
                            pass
                    return
        except PySparkException as error:
            if self._draining and self._failure is None:
                return
            raise self._reason(error) from error

    def _reason(self, error: PySparkException) -> BaseException:
        if isinstance(self._failure, MillstreamError):
            return self._failure
        text = f"{error}{self._failure or ''}"
        first, servers = text.splitlines()[0], self._access.servers
        if (refused := refusal(servers, text)) is not None:
            return refused
        if any(name in text for name in AWAY):
            return ClusterError(f"Kafka at {servers} does not answer: {first}")
        if CONFLICT in text:
            return ClusterError(f"another process has changed a table meanwhile: {first}")
        return self._failure or error

    def _committed(self, account: Account, seconds: float) -> None:
        counts = {name: getattr(account, name) for name in COUNTS}
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        log.info("%s: %s in %.2f s", account.table, told, seconds)
        if account.table != str(self._stream.silver) or account.offsets is None:
            return
        shown = self._shown
        self._show(
            position=account.offsets.position,
            batches=shown.batches + 1,
            **{name: getattr(shown, name) + count for name, count in counts.items()},
            batch_s=seconds,
            events_per_s=account.read / seconds,
        )

    def _park_if_broken(self, account: Account) -> None:
        """Ask for the stream's end where too many of the newest rows break a rule; its process stays."""
        stream = self._stream
        if not account.quarantined or not (reason := breaker.reason_to_park(stream)):
            return
        if self._available_now:
            raise QualityGateError(f"{stream.silver}: {reason}")
        log.error("parked: %s", reason)
        desired.write(stream.lake_root, stream.name, "park", reason)
        self._paused.set()

    def _look(self) -> None:
        """Where the stream is, against the topic's end; also between micro-batches, so that it shows life."""
        stream = self._stream
        end = position.ends(stream.newest(stream.silver))
        topic = self._topics.look(stream.source.topic)
        reached = {**topic.begin, **end}
        lag = sum(offset - reached[one] for one, offset in topic.end.items())
        fresh_at = self._freshness.at(datetime.now(UTC), reached, topic.end)
        self._show(state="running", reason="", position=sum(end.values()), lag=lag, fresh_at=fresh_at)
        if views.AIRPORT_DELAYS not in stream.source.views or self._ending.is_set():
            return
        if end and self._shown.delays_at != sum(end.values()):
            # Beside the micro-batches, which are not to wait for figures.
            views.keep_up_speed_view(self._spark, stream)
            self._show(**self._served(), delays_at=sum(end.values()))

    def _served(self) -> dict[str, Any]:
        """The figures of the page, of what is served: also a batch view is in it."""
        lately = delays.latest(views.served_rows(self._spark, self._stream.lake_root)).persist()
        try:
            by_carrier = delays.by_carrier(lately).orderBy("airport", "carrier").collect()
            by_hour = delays.by_hour(lately).orderBy("hour", "airport").collect()
        finally:
            lately.unpersist()
        return {
            "delays": tuple(Delays.model_validate(row.asDict()) for row in by_carrier),
            "hours": tuple(HourlyDelays.model_validate(row.asDict()) for row in by_hour),
        }

    def _show(self, **changes: Any) -> None:
        with self._showing:
            self._shown = self._shown.model_copy(update={**changes, "at": datetime.now(UTC)})
            snapshot.write(self._stream.lake_root, self._shown)
