"""Strings as a source wrote them to the contract's types; what does not fit keeps a reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.bronze.nested import taken_apart, value_of
from millstream.bronze.readings import EXACT, NUMBER, decimal, moment, plainly_written, reading
from millstream.contracts.contract import Column as ContractColumn
from millstream.contracts.contract import Contract, DriftKind
from millstream.contracts.drift import Change
from millstream.contracts.nested import nested
from millstream.contracts.types import digits_of
from millstream.lake.source_rows import row_id

# Per row an array of structs: every change at the source that one of its values shows.
DRIFT = "_drift"
MARK = "struct<kind:string,column:string,value:string,reason:string>"
# Types of which there is a wider one, that holds every value of theirs and more, and its reading of a text: a
# value that only fits there has been widened. One of these without loss is a value still: 5.0 is 5.
WIDER: dict[str, Callable[[Column], Column]] = {
    "smallint": decimal,
    "int": decimal,
    "bigint": decimal,
    "date": moment,
}
SHOWN = 80


def typed(rows: DataFrame, contract: Contract) -> DataFrame:
    """Cast the contract's columns of bronze rows.

    Columns: the contract's, typed; `_source_row_id` (string, "file#row"), `_malformed` (array<string>, the
    reasons why the row cannot be trusted, empty for a good row), `_source_record` (string, the row as the
    source sent it, only for malformed rows), `_deleted` (boolean, whether it has the mark of a deleted row),
    `_drift` (array of kind, column, value and reason, empty where all values are as the contract says).
    """
    # In steps, so that each value is cast once: Spark does not fold a step into the next that uses it twice.
    received = rows.select(
        "*", *(_received(column, contract).alias(_raw(column)) for column in contract.columns)
    )
    apart = received.select(
        "*", *(taken_apart(F.col(_raw(one)), one).alias(_apart(one)) for one in _nested(contract))
    )
    cast = apart.select("*", *(_read(column).alias(_cast(column)) for column in contract.columns))
    readable = F.col("_record_error").isNull()
    marks = [
        F.when(readable & shows, noted)
        for column in contract.columns
        for shows, noted in _marks(column, contract)
    ]
    nothing = F.array().cast(f"array<{MARK}>")
    # What exactly a value shows costs more than all the rest, and hardly any row shows something.
    drifted = F.when(_any_suspect(contract), F.array_compact(F.array(*marks))).otherwise(nothing)
    marked = cast.withColumn(DRIFT, drifted if marks else nothing)
    unreadable = F.array(F.concat(F.lit("record: "), F.col("_record_error")))
    reasons = F.array_compact(F.col(DRIFT)["reason"])
    judged = marked.withColumn("_malformed", F.when(readable, reasons).otherwise(unreadable))
    return judged.select(
        *(_value(column, contract).alias(column.name) for column in contract.columns),
        row_id(),
        "_malformed",
        F.when(F.size("_malformed") > 0, source_record(contract)).alias("_source_record"),
        _deleted(contract).alias("_deleted"),
        DRIFT,
    )


def _deleted(contract: Contract) -> Column:
    """Whether a readable row has the value that marks deleted ones; never null."""
    if (mark := contract.soft_delete) is None:
        return F.lit(False)
    column = next(column for column in contract.columns if column.name == mark.column)
    marked = _value(column, contract) == reading(plainly_written(F.lit(mark.value), column), column)
    return F.coalesce(marked & (F.size("_malformed") == 0), F.lit(False))


def with_required_checked(rows: DataFrame, schema: StructType) -> DataFrame:
    """A row whose values are each of their type may still make no whole one: there is no 30 February."""
    required = [field.name for field in schema.fields if not field.nullable]
    reasons = [
        F.when(F.col(name).isNull(), F.lit(f"{name}: no valid value can be made of the row"))
        for name in required
    ]
    impossible = F.when(F.size("_malformed") == 0, F.array_compact(F.array(*reasons)))
    return rows.withColumn("_malformed", F.coalesce(F.concat("_malformed", impossible), "_malformed"))


def changed_values(rows: DataFrame, contract: Contract) -> tuple[Change, ...]:
    """Each change that the values of typed `rows` show, with the number of rows and one value of them."""
    counts = (
        rows.select(F.explode(DRIFT).alias("one"))
        .groupBy("one.kind", "one.column")
        .agg(F.count(F.lit(1)).alias("rows"), F.min("one.value").alias("example"))
        .orderBy("kind", "column")
        .collect()
    )
    return tuple(
        Change(
            kind=row["kind"],
            column=row["column"],
            policy=contract.drift.policy(row["kind"]),
            detail="" if row["example"] is None else f"for example {row['example']}",
            rows=row["rows"],
        )
        for row in counts
    )


def source_record(contract: Contract) -> Column:
    """A bronze row as the source sent it: its own text if it could not be read, else its values as JSON, the
    contract's first."""
    known = F.create_map(
        *(part for name in contract.column_names for part in (F.lit(name), F.col(name).cast("string")))
    )
    besides = F.map_filter(added_values(), lambda name, _: ~name.isin(contract.column_names))
    return F.coalesce(F.col("_record"), F.to_json(F.map_concat(known, besides)))


