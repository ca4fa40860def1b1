"""A publication carried out: the quarantine first, then the table, each in one commit with the account.

Nothing is decided here but what only the rows themselves can tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.bronze.loads import received_rows
from millstream.bronze.typed import source_record
from millstream.contracts.contract import Contract
from millstream.lake import checks, history
from millstream.lake.comparing import comparable, differ
from millstream.lake.delta import TableDefinition, create_table, merge, replace, table_version
from millstream.lake.history import Snapshot
from millstream.lake.source_rows import row_id
from millstream.lake.staging import SOURCE_ROW_ID
from millstream.landing.manifest import Manifest
from millstream.publishing import quarantine
from millstream.publishing.fate import is_dropped, is_published, is_quarantined
from millstream.publishing.work import Work
from millstream.publishing.write_history import write_history


def carry_out(work: Work) -> tuple[int, bool]:
    """Write what the publication says; the table's version, and whether it has changed.

    Raises: TransformError when rows that stay break a check that the table gets; SupersededError when a newer
    attempt has committed meanwhile.
    """
    changed = work.publication.changed and not (work.publication.may_be_known and _is_known(work))
    with _checks_applied(work, changed):
        if changed:
            if work.publication.has_quarantine:
                _write_quarantine(work)
            _write_rows(work)
        # Constraints that come now make a version that is no news.
        return table_version(work.uri), changed


def _is_known(work: Work) -> bool:
    """Whether the table has every row of an increment already."""
    columns = [
        F.expr(comparable(f"`{column.name}`", column.dataType)).alias(column.name)
        for column in work.columns.fields
        if column.name != SOURCE_ROW_ID
    ]
    return work.good.select(*columns).exceptAll(_present(work).select(*columns)).isEmpty()


def _present(work: Work) -> DataFrame:
    """The table's rows; columns that its transform has now and the table does not have yet are null."""
    rows = work.spark.read.format("delta").load(work.uri)
    more = [column for column in work.columns.fields if column.name not in rows.columns]
    return rows.withColumns({column.name: F.lit(None).cast(column.dataType) for column in more})


@contextmanager
def _checks_applied(work: Work, changed: bool) -> Iterator[None]:
    """The table's constraints as its checks are now, before and after the rows are published.

    Where the checks have changed, the rows that stay are looked at first.
    Raises: TransformError when some break a check; nothing has changed then.
    """
    wanted, present = work.defined.checks, work.state.histories.table.now
    if present is None or not checks.differ(present.properties, wanted):
        yield
        return
    staying = _staying(work, changed)
    if error := checks.broken(
        staying, wanted, work.defined.key, work.defined.file, f"{work.table}, published already"
    ):
        raise error
    checks.drop_outdated(work.spark, work.uri, present.properties, wanted)
    yield
    written = history.snapshot(work.uri)
    assert written is not None
    # A check may be on a column that is as new as it is, without a row that has a value there.
    _define(work, written)
    checks.add_missing(work.spark, work.uri, written.properties, wanted)


def _staying(work: Work, changed: bool) -> DataFrame:
    """The rows of the table that publishing leaves as they are."""
    present = _present(work)
    if not changed:
        return present
    if work.publication.request.is_increment:
        return present.join(work.good.select(*work.defined.key), list(work.defined.key), "left_anti")
    condition = work.publication.condition
    return present.where(f"NOT ({condition})" if condition else "false")


def _define(work: Work, present: Snapshot | None) -> None:
    """Creates the table, or gives it the columns that it lacks."""
    definition = TableDefinition(
        work.columns,
        work.defined.description,
        _partition_by(work),
        checks.constraints(work.defined.checks),
    )
    create_table(work.spark, work.uri, definition, present)


def _partition_by(work: Work) -> tuple[str, ...]:
    column = work.publication.request.partition_column
    return (column,) if column else ()


def _write_rows(work: Work) -> None:
    present = work.state.histories.table.now
    # What is made anew gets its columns with its rows.
    if present is None or not work.publication.request.rebuild:
        _define(work, present)
    names, transaction = work.columns.fieldNames(), work.transaction(work.table)
    changed = differ(work.columns, [name for name in names if name != SOURCE_ROW_ID])
    if work.defined.history:
        rows = write_history(work)
        merge(rows, work.uri, work.defined.key, f"({changed})", "true", transaction)
        return
    if work.publication.scope != "rows":
        rows = work.good.select(*names)
        replace(
            rows,
            work.uri,
            work.publication.condition,
            transaction,
            schema_too=work.defined.mart or work.publication.request.rebuild,
            partition_by=_partition_by(work),
        )
        return
    # What the run had published and may publish no longer goes; what others published stays, unless the
    # source has deleted it.
    rows = work.rows.where(is_published() | is_quarantined() | is_dropped())
    rows = rows.select(*names, is_published().alias("_keep"), F.lit(False).alias("_leaves"))
    if work.leaving is not None:
        marked = {"_keep": F.lit(False), "_leaves": F.lit(True)}
        leaving = work.leaving.select(*work.defined.key).withColumns(marked)
        rows = rows.unionByName(leaving, allowMissingColumns=True)
    withdrawn = f"(new._leaves OR old.{SOURCE_ROW_ID} = new.{SOURCE_ROW_ID})"
    merge(rows, work.uri, work.defined.key, f"({changed})", withdrawn, transaction)


def _write_quarantine(work: Work) -> None:
    """Broken rows, with their reasons; a rerun whose rows are good again empties what it had put there."""
    request, account = work.publication.request, work.publication.account
    place = work.table.quarantine
    broken = work.rows.where(is_quarantined())
    if work.state.manifest is not None and request.contract is not None and account.quarantined:
        contract = Contract.from_dict(request.contract, origin="contract")
        broken = _as_received(work, broken, contract, work.state.manifest)
    broken = quarantine.kept(
        broken, work.columns, request.run, request.contract_version, account.suite_version
    )
    uri = place.uri(work.lake_root)
    definition = quarantine.definition(work.table, work.columns)
    present = work.state.histories.quarantine.now
    if present is None or not request.rebuild:
        create_table(work.spark, uri, definition, present)
    condition = work.publication.quarantine_condition
    replace(
        broken,
        uri,
        condition,
        work.transaction(place),
        more_columns=True,
        schema_too=work.defined.mart or request.rebuild,
        partition_by=definition.partition_by,
    )


def _as_received(work: Work, broken: DataFrame, contract: Contract, manifest: Manifest) -> DataFrame:
    """The broken rows with their `_source_record`, read again from the landed files that they came from: only
    unreadable ones are staged with it."""
    files = tuple(file for file in manifest.files if file.path in work.landed)
    landed = manifest.model_copy(update={"files": files})
    rows = received_rows(work.spark, contract, work.lake_root, landed)
    records = rows.select(
        row_id(),
        source_record(contract).alias("_record"),
    ).join(broken.select(SOURCE_ROW_ID), SOURCE_ROW_ID, "left_semi")
    lost = F.concat(
        F.lit(f"{contract.dataset}: neither landing nor bronze has the row any more, run the ingest again: "),
        F.col(SOURCE_ROW_ID),
    )
    return (
        broken.join(records, SOURCE_ROW_ID, "left")
        .withColumn("_source_record", F.coalesce("_source_record", "_record", F.raise_error(lost)))
        .drop("_record")
    )
