"""The only code that writes Delta tables: idempotent, fenced, with the account in the commit.

A plain append is never used: a repeated run replaces what its first try wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructField, StructType

from millstream.errors import (
    ConfigurationError,
    ContractError,
    LakeWriterError,
    SupersededError,
)
from millstream.lake import history
from millstream.lake.history import Snapshot
from millstream.lake.log_store import LOG_STORE, LOG_STORE_CONF, OF_THIS_PROJECT
from millstream.lake.sql import literal
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef

LOG_ENTRY = re.compile(r"\d{20}\.json")
# Accounts are in the log's commits, and a pinned version is read through them: the log is never cleaned.
KEEP_LOG = {"delta.enableExpiredLogCleanup": "false"}
# A publish takes seconds, one of a year's flights on a busy machine a minute.
TURN_TIMEOUT_S = 900.0
# Commits among which a writer looks for its own; few can have come since.
LATELY = 50


def require_writer(spark: SparkSession, lake_root: str) -> None:
    """Raise LakeWriterError when `spark` could lose commits of other processes to this lake.

    Delta's own log store keeps a local folder's writers apart inside one JVM only
    (https://docs.delta.io/latest/delta-storage.html).
    """
    log_store = spark.conf.get(LOG_STORE_CONF, None) or ""
    if not lake_root.startswith("file:") or log_store.startswith(OF_THIS_PROJECT):
        return
    raise LakeWriterError(
        f"{lake_root} is a local folder, and this Spark session has no log store that several processes may "
        f"write with: start it with {LOG_STORE_CONF}={LOG_STORE} and the jars below .millstream/jars, or run "
        "the job over the connection spark_connect or spark_default"
    )


@contextmanager
def turn(table: TableRef, lake_root: str) -> Iterator[None]:
    """One publish of a table at a time, of whichever DAG: what was looked at still holds at the commit.

    Raises: ClusterError when another publish does not end in time.
    """
    with Storage(lake_root).lock(str(table), TURN_TIMEOUT_S):
        yield


@dataclass(frozen=True)
class TableDefinition:
    """How a table is made: its schema (with comments), partition columns, checks, and description."""

    schema: StructType
    comment: str
    partition_by: tuple[str, ...] = ()
    checks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Transaction:
    """What identifies a commit to be made.

    `writer` and `sequence` become Delta's `txnAppId` and `txnVersion`: of two attempts to write the same
    thing only the newer one lands, whichever ends first. `metadata` is the commit's `userMetadata`.
    """

    writer: str
    sequence: int
    metadata: str


def create_table(
    spark: SparkSession, uri: str, definition: TableDefinition, present: Snapshot | None = None
) -> None:
    """Create the table: columns with comments, partitioning, constraints.

    One that is `present` gets the columns that it lacks.
    """
    if present is not None:
        has = present.column_names
        if more := [column for column in definition.schema.fields if column.name not in has]:
            added = ", ".join(map(_column_ddl, more))
            spark.sql(f"ALTER TABLE delta.`{uri}` ADD COLUMNS ({added})")
        return
    columns = ", ".join(_column_ddl(column) for column in definition.schema.fields)
    # Constraints are set as properties, so that the commit which makes the table makes them too.
    constraints = {f"delta.constraints.{name}": check for name, check in definition.checks.items()}
    partitioning = (
        f" PARTITIONED BY ({', '.join(definition.partition_by)})" if definition.partition_by else ""
    )
    spark.sql(
        f"CREATE TABLE IF NOT EXISTS delta.`{uri}` ({columns}) USING delta{partitioning} "
        f"COMMENT {literal(definition.comment)} TBLPROPERTIES ({_properties({**KEEP_LOG, **constraints})})"
    )


def require_columns(uri: str, schema: StructType, present: Snapshot | None) -> None:
    """Raise ContractError when the `present` table has a column that `schema` lacks or gives another type.

    Delta would fill such a column with nulls, or refuse in the midst of publishing.
    """
    if present is None:
        return
    kept = {column.name: column.dataType for column in schema.fields}
    lost = [
        f"{column.name} {column.dataType.simpleString()}"
        for column in StructType.fromJson(present.schema).fields
        if kept.get(column.name) != column.dataType
    ]
    if lost:
        raise ContractError(
            f"{uri}: the table has columns that its transform no longer makes so: {', '.join(lost)}. Nothing "
            "was published. What to do: give them back, or start the ingest with rebuild"
        )


def require_types(rows: DataFrame, schema: StructType, name: str) -> None:
    """Raise ContractError when `rows`, made for the table `name`, have other types than its `schema`.

    A merge would cast the values to the table's types, and the account would be of others: 5.5 is 5 there.
    """
    made = {column.name: column.dataType.simpleString() for column in rows.schema.fields}
    wanted = {column.name: column.dataType.simpleString() for column in schema.fields}
    differ = [
        f"{column} is {made.get(column, 'not there')}, not {kind}"
        for column, kind in wanted.items()
        if made.get(column) != kind
    ]
    if differ:
        raise ContractError(
            f"{name}: its transform does not make what its SCHEMA says: {', '.join(differ)}. Nothing was "
            f"published. What to do: make them agree in transforms/{name}.py"
        )


def keep_log(spark: SparkSession, uri: str) -> None:
    """Turn off the clean-up of the table's log, if it is on; also for tables that Spark made by itself."""
    present = spark.sql(f"DESCRIBE DETAIL delta.`{uri}`").select("properties").first()
    assert present is not None
    if not KEEP_LOG.items() <= present["properties"].items():
        spark.sql(f"ALTER TABLE delta.`{uri}` SET TBLPROPERTIES ({_properties(KEEP_LOG)})")


def table_version(uri: str) -> int:
    """The present version of the table at `uri`: its newest log entry. Asks no Spark.

    Raises ConfigurationError when there is no table.
    """
    names = Storage(uri).list("_delta_log")
    versions = [int(name.removesuffix(".json")) for name in names if LOG_ENTRY.fullmatch(name)]
    if not versions:
        raise ConfigurationError(f"{uri} is not a Delta table")
    return max(versions)


def replace(
    rows: DataFrame,
    uri: str,
    condition: str | None,
    transaction: Transaction | None = None,
    more_columns: bool = False,
    schema_too: bool = False,
    partition_by: tuple[str, ...] = (),
) -> None:
    """Make `rows` the table's rows where `condition` holds (everywhere, when None), in one commit.

    With `more_columns` the table gets those of `rows` that it lacks; with `schema_too` it has those of `rows`
    and no others, with their comments, where all rows are replaced, and is cut by `partition_by`.

    Raises: SupersededError when a newer attempt of the same writer has already committed.
    """
    writer = rows.write.format("delta").mode("overwrite")
    if condition is not None:
        writer = writer.option("replaceWhere", condition)
    if schema_too and condition is None:
        # Delta takes the partitioning from the writer then, and without one leaves the table uncut.
        writer = writer.option("overwriteSchema", "true").partitionBy(*partition_by)
    elif more_columns:
        writer = writer.option("mergeSchema", "true")
    if transaction is not None:
        writer = (
            writer.option("userMetadata", transaction.metadata)
            .option("txnAppId", transaction.writer)
            .option("txnVersion", str(transaction.sequence))
        )
    with _superseded_by_another(uri):
        writer.save(uri)
    if transaction is not None:
        _require_landed(uri, transaction)


def merge(
    rows: DataFrame, uri: str, key: tuple[str, ...], changed: str, withdrawn: str, transaction: Transaction
) -> None:
    """Insert rows with a new `key`, update those whose columns differ, in one commit.

    A row whose column `_keep` is false is not written. `changed` and `withdrawn` are SQL over `new` and
    `old`: whether a matched row differs, and whether one that is not to be kept is in the table and leaves.
    """
    on = " AND ".join(f"old.`{name}` <=> new.`{name}`" for name in key)
    clauses = (
        f"WHEN MATCHED AND NOT new._keep AND {withdrawn} THEN DELETE "
        f"WHEN MATCHED AND new._keep AND {changed} THEN UPDATE SET * "
        "WHEN NOT MATCHED AND new._keep THEN INSERT *"
    )
    _merge(rows, uri, on, clauses, transaction)


def append(rows: DataFrame, uri: str, transaction: Transaction) -> None:
    """Add rows in one commit; done again, it adds nothing.

    Raises: SupersededError when `transaction`, or a newer one of the same writer, has been committed.
    """
    writer = rows.write.format("delta").mode("append").option("userMetadata", transaction.metadata)
    writer = writer.option("txnAppId", transaction.writer).option("txnVersion", str(transaction.sequence))
    with _superseded_by_another(uri):
        writer.save(uri)
    _require_landed(uri, transaction)


def insert(
    rows: DataFrame,
    uri: str,
    key: tuple[str, ...],
    transaction: Transaction,
    withdrawn: str | None = None,
    near: str = "",
) -> None:
    """Add the rows whose `key` the table does not have, in one commit.

    In the same commit rows of the table leave for which `withdrawn` (SQL over `old`) holds, unless they are
    among `rows`. `near`, over `old` too, holds for each of its rows that has one of the keys: others are
    not looked at. Raises: as `append`.
    """
    on = " AND ".join(f"old.`{name}` <=> new.`{name}`" for name in key)
    on += f" AND {near}" if near else ""
    leave = f"WHEN NOT MATCHED BY SOURCE AND {withdrawn} THEN DELETE" if withdrawn else ""
    with _superseded_by_another(uri):
        _merge(rows, uri, on, f"WHEN NOT MATCHED THEN INSERT * {leave}", transaction)


def _merge(rows: DataFrame, uri: str, on: str, clauses: str, transaction: Transaction) -> None:
    spark = rows.sparkSession
    rows.createOrReplaceTempView("_merge_source")
    settings = {
        "spark.databricks.delta.commitInfo.userMetadata": transaction.metadata,
        "spark.databricks.delta.write.txnAppId": transaction.writer,
        "spark.databricks.delta.write.txnVersion": str(transaction.sequence),
        # An account is written also where no row is new.
        "spark.databricks.delta.skipRecordingEmptyCommits": "false",
    }
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        spark.sql(f"MERGE INTO delta.`{uri}` old USING _merge_source new ON {on} {clauses}").collect()
    finally:
        for name in settings:
            spark.conf.unset(name)
    _require_landed(uri, transaction)


@contextmanager
def _superseded_by_another(uri: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if "CONCURRENT_TRANSACTION" in str(error) or "ConcurrentTransactionException" in str(error):
            raise _superseded(uri, error) from error
        raise


def _require_landed(uri: str, transaction: Transaction) -> None:
    """Delta skips in silence a write whose `txnVersion` it has seen; silence must not pass for success."""
    if transaction.metadata not in {commit.metadata for commit in history.newest_commits(uri, LATELY)}:
        raise _superseded(uri)


def _superseded(uri: str, error: Exception | None = None) -> SupersededError:
    return SupersededError(
        f"{uri}: a newer attempt has already published these partitions; this one changed nothing"
        + (f" ({error})" if error else "")
    )


def _column_ddl(column: StructField) -> str:
    null = "" if column.nullable else " NOT NULL"
    comment = column.metadata.get("comment")
    return f"`{column.name}` {column.dataType.simpleString()}{null}" + (
        f" COMMENT {literal(comment)}" if comment else ""
    )


def _properties(properties: dict[str, str]) -> str:
    return ", ".join(f"{literal(name)} = {literal(value)}" for name, value in properties.items())