def added_values() -> Column:
    """`_added` as a map: the values of columns that the contract did not know, by their names; never null."""
    return F.coalesce(F.from_json("_added", "map<string,string>"), F.create_map().cast("map<string,string>"))


def _raw(column: ContractColumn) -> str:
    return f"_raw_{column.name}"


def _cast(column: ContractColumn) -> str:
    return f"_cast_{column.name}"


def _apart(column: ContractColumn) -> str:
    return f"_apart_{column.name}"


def _nested(contract: Contract) -> list[ContractColumn]:
    return [column for column in contract.columns if nested(column.type)]


def _read(column: ContractColumn) -> Column:
    if nested(column.type):
        return value_of(F.col(_apart(column))["value"], column.type)
    return reading(_plain(column), column)


def _fields(column: ContractColumn, which: str) -> Column:
    """Names of the fields that a value has too many, or too few: `unknown` or `missing`; '' for none."""
    return F.array_join(F.col(_apart(column))[which], ", ")


def _received(column: ContractColumn, contract: Contract) -> Column:
    text = F.col(column.name).cast("string")
    nulls = contract.null_values if column.null_values is None else column.null_values
    return F.when(~text.isin(*nulls), text)


def _plain(column: ContractColumn) -> Column:
    return plainly_written(F.col(_raw(column)), column)


def _wider(column: ContractColumn) -> Column | None:
    """Whether a value is one of a wider type; None where there is none, or they follow a pattern."""
    text = _plain(column)
    if digits_of(column.type) or column.type == "float":
        # What has not the column's own marks is no number: null would be neither yes nor no.
        return F.coalesce(text.rlike(NUMBER), F.lit(False))
    if column.type in WIDER and column.format is None:
        return WIDER[column.type](text).isNotNull()
    return None


def _value(column: ContractColumn, contract: Contract) -> Column:
    """The value in the contract's type; null where it does not fit.

    Where the contract allows it, a wider value is taken if nothing of it is lost: 5.0 is 5, 5.5 is nothing.
    """
    plain = F.col(_cast(column))
    if column.type not in WIDER or column.format is not None or contract.drift.widened != "evolve":
        return plain
    raw = _plain(column)
    wide = WIDER[column.type](raw)
    narrow = wide.try_cast(column.type)
    if column.type == "date":
        return F.coalesce(plain, F.when(narrow.cast("timestamp") == wide, narrow))
    return F.coalesce(plain, F.when(raw.rlike(EXACT) & (narrow.cast("decimal(38,18)") == wide), narrow))


def _any_suspect(contract: Contract) -> Column:
    """Whether a value of the row may show a change: true wherever one of `_marks` shows one."""
    suspects = [F.lit(False)]
    for column in contract.columns:
        raw = F.col(_raw(column))
        if column.type != "string":
            suspects.append(raw.isNotNull() & F.col(_cast(column)).isNull())
        if not column.nullable:
            suspects.append(raw.isNull())
        if column.categories:
            suspects.append(~raw.isin(*column.categories))
        if nested(column.type):
            suspects += [_fields(column, which) != "" for which in ("unknown", "missing")]
    return reduce(or_, suspects)


def _marks(column: ContractColumn, contract: Contract) -> list[tuple[Column, Column]]:
    """For each change that a value of this column can show: whether it does, and what is noted then."""
    name, raw = column.name, F.col(_raw(column))
    shown = F.substring(raw, 1, SHOWN)
    marks = []

    def mark(kind: DriftKind, shows: Column, reason: Column, value: Column = shown) -> None:
        noted = {"kind": F.lit(kind), "column": F.lit(name), "value": value, "reason": reason}
        marks.append((shows, F.struct(*(value.alias(key) for key, value in noted.items()))))

    if column.type != "string":
        misfit = raw.isNotNull() & F.col(_cast(column)).isNull()
        if (wider := _wider(column)) is not None:
            reason = F.concat(F.lit(f"{name}: wider than {column.type}: "), shown)
            mark("widened", misfit & wider, F.when(_value(column, contract).isNull(), reason))
            misfit = misfit & ~wider
        mark("retyped", misfit, F.concat(F.lit(f"{name}: not of type {column.type}: "), shown))
    if nested(column.type):
        unknown, missing = (_fields(column, which) for which in ("unknown", "missing"))
        mark("added", unknown != "", F.lit(None).cast("string"), unknown)
        if contract.drift.removed == "evolve":
            mark("removed", missing != "", F.lit(None).cast("string"), missing)
        else:
            mark("retyped", missing != "", F.concat(F.lit(f"{name}: field missing: "), missing), missing)
    if not column.nullable:
        mark("nullability", raw.isNull(), F.lit(f"{name}: missing"))
    if column.categories:
        unknown = F.concat(F.lit(f"{name}: not one of the known categories: "), shown)
        known = F.lit(contract.drift.new_category == "evolve")
        mark("new_category", ~raw.isin(*column.categories), F.when(~known, unknown))
    return marks
