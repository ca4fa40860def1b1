"""The history of a table written: the versions that a run brings, among those that are known."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.lake.comparing import differ
from millstream.lake.delta import TableDefinition, create_table, merge
from millstream.lake.staging import SOURCE_ROW_ID
from millstream.publishing import versions
from millstream.publishing.work import Work


def write_history(work: Work) -> DataFrame:
    """Write it, in one commit with a copy of the account; what the table must have of the keys that it is
    about.

    Columns: those of the table, and `_keep`, false where it must not have the key.
    """
    place, key = work.table.history, work.defined.key
    uri, names = place.uri(work.lake_root), work.columns.fieldNames()
    request = work.publication.request
    assert work.state.past is not None
    assert request.fetch_began is not None
    columns = versions.columns(work.defined, work.columns)
    known = _known(work, columns.fieldNames())
    touched = work.rows.select(*key).dropna()
    if work.state.past.version is None:
        # What the table had before it had a history.
        touched = touched.unionByName(known.select(*key))
    touched = touched.distinct()
    known = known.join(touched, list(key), "left_semi")
    new = versions.brought(work.rows, work.defined, request.fetch_began)
    withdrawn = work.rows.select(SOURCE_ROW_ID).join(new.select(SOURCE_ROW_ID), SOURCE_ROW_ID, "left_anti")
    standing = known.join(withdrawn, SOURCE_ROW_ID, "left_anti").drop(versions.TO, versions.CURRENT)
    made = versions.in_order(standing, new, key, request.load == "append").select(*columns.fieldNames())
    gone = known.join(made.select(*key, versions.FROM), [*key, versions.FROM], "left_anti")
    rows = made.withColumn("_keep", F.lit(True)).unionByName(gone.withColumn("_keep", F.lit(False)))

    definition = TableDefinition(columns, f"Every version of the rows of {work.table}")
    create_table(work.spark, uri, definition, work.state.past.now)
    changed = f"({differ(columns, columns.fieldNames())})"
    merge(rows, uri, (*key, versions.FROM), changed, "true", work.transaction(place))

    written = work.spark.read.format("delta").load(uri).join(touched, list(key), "left_semi")
    last = versions.latest(written).select(*names, F.col(versions.CURRENT).alias("_keep"))
    unknown = touched.join(last.select(*key), list(key), "left_anti").withColumn("_keep", F.lit(False))
    return last.unionByName(unknown, allowMissingColumns=True)


def _known(work: Work, names: list[str]) -> DataFrame:
    """The versions that the lake has, columns `names`: in the history, or before there is one in the
    table."""
    assert work.state.past is not None
    past = work.state.past.version is not None
    place = work.table.history if past else work.table
    if not past and work.state.histories.table.version is None:
        return work.spark.createDataFrame([], versions.columns(work.defined, work.columns))
    rows = work.spark.read.format("delta").load(place.uri(work.lake_root))
    if not past:
        moment = F.col(str(work.defined.latest_by))
        rows = rows.withColumns({versions.FROM: moment, versions.DELETED: F.lit(False)})
    kinds = {one.name: one.dataType for one in versions.columns(work.defined, work.columns)}
    more = {name: F.lit(None).cast(kinds[name]) for name in names if name not in rows.columns}
    return (rows.withColumns(more) if more else rows).select(*names)
