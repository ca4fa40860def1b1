"""Alerts: the good events of a topic that meet a condition, sent to a topic of their own within milliseconds.

Spark's real-time mode hands each record on as it comes, and takes no Python: the records are decoded by
`streams.native`, and then typed, transformed and judged by the code that makes silver.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from millstream.errors import ContractError, MillstreamError, StreamPositionError, TransientError
from millstream.lake.storage import local_uri
from millstream.quality.predicates import REASONS
from millstream.streams import alert_snapshot, native
from millstream.streams.access import Access
from millstream.streams.alert_snapshot import ALERT, EVENT_ID, AlertSnapshot, SentAlerts
from millstream.streams.commits import judged_rows
from millstream.streams.snapshot import State
from millstream.streams.tables import Stream
from millstream.streams.topic import Topics

log = logging.getLogger(__name__)
LOOK_S = 2
# A batch of real-time mode: after a crash, what came since its beginning is judged again.
BATCH = "2 minutes"
# Kafka's error where offsets have gone.
GONE = "OffsetOutOfRangeException"


def alerts(records: DataFrame, stream: Stream) -> DataFrame:
    """A row for each good event and each condition of the contract that it meets: `key`, `value` (JSON: the
    alert's name and the event's columns of silver) and `headers`."""
    declared = stream.source.alerts
    assert declared is not None
    rows = judged_rows(native.decoded(records, stream.contract), stream)
    good = rows.where(F.size(REASONS) == 0)
    met = [_met(good, name, condition) for name, condition in declared.rules.items()]
    raised = good.withColumn(ALERT, F.explode(F.array_compact(F.array(*met))))
    columns = [ALERT, *(name for name in stream.columns.fieldNames() if not name.startswith("_"))]
    return raised.select(
        F.concat_ws("/", *stream.defined.key).cast("binary").alias("key"),
        F.to_json(F.struct(*columns)).cast("binary").alias("value"),
        F.array(
            *(
                F.struct(F.lit(name).alias("key"), F.col(name).cast("binary").alias("value"))
                for name in (EVENT_ID, ALERT)
            )
        ).alias("headers"),
    )


def _met(rows: DataFrame, name: str, condition: str) -> Column:
    """The alert's name for a row that meets the condition."""
    met = F.when(F.expr(condition), F.lit(name))
    try:
        # Not `where`, which also knows the columns that silver no longer has.
        rows.withColumn(ALERT, met)
    except AnalysisException as error:
        raise ContractError(
            f"source.alerts.rules.{name}: not a condition on the columns of silver: {condition}: "
            f"{str(error).splitlines()[0]}. What to do: correct it in the contract"
        ) from error
    return met


def run(spark: SparkSession, stream: Stream, access: Access, folder: Path, ending: threading.Event) -> None:
    """Send alerts until `ending` is set, and say so in the lake. `folder` has the checkpoint.

    Raises: ContractError: the contract has no alerts, or one that is no condition; StreamPositionError: the
        topic does not go on where the checkpoint ends; SourceUnavailableError, ClusterError: there is no such
        topic or no broker; what else ended the query, as real-time mode's refusal.
    """
    if stream.source.alerts is None:
        raise ContractError(f"{stream.name}: source.alerts is empty. What to do: name a topic and conditions")
    sent = SentAlerts(access, stream.source.alerts.topic)
    _show(stream, "starting")
    query = None
    try:
        checkpoint = _checkpoint(folder, stream.source.topic, Topics(access).id_of(stream.source.topic))
        query = start(spark, stream, access, checkpoint)
        log.info("alerts.%s: %s", stream.name, stream.source.alerts.rules)
        while not ending.is_set() and not query.awaitTermination(LOOK_S):
            _look(stream, sent)
    except (MillstreamError, PySparkException) as error:
        reason = _reason(error, folder)
        _show(stream, "waiting" if isinstance(error, TransientError) else "stopped", str(reason or error))
        if reason is None:
            raise
        raise reason from error
    finally:
        if query is not None:
            query.stop()
    _show(stream, "drained")


def _look(stream: Stream, sent: SentAlerts) -> None:
    try:
        count, latest = sent.look()
    except TransientError as error:
        log.warning("looking again: %s", error)
        _show(stream, "waiting", str(error))
        return
    _show(stream, "running", sent=count, latest=latest)


def _show(stream: Stream, state: State, reason: str = "", **figures: object) -> None:
    assert stream.source.alerts is not None
    now = datetime.now(UTC)
    down_since = None if state == "running" else _down_since(stream, now)
    snapshot = AlertSnapshot.model_validate(
        {
            **{"stream": stream.name, "topic": stream.source.alerts.topic, "at": now},
            **{"state": state, "reason": reason, "down_since": down_since, **figures},
        }
    )
    alert_snapshot.write(stream.lake_root, snapshot)


def _down_since(stream: Stream, now: datetime) -> datetime:
    """Also over starts that come to nothing; not over the end of the stack."""
    before = alert_snapshot.read(stream.lake_root, stream.name)
    if before is None or before.state == "drained":
        return now
    return before.down_since or before.at


def _reason(error: Exception, folder: Path) -> MillstreamError | None:
    """What a new start does not mend; None of anything else."""
    if GONE in str(error):
        return StreamPositionError(
            "records are gone that the alerts have not read: the topic's retention is shorter than they were "
            f"down. {_anew(folder)}"
        )
    return None


def _checkpoint(folder: Path, topic: str, topic_id: str) -> Path:
    """That of the topic with this id: offsets of another one may fit, and mean nothing."""
    # The client writes ids with letters that mean folders; Kafka's own tools have these instead.
    topic_id = topic_id.replace("/", "_").replace("+", "-")
    others = [one.name for one in folder.iterdir() if one.name != topic_id] if folder.is_dir() else []
    if others:
        raise StreamPositionError(
            f"the topic {topic} was made anew, or is another one: its id is {topic_id}, that of the alerts' "
            f"checkpoint {', '.join(others)}. {_anew(folder)}"
        )
    return folder / topic_id


def _anew(folder: Path) -> str:
    return f"What to do: find out why; then move {folder} away, and alerts begin at the topic's end"


def start(spark: SparkSession, stream: Stream, access: Access, checkpoint: Path) -> StreamingQuery:
    """A query in real-time mode, from where the checkpoint says, without one from the topic's present end.

    At least once: after a crash alerts are sent again. Raises what Spark does when the mode cannot carry out
    a condition; no other mode is taken instead.
    """
    assert stream.source.alerts is not None
    records = (
        spark.readStream.format("kafka")
        .options(**access.spark)
        .option("subscribe", stream.source.topic)
        .option("startingOffsets", "latest")
        .option("includeHeaders", "true")
        .load()
    )
    writer = (
        alerts(records, stream)
        .writeStream.queryName(f"alerts.{stream.name}")
        .format("kafka")
        .options(**access.spark)
        .option("kafka.linger.ms", "0")
        .option("topic", stream.source.alerts.topic)
        .option("checkpointLocation", local_uri(checkpoint))
        .outputMode("update")
    )
    # PySpark 4.2's overloads lack the argument that its documentation has.
    query: StreamingQuery = writer.trigger(realTime=BATCH).start()  # type: ignore[call-overload]
    return query
