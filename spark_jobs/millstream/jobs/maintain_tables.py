"""Small files together, files of old versions away; never those of a version that a model was trained on.

VACUUM knows no pins. It is given an inventory of the table's files that leaves out what pinned versions need:
a file that it is not told of it cannot delete (https://docs.delta.io/latest/delta-utility.html).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field
from pyspark.sql import SparkSession

from millstream.errors import ClusterError, ConfigurationError
from millstream.jobs import JobModel
from millstream.lake import history
from millstream.lake.delta import keep_log, require_writer
from millstream.lake.inventory import tables
from millstream.lake.names import RunKey, TableName
from millstream.lake.storage import File, Storage
from millstream.lake.tables import TableRef

_INVENTORY = "_vacuum_inventory"
_INVENTORY_SCHEMA = "path string, length bigint, isDir boolean, modificationTime bigint"


class Args(JobModel):
    """`pins` names for each table the versions to keep for ever, `table_target_mb` a size of
    files where it is another than `target_file_mb`."""

    lake_root: str
    run: RunKey
    pins: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    retention_hours: int = Field(ge=0)
    target_file_mb: int = Field(ge=1)
    table_target_mb: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    dry_run: bool = False


class Files(JobModel):
    """Data files in the table's folder, and those of them that the present version reads."""

    stored: int
    stored_bytes: int
    live: int
    live_bytes: int


class Maintained(JobModel):
    """One table. `wanted` is the number of live files if each had the target size; `lost_pins` are pinned
    versions that can no longer be read."""

    table: TableName
    before: Files
    after: Files
    wanted: int
    removed: int
    pinned: tuple[int, ...]
    lost_pins: tuple[int, ...]


class Result(JobModel):
    """In a dry run `removed` is what would have been removed, and nothing was changed."""

    dry_run: bool
    tables: tuple[Maintained, ...]


def run(spark: SparkSession, args: Args) -> Result:
    """Raises ConfigurationError when `table_target_mb` names what is no table, ClusterError when tables
    could not be maintained; the others are."""
    require_writer(spark, args.lake_root)
    present = tables(args.lake_root)
    if unknown := sorted(set(args.table_target_mb) - {str(table) for table in present}):
        raise ConfigurationError(
            f"table_target_mb: no such table: {', '.join(unknown)}; there are "
            f"{', '.join(map(str, present))}. Nothing was done"
        )
    done: list[Maintained] = []
    failed: list[str] = []
    for table in present:
        target = args.table_target_mb.get(str(table), args.target_file_mb) << 20
        with _settings(spark, target):
            try:
                done.append(_maintain(spark, table, args, target))
            # One broken table must not keep all others from being maintained.
            except Exception as error:
                failed.append(f"{table}: {str(error).strip().partition(chr(10))[0]}")
    if failed:
        raise ClusterError(f"{len(done)} tables were maintained, these were not: {'; '.join(failed)}")
    return Result(dry_run=args.dry_run, tables=tuple(done))


@contextmanager
def _settings(spark: SparkSession, target: int) -> Iterator[None]:
    settings = {
        "spark.databricks.delta.optimize.maxFileSize": str(target),
        "spark.databricks.delta.optimize.minFileSize": str(target),
        # It forbids less than a week. What runs need is less, and the DAG's param does not go below that.
        "spark.databricks.delta.retentionDurationCheck.enabled": "false",
        # Else Delta takes no hours but 0, and keeps files for the table's delta.deletedFileRetentionDuration.
        "spark.databricks.delta.vacuum.retentionWindowIgnore.enabled": "false",
        # It would add two versions to every table each time; this job's result says more.
        "spark.databricks.delta.vacuum.logging.enabled": "false",
    }
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name in settings:
            spark.conf.unset(name)


