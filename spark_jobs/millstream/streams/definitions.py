"""The tables of a stream as its contract says that they are, before anything is committed to them."""

from __future__ import annotations

from pyspark.sql import SparkSession

from millstream.lake import checks, history
from millstream.lake.delta import create_table, require_columns
from millstream.lake.history import Snapshot
from millstream.lake.tables import TableRef
from millstream.streams.tables import Stream


def make_ready(spark: SparkSession, stream: Stream, table: TableRef) -> str:
    """The URI of `table`, which is there afterwards, with the columns and checks of the contract.

    Raises: ContractError: it has columns that the contract no longer has so; TransformError: rows that it has
        break a check that is new.
    """
    uri, definition = table.uri(stream.lake_root), stream.definition(table)
    present = history.snapshot(uri)
    require_columns(uri, definition.schema, present)
    create_table(spark, uri, definition, present)
    if present is not None and table == stream.silver:
        _check(spark, stream, uri, present)
    return uri


def _check(spark: SparkSession, stream: Stream, uri: str, present: Snapshot) -> None:
    wanted, defined = stream.defined.checks, stream.defined
    if not checks.differ(present.properties, wanted):
        return
    rows = spark.read.format("delta").load(uri)
    which = f"{stream.silver}, published already"
    if error := checks.broken(rows, wanted, defined.key, defined.file, which):
        raise error
    checks.drop_outdated(spark, uri, present.properties, wanted)
    checks.add_missing(spark, uri, present.properties, wanted)
