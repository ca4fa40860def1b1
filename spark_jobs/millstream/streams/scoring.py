"""`gold.arrival_delay_live`: each flight that a stream brings, scored at its cutoff by the champion.

The features are batch's own transform over what is known of the flights by the stream's event clock; nothing
that happens at or after a flight's cutoff changes them, so it does not matter how long after it they are
made. A flight is scored once; each commit adds those that are due, with an account that has the model's
version, those of the tables, how far the topic was read (`offsets`) and the event clock (`watermark`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.contracts.sources.kafka import ARRIVAL_DELAY_LIVE
from millstream.errors import ConfigurationError, MillstreamError
from millstream.features import feature_table
from millstream.lake import checks, history
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.delta import TableDefinition, Transaction, create_table, insert, turn
from millstream.lake.reading import read_at
from millstream.lake.tables import WHOLE, TableRef
from millstream.ml.predictions import predictions
from millstream.models import model_spec
from millstream.streams import position
from millstream.streams.champion import Champion, Champions
from millstream.streams.live_features import (
    HISTORY,
    between,
    event_clock,
    held_back,
    live_features,
    newest_events,
)
from millstream.streams.snapshot import Outcome, Predictions
from millstream.streams.tables import Stream
from millstream.transforms import arrival_delay_predictions, column
from millstream.transforms.arrival_delay_features import KEY, LABEL

log = logging.getLogger(__name__)
TABLE = TableRef(zone="gold", name=ARRIVAL_DELAY_LIVE)
SPEC = model_spec("arrival_delay")
CUTOFF = "cutoff_utc"
SCHEMA = StructType(
    [
        *arrival_delay_predictions.SCHEMA.fields,
        column(CUTOFF, "timestamp", "Prediction time: one hour before the scheduled departure"),
    ]
)
# No gate stands between: what breaks a check of batch's table is not committed.
DEFINITION = TableDefinition(
    SCHEMA,
    "The champion's answer for each flight of the stream, as of its cutoff",
    checks=checks.constraints(arrival_delay_predictions.CHECKS),
)
INPUTS = feature_table(TableRef.parse(SPEC.input_table).name).inputs
# How long after the event clock a flight may still be announced and be scored, and what the page shows.
LATELY = timedelta(days=1)
# Between two looks, and between two rounds at least so many times what the first took: a round reads two
# months of flights, however few are due, and micro-batches beside it took 64 % longer on two processors.
LOOK_S = 10.0
REST = 9.0


@dataclass(frozen=True)
class _Round:
    """What one batch is made from: silver's `newest` account, the one `before` it of the table itself, the
    champion, and the versions of the tables."""

    newest: Account
    before: Account | None
    champion: Champion
    versions: Mapping[str, int]

    @property
    def scored_until(self) -> datetime | None:
        watermark = self.before.watermark if self.before else None
        return datetime.fromisoformat(watermark) if watermark else None

    def account(self, rows: int, clock: datetime, code_version: str) -> Account:
        counts = PartitionCounts(read=rows, written=rows, quarantined=0, deduplicated=0, content_hash="0")
        return Account(
            table=str(TABLE),
            run=self.newest.run,
            partitions={WHOLE: counts},
            verdict={"passed": True, "reason": "made from silver"},
            inputs={**self.versions, f"model.{SPEC.name}": self.champion.version},
            suite_version=self.newest.suite_version,
            code_version=code_version,
            watermark=clock.isoformat(),
            # Of two queries that go on from one account Delta lets one commit.
            sequence=1 + (self.before.sequence if self.before else 0),
            offsets=self.newest.offsets,
        )


class Scoring:
    """Scores beside the micro-batches of one stream; `show` gets what is to be said of it."""

    def __init__(self, spark: SparkSession, stream: Stream, show: Callable[[Predictions], None]) -> None:
        # Of its own: a merge sets the session's configuration.
        self._spark = spark.newSession()
        self._stream = stream
        self._show = show
        self._champions = Champions(SPEC, stream.lake_root)
        self._shown = Predictions()
        # Where silver ended when it was last looked at to the end.
        self._seen: dict[int, int] = {}

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Scores again and again meanwhile; what is under way at the end ends first."""
        ended = threading.Event()

        def rounds() -> None:
            pause_s = LOOK_S
            while not ended.wait(pause_s):
                began = time.monotonic()
                self.attempt()
                pause_s = max(LOOK_S, REST * (time.monotonic() - began))

        thread = threading.Thread(target=rounds, name="scoring", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def attempt(self) -> None:
        """`score`, of which no failure stops the stream: what is wrong is shown, and the next looks again."""
        try:
            self.score()
        except Exception as error:
            reason = str(error)
            if not isinstance(error, MillstreamError):
                reason = f"{type(error).__name__}: {reason.partition(chr(10))[0]}"
            if reason != self._shown.reason:
                # Once, not at every look.
                log.warning("no predictions: %s", error)
                self._say(reason=reason)

    def score(self) -> Account | None:
        """The account of the flights that were due; None where none were.

        Raises: ConfigurationError: a table that the features need is missing, or there is no champion;
            TrackingError, ArtifactDigestError: the champion cannot be had; StreamPositionError: what the
            table has is of another topic; SupersededError: another query has committed meanwhile.
        """
        stream = self._stream
        newest = stream.newest(stream.silver)
        if newest is None or newest.offsets is None or self._seen == newest.offsets.end:
            return None
        versions = _pinned(stream.lake_root) | {str(stream.silver): newest.version or 0}
        with turn(TABLE, stream.lake_root):
            before = stream.newest(TABLE)
            position.require_same_topic(str(TABLE), before, newest.offsets.topic, newest.offsets.topic_id)
            champion = self._champions.present(_version_used(before))
            account = self._round(_Round(newest, before, champion, versions))
        self._seen = newest.offsets.end
        return account

    def _round(self, begun: _Round) -> Account | None:
        began = time.monotonic()
        tables = {
            TableRef.parse(name).name: read_at(self._spark, name, self._stream.lake_root, version)
            for name, version in begun.versions.items()
        }
        events = recent = tables[self._stream.silver.name]
        if begun.scored_until is not None:
            events = _from(events, begun.scored_until - LATELY - HISTORY)
            recent = _from(events, begun.scored_until - LATELY)
        newest = newest_events(recent)
        if not newest:
            return None
        clock = event_clock(newest)
        since = min(begun.scored_until or clock, clock) - LATELY
        lately = live_features(events, tables, since, clock).persist()
        try:
            account = self._commit(begun, lately, clock)
            rows, version = account.written if account else 0, begun.champion.version
            self._say(
                model_version=version,
                until=clock,
                made=self._shown.made + rows,
                reason=" ".join(filter(None, (self._champions.note, held_back(newest)))),
                outcomes=self._outcomes(lately.where(between(clock - LATELY, clock))),
            )
        finally:
            lately.unpersist()
        seconds = time.monotonic() - began
        log.info("%s: %d flights by version %d, until %s, in %.1f s", TABLE, rows, version, clock, seconds)
        return account

    def _commit(self, begun: _Round, lately: DataFrame, clock: datetime) -> Account | None:
        stream, champion = self._stream, begun.champion
        uri = TABLE.uri(stream.lake_root)
        create_table(self._spark, uri, DEFINITION, history.snapshot(uri))
        scored_before = self._spark.read.format("delta").load(uri).select(*KEY)
        due = lately.join(scored_before, list(KEY), "left_anti")
        scored = predictions(due, SPEC, champion.model, champion.version, CUTOFF)
        read_from = F.lit(begun.versions[str(stream.silver)]).cast("bigint")
        made = scored.withColumn("input_version", read_from).select(*SCHEMA.fieldNames()).persist()
        try:
            if not (rows := made.count()):
                return None
            account = begun.account(rows, clock, stream.code_version)
            writer = f"millstream:{TABLE}:scoring"
            insert(made, uri, KEY, Transaction(writer, account.sequence, account.model_dump_json()))
        finally:
            made.unpersist()
        return account

    def _outcomes(self, flights: DataFrame) -> tuple[Outcome, ...]:
        """Of these flights the predictions beside what is known of their arrival, by origin."""
        predicted = self._spark.read.format("delta").load(TABLE.uri(self._stream.lake_root))
        both = predicted.join(flights.select(*KEY, LABEL), list(KEY))
        landed, late = F.col(LABEL).isNotNull(), F.coalesce(F.col(LABEL) == 1, F.lit(False))
        sums = both.groupBy("origin").agg(
            F.count(F.lit(1)).alias("predicted"),
            F.count_if("predicted").alias("predicted_late"),
            F.count_if(landed).alias("landed"),
            F.count_if(late).alias("late"),
            F.count_if(late & F.col("predicted")).alias("late_as_predicted"),
            F.coalesce(F.sum(F.when(landed, F.col("probability"))), F.lit(0.0)).alias("expected_late"),
        )
        return tuple(
            Outcome(
                airport=row["origin"],
                **{name: row[name] for name in Outcome.model_fields if name != "airport"},
            )
            for row in sums.orderBy("origin").collect()
        )

    def _say(self, **changes: Any) -> None:
        self._shown = self._shown.model_copy(update=changes)
        self._show(self._shown)


def _pinned(lake_root: str) -> dict[str, int]:
    """The tables that the features need, at their present versions.

    Raises: ConfigurationError: some have not been published yet.
    """
    versions = {name: history.read(TableRef.parse(name), lake_root).published_version for name in INPUTS}
    if missing := [name for name, version in versions.items() if version is None]:
        raise ConfigurationError(
            f"predictions need {', '.join(missing)}, not published yet. What to do: run the DAGs that make "
            "them (the page Assets in Airflow names them); `make demo` runs all"
        )
    return {name: version for name, version in versions.items() if version is not None}


def _version_used(account: Account | None) -> int | None:
    return account.inputs.get(f"model.{SPEC.name}") if account else None


def _from(events: DataFrame, moment: datetime) -> DataFrame:
    return events.where(F.col("flight_date") >= moment.date())
