"""The views of delays against each other, against MapReduce over raw records, and against monthly files.

Sides of the groups: `lambda` is what is served of batch view and stream's view, `kappa` the stream's view
alone, `mapreduce` what `spark_jobs/mapreduce/airport_delays.py` has made of the records as received. Their
events: `silver` and `mapreduce`. Flights: `events` are folded into rows of `silver.flights`, `files` are
those rows as published from the monthly files.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.errors import ConfigurationError, ReconciliationError
from millstream.jobs import JobModel
from millstream.jobs.export_records import JOB
from millstream.lake.names import RunKey
from millstream.lake.reading import read_at
from millstream.lake.tables import SOURCE_ROW_ID, TableRef, text_folders
from millstream.streams import compared, comparison
from millstream.streams.compared import Comparison, Difference
from millstream.streams.comparison import EVENT, FLIGHT, Compared
from millstream.streams.pins import FLIGHTS, SILVER, Pins
from millstream.streams.served import BATCH
from millstream.streams.views import served_rows
from millstream.transforms.airport_delays_batch import FIGURES, KEY

# A flight that is a day late, and its time in the air.
SETTLED = timedelta(days=3)
DAY = r"^(\d{4}-\d\d-\d\d)?$"


class Args(JobModel):
    """`pins` are those of the export. Flights of the days from `first_day` to `last_day` (YYYY-MM-DD) are
    compared; where they are empty those of all days whose events have all come, but for the first."""

    lake_root: str
    run: RunKey
    pins: Pins
    first_day: str = Field("", pattern=DAY)
    last_day: str = Field("", pattern=DAY)


Result = Comparison


def run(spark: SparkSession, args: Args) -> Comparison:
    """Raises: ReconciliationError: they differ; its text names groups, events and flights. The comparison is
    stored before that. ConfigurationError: the last day is before the first."""
    pins, root = args.pins, args.lake_root
    if args.first_day and args.last_day and args.first_day > args.last_day:
        raise ConfigurationError(
            f"no days from {args.first_day} to {args.last_day}: trigger the run with first_day <= last_day"
        )
    events = comparison.below(read_at(spark, str(SILVER), root, pins.silver), pins.offsets)
    by_mapreduce = _by_mapreduce(spark, args)
    of_events = comparison.compare(
        {"silver": comparison.delays_of(events), "mapreduce": by_mapreduce["event"]}, ("event_id",), EVENT
    )
    groups = comparison.compare(_views(spark, args, by_mapreduce["group"]), KEY, (*KEY, *FIGURES))
    unlike = [
        *comparison.differences("group", groups, _events_of(groups, of_events, by_mapreduce["event"])),
        *comparison.differences("event", of_events, {key: key for key in of_events.differing}),
    ]
    flights, days, unlike_flights = _flights(spark, args, events)
    result = Comparison(
        at=datetime.now(UTC),
        position=pins.offsets.position,
        groups=groups.rows,
        events=of_events.rows,
        flights=flights.rows if flights else {},
        days=days,
        different=groups.different + of_events.different + (flights.different if flights else 0),
        differences=(*unlike, *unlike_flights),
    )
    compared.write(root, result)
    if result.different:
        lines = "\n".join(f"- {difference}" for difference in result.differences)
        raise ReconciliationError(
            f"as of position {result.position} {result.different} keys differ:\n{lines}"
        )
    return result


def _views(spark: SparkSession, args: Args, by_mapreduce: DataFrame) -> dict[str, DataFrame]:
    pins, root = args.pins, args.lake_root
    sides = {"kappa": read_at(spark, pins.view, root, pins.speed), "mapreduce": by_mapreduce}
    if pins.batch is not None:
        sides["lambda"] = served_rows(spark, root, {BATCH: pins.batch, TableRef.parse(pins.view): pins.speed})
    return sides


def _by_mapreduce(spark: SparkSession, args: Args) -> dict[str, DataFrame]:
    """What the job has written by its kind of line: `event` in `EVENT`'s columns, `group` with figures."""
    folder = f"{args.lake_root.rstrip('/')}/{text_folders(JOB, args.run).output}"
    parts = F.split("value", "\t")
    lines = spark.read.text(folder).select(parts[0].alias("kind"), parts.alias("parts"))

    def columns(kind: str, *names: str) -> DataFrame:
        chosen = lines.where(F.col("kind") == kind)
        named = (F.get("parts", F.lit(place)).alias(name) for place, name in enumerate(names, 1))
        return chosen.select(*named)

    delay = F.when(F.col("delay_min") != "", F.col("delay_min")).cast("bigint")
    event = columns("event", "event_id", "partition", "offset", *KEY, "event_type", "delay_min").withColumns(
        {"event_id": F.url_decode("event_id"), "hour": F.col("hour").cast("timestamp"), "delay_min": delay}
    )
    group = columns("group", *KEY, *FIGURES).withColumn("hour", F.col("hour").cast("timestamp"))
    return {
        "event": event.select(*EVENT),
        "group": group.withColumns({name: F.col(name).cast("bigint") for name in FIGURES}),
    }


def _events_of(
    groups: Compared, events: Compared, by_mapreduce: DataFrame
) -> dict[tuple[object, ...], list[str]]:
    """For each differing group the events that differ in it; where none does, all that it is made from."""
    named: dict[tuple[object, ...], list[str]] = {}
    for (event_id,), by_side in events.differing.items():
        for row in (row for rows in by_side.values() for row in rows):
            ids = named.setdefault(tuple(row[name] for name in KEY), [])
            if event_id not in ids:
                ids.append(event_id)
    return {**comparison.behind(by_mapreduce, groups, KEY), **named}


def _flights(
    spark: SparkSession, args: Args, events: DataFrame
) -> tuple[Compared | None, tuple[str, str] | None, list[Difference]]:
    """The flights of the days that both have; nothing where no monthly file is published."""
    if args.pins.flights is None:
        return None, None, []
    published = read_at(spark, str(FLIGHTS), args.lake_root, args.pins.flights)
    days = _days(args, events)
    if days is None:
        return None, None, []
    within = F.col("flight_date").between(F.lit(days[0]).cast("date"), F.lit(days[1]).cast("date"))
    months = published.select(F.date_format("flight_date", "yyyy-MM").alias("_month")).distinct()
    of_months = events.where(within).withColumn("_month", F.date_format("flight_date", "yyyy-MM"))
    own = of_months.join(F.broadcast(months), "_month", "left_semi").drop("_month")
    columns = [name for name in published.columns if name != SOURCE_ROW_ID]
    sides = {"events": comparison.flights_of(own, columns), "files": published.where(within).select(*columns)}
    flights = comparison.compare(sides, FLIGHT, columns)
    return flights, days, comparison.differences("flight", flights, comparison.behind(own, flights, FLIGHT))


def _days(args: Args, events: DataFrame) -> tuple[str, str] | None:
    # The stream may have begun in the midst of a day.
    whole = F.date_add(F.min("flight_date"), 1)
    settled = F.date_sub(F.max("event_time").cast("date"), SETTLED.days)
    row = events.agg(whole.cast("string").alias("first"), settled.cast("string").alias("last")).collect()[0]
    first, last = args.first_day or row["first"], args.last_day or row["last"]
    return (first, last) if first and last and first <= last else None
