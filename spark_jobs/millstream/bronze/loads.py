"""What bronze has of the rows that runs have landed, and how a load is read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.bronze.parts import parts_of
from millstream.bronze.rows import delivered, read_landing
from millstream.bronze.typed import added_values
from millstream.contracts import drift
from millstream.contracts.contract import Column as ContractColumn
from millstream.contracts.contract import Contract
from millstream.contracts.updates import INCREMENTS
from millstream.errors import SchemaDriftError, SourceDataError
from millstream.lake import history
from millstream.lake.history import History
from millstream.lake.source_rows import SOURCE_FILE, SOURCE_ROW
from millstream.lake.sql import literal
from millstream.lake.storage import Storage
from millstream.lake.tables import WHOLE, TableRef
from millstream.landing.manifest import Manifest

KIND = "millstream.load"
CHANGES = TypeAdapter(tuple[drift.Change, ...])


def check_landed_columns(lake_root: str, contract: Contract, manifest: Manifest) -> tuple[drift.Change, ...]:
    """What has changed in the columns of the landed files; each change is told with the first file of it.

    Raises: SchemaDriftError when the contract freezes such a change, or the files of one table differ.
    """
    storage = Storage(lake_root)
    if manifest.removed_at is not None and not has_landed_files(lake_root, manifest):
        raise SourceDataError(
            f"{contract.dataset}: retention has removed what run {manifest.run} landed, at "
            f"{manifest.removed_at:%Y-%m-%d %H:%M} UTC. What to do: clear the run from plan, which fetches "
            "again; or replay its quarantined rows, which are in bronze still"
        )
    changes: dict[tuple[str, str], drift.Change] = {}
    by_file: dict[str, list[str]] = {}
    for path in manifest.paths:
        with storage.reading(path) as stream:
            found, lacking = delivered(contract, stream, path)
        by_file[path] = found
        differences = drift.of_columns(contract, found, lacking) if found else []
        drift.require_allowed(f"{contract.dataset}: {path}", differences, "Nothing was loaded", found)
        for change in differences:
            same = changes.get((change.kind, change.column))
            changes[change.kind, change.column] = _in_both(same, change) if same else change
    if contract.source.one_table and len({tuple(found) for found in by_file.values()}) > 1:
        # Its rows would be of two tables.
        raise SchemaDriftError(
            f"{contract.dataset}: the table's columns changed while run {manifest.run} read it. Nothing was "
            "loaded. What to do: clear the run from plan"
        )
    return tuple(changes.values())


def _in_both(one: drift.Change, other: drift.Change) -> drift.Change:
    """The same change in two files, told with the first; a column that one lacks as a whole has no rows."""
    rows = None if one.rows is None or other.rows is None else one.rows + other.rows
    return one.model_copy(update={"rows": rows})


class Loaded(NamedTuple):
    """A version of bronze that has exactly a run's rows, the columns that were looked for in them, what had
    changed in these, and whether they are read as the contract says now."""

    version: int
    columns: dict[str, list[str]] | None
    drift: tuple[drift.Change, ...]
    as_now: bool


def loaded_still(lake_root: str, table: TableRef, contract: Contract, manifest: Manifest) -> Loaded | None:
    """What bronze has of the rows that a run has landed. None when it has not exactly these, or no longer:
    another run may have loaded the same partitions since.
    """
    own = set(manifest.partitions or (WHOLE,))
    loads = history.read(table, lake_root)
    version = loads.version
    for noted in _loads(loads):
        if version is None or noted["version"] > version:
            continue
        if noted["run"] == manifest.key:
            changes = CHANGES.validate_python(noted["drift"])
            columns = noted["columns"]
            return Loaded(version, columns, changes, columns == read_as(contract))
        # Runs that bring increments lie beside each other. A load of the whole table names no partitions.
        if contract.load not in INCREMENTS and own & set(noted["partitions"] or own):
            return None
    return None


def read_as(contract: Contract) -> dict[str, list[str]]:
    """Under which names a load looks for each column; one of a later contract may find more, or less."""
    return {column.name: list(column.aliases) for column in contract.columns}


def _loads(bronze: History) -> Iterator[dict[str, Any]]:
    """What loads of bronze noted in their commits, newest first, each with its `version`."""
    for commit in bronze.commits:
        try:
            noted = json.loads(commit.metadata)
        except ValueError:
            continue
        if isinstance(noted, dict) and noted.get("kind") == KIND:
            yield {**noted, "version": commit.version}


def landed_rows(spark: SparkSession, contract: Contract, lake_root: str, manifest: Manifest) -> DataFrame:
    """The landed rows of one run: the columns of `read_landing`."""
    return read_landing(spark, contract, lake_root, parts_of(manifest.files))


def has_landed_files(lake_root: str, manifest: Manifest) -> bool:
    """Whether all that a run has landed is there still: retention may have removed it."""
    storage = Storage(lake_root)
    return all(storage.exists(path) for path in manifest.paths)


def received_rows(spark: SparkSession, contract: Contract, lake_root: str, manifest: Manifest) -> DataFrame:
    """The rows of a manifest's files once more: from landing, or from bronze when retention has removed them.

    Raises SourceDataError when neither has them.
    """
    if has_landed_files(lake_root, manifest):
        return landed_rows(spark, contract, lake_root, manifest)
    bronze = TableRef(zone="bronze", name=contract.dataset).uri(lake_root)
    if not history.exists(bronze):
        raise SourceDataError(
            f"{contract.dataset}: what run {manifest.run} landed has been removed, and there is no bronze. "
            "What to do: run the ingest again"
        )
    rows = spark.read.format("delta").load(bronze).where(F.col(SOURCE_FILE).isin(manifest.paths))
    # The same bytes that two runs have landed are one object, and rows of both.
    return as_read_now(rows, contract).dropDuplicates([SOURCE_FILE, SOURCE_ROW])


def received_changes(
    lake_root: str, contract: Contract, manifest: Manifest, rows: DataFrame
) -> tuple[drift.Change, ...]:
    """What has changed in the columns of a run's `received_rows`.

    Raises: SchemaDriftError when the contract freezes such a change.
    """
    if has_landed_files(lake_root, manifest):
        return check_landed_columns(lake_root, contract, manifest)
    bronze = TableRef(zone="bronze", name=contract.dataset)
    loads = _loads(history.read(bronze, lake_root))
    noted: dict[str, Any] = next((one for one in loads if one["run"] == manifest.key), {"drift": ()})
    return changes_of_bronze(contract, rows, noted.get("columns"), CHANGES.validate_python(noted["drift"]))


def as_read_now(bronze: DataFrame, contract: Contract) -> DataFrame:
    """Rows of bronze as `contract` reads them: a column that it had not when they were loaded is in `_added`,
    or has another of its names."""
    added, there = added_values(), {name.lower() for name in bronze.columns}

    def values(column: ContractColumn) -> Iterator[Column]:
        for name in (column.name, *column.aliases):
            if name.lower() in there:
                yield F.col(f"`{name}`").cast("string")
            yield added[name]

    return bronze.withColumns({one.name: F.coalesce(*values(one)) for one in contract.columns})


def changes_of_bronze(
    contract: Contract,
    rows: DataFrame,
    columns: dict[str, list[str]] | None,
    recorded: tuple[drift.Change, ...],
) -> tuple[drift.Change, ...]:
    """What has changed in the columns of bronze's `rows` against `contract`: they were loaded under one that
    had `columns`, and had `recorded` then.

    Raises: SchemaDriftError when the contract freezes such a change: a column that it has since, and that was
    never delivered, would be null.
    """
    if columns is None or columns == read_as(contract):
        return recorded
    left_out = {change.column for change in recorded if change.kind == "removed" and change.rows is None}
    keys = rows.select(F.explode(F.map_keys(added_values())).alias("name")).distinct().orderBy("name")
    found = [*(name for name in columns if name not in left_out), *(row["name"] for row in keys.collect())]
    now = drift.of_columns(contract, found)
    told = {(change.kind, change.column) for change in now}
    kept = [
        change
        for change in recorded
        if change.kind != "added"
        and change.column in contract.column_names
        and (change.kind, change.column) not in told
    ]
    drift.require_allowed(f"{contract.dataset}: rows in bronze", now, "Nothing was published", found)
    return (*now, *kept)


def bronze_condition(contract: Contract, manifest: Manifest, run: str) -> str:
    """SQL that holds for exactly the bronze rows of this run."""
    if contract.load in INCREMENTS:
        return f"_ingest_run = {literal(run)}"
    if contract.load == "partition":
        return f"_partition IN ({', '.join(literal(name) for name in sorted(manifest.partitions))})"
    return f"_partition = '{WHOLE}'"