def _maintain(spark: SparkSession, table: TableRef, args: Args, target: int) -> Maintained:
    uri = table.uri(args.lake_root)
    storage = Storage(args.lake_root)
    before, live_before = _data_files(storage, table), _present(table, args)
    if not args.dry_run:
        keep_log(spark, uri)
        spark.sql(f"OPTIMIZE delta.`{uri}`").collect()
    stored = _data_files(storage, table)
    kept, lost = _pinned(table, args, {_name(file.path) for file in stored})
    removed = _vacuum(spark, table, [file for file in stored if _name(file.path) not in kept], args)
    after, live_after = _data_files(storage, table), _present(table, args)
    return Maintained(
        table=str(table),
        before=_count(before, live_before),
        after=_count(after, live_after),
        wanted=_wanted(after, live_after, target),
        removed=removed if args.dry_run else len(stored) - len(after),
        pinned=tuple(sorted(set(args.pins.get(str(table), ())) - lost)),
        lost_pins=tuple(sorted(lost)),
    )


def _vacuum(spark: SparkSession, table: TableRef, known: list[File], args: Args) -> int:
    """Delete what of `known` no version within the retention reads; in a dry run say how many these are."""
    uri, folder = table.uri(args.lake_root), _folder(table)
    # VACUUM leaves out in silence what does not start with the folder exactly as Spark itself writes it.
    location = spark.sql(f"DESCRIBE DETAIL delta.`{uri}`").select("location").collect()[0]["location"]
    rows = [
        (location + file.path.removeprefix(folder), file.bytes, False, int(file.modified.timestamp() * 1000))
        for file in known
    ]
    spark.createDataFrame(rows, _INVENTORY_SCHEMA).createOrReplaceTempView(_INVENTORY)
    answer = spark.sql(
        f"VACUUM delta.`{uri}` USING INVENTORY (SELECT * FROM {_INVENTORY}) "
        f"RETAIN {args.retention_hours} HOURS" + (" DRY RUN" if args.dry_run else "")
    ).collect()
    # A dry run also names folders, which only go when they are empty; a real one names the table.
    return len({_name(row["path"]) for row in answer} & {_name(file.path) for file in known})


def _pinned(table: TableRef, args: Args, stored: set[str]) -> tuple[set[str], set[int]]:
    """Names of the files that pinned versions read, and those versions that cannot be read any more: they are
    not in the log, or not all of their files are there.

    Raises whatever keeps a version in the log from being read: then nothing of the table may be deleted.
    """
    kept: set[str] = set()
    lost: set[int] = set()
    for version in args.pins.get(str(table), ()):
        files = history.files_at(table, args.lake_root, version)
        names = set(map(_name, files or ()))
        kept |= names
        if files is None or not names <= stored:
            lost.add(version)
    return kept, lost


def _data_files(storage: Storage, table: TableRef) -> list[File]:
    """All files of the table's folder but its log and hidden ones."""
    folder = _folder(table)
    return [
        file
        for file in storage.files(folder)
        if not file.path.startswith(f"{folder}/_delta_log/") and not _name(file.path).startswith((".", "_"))
    ]


def _folder(table: TableRef) -> str:
    return f"{table.zone}/{table.name}"


def _present(table: TableRef, args: Args) -> set[str]:
    """Names of the present version's data files."""
    present = history.snapshot(table.uri(args.lake_root))
    return set() if present is None else set(map(_name, present.files()))


def _name(path: str) -> str:
    """A data file's name. It is unique; its folder is written in several ways."""
    return path.rpartition("/")[2]


def _count(stored: list[File], live: set[str]) -> Files:
    read = [file.bytes for file in stored if _name(file.path) in live]
    return Files(
        stored=len(stored),
        stored_bytes=sum(file.bytes for file in stored),
        live=len(read),
        live_bytes=sum(read),
    )


def _wanted(stored: list[File], live: set[str], target: int) -> int:
    """Files of the target size that each partition's bytes would fill."""
    partitions: Counter[str] = Counter()
    for file in stored:
        if _name(file.path) in live:
            partitions[file.path.rpartition("/")[0]] += file.bytes
    return sum(math.ceil(size / target) for size in partitions.values())
