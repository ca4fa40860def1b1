"""The events of whole days folded into rows of `silver.flights`, staged for the gate to judge."""

from __future__ import annotations

from datetime import date

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from millstream.errors import SourceDataError
from millstream.jobs import JobModel, MadeTable
from millstream.lake.delta import require_writer, table_version
from millstream.lake.names import RunKey
from millstream.lake.reading import read_at
from millstream.lake.staging import write_staged
from millstream.quality.lookups import referenced_versions, with_references_checked
from millstream.streams.fold import fold
from millstream.streams.pins import FLIGHTS, SILVER
from millstream.transforms import table_of


class Args(JobModel):
    """The days of flights from `first_day` to `last_day`; None: from the first day that has events."""

    lake_root: str
    run: RunKey
    first_day: date | None
    last_day: date


class Result(MadeTable):
    """`parameters` are those of the suite, for these days."""

    first_day: date
    last_day: date
    parameters: dict[str, str | int]


def run(spark: SparkSession, args: Args) -> Result:
    """Raises: SourceDataError: no event of these days has come."""
    require_writer(spark, args.lake_root)
    version = table_version(SILVER.uri(args.lake_root))
    events = read_at(spark, str(SILVER), args.lake_root, version).where(F.col("flight_date") <= args.last_day)
    if args.first_day is not None:
        events = events.where(F.col("flight_date") >= args.first_day)
    first: date | None = args.first_day or events.agg(F.min("flight_date")).collect()[0][0]
    if first is None:
        raise SourceDataError(
            f"{SILVER} has no event of a flight until {args.last_day}. What to do: look on the page Streams "
            "whether the stream runs and what it quarantines, then clear the task"
        )
    flights = table_of(FLIGHTS.name)
    referenced = referenced_versions(flights, args.lake_root)
    rows = with_references_checked(fold(events), flights, args.lake_root, referenced)
    staged = write_staged(rows, FLIGHTS.staging_uri(args.lake_root, args.run))
    days = (args.last_day - first).days + 1
    return Result(
        staged_uri=staged.uri,
        staged_version=staged.version,
        rows=staged.rows,
        inputs={str(SILVER): version, **referenced},
        first_day=first,
        last_day=args.last_day,
        parameters={"first_date": str(first), "last_date": str(args.last_day), "days": days},
    )
