"""Strings as a source wrote them to the contract's types; what does not fit keeps a reason."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from millstream.contract import Column as ContractColumn
from millstream.contract import Contract


def typed(rows: DataFrame, contract: Contract) -> DataFrame:
    """Cast the contract's columns of bronze rows.

    Columns: the contract's, typed; `_source_row_id` (string, "file#row"), `_malformed` (array<string>, the
    reasons why the row cannot be trusted, empty for a good row), `_source_record` (string, the row as the
    source sent it, only for malformed rows).
    """
    raw = {column.name: _raw(column, contract) for column in contract.columns}
    cast = {column.name: raw[column.name].try_cast(column.type) for column in contract.columns}
    reasons = [
        F.when(F.col("_record_error").isNotNull(), F.concat(F.lit("record: "), F.col("_record_error"))),
        *(
            F.when(F.col("_record_error").isNull(), _reason(column, raw[column.name], cast[column.name]))
            for column in contract.columns
            if _can_break(column)
        ),
    ]
    record = source_record(contract)
    return rows.select(
        *(value.alias(name) for name, value in cast.items()),
        F.concat_ws("#", "_source_file", "_source_row").alias("_source_row_id"),
        F.array_compact(F.array(*reasons)).alias("_malformed"),
        record.alias("_source_record"),
    ).withColumn("_source_record", F.when(F.size("_malformed") > 0, F.col("_source_record")))


def source_record(contract: Contract) -> Column:
    """A bronze row as the source sent it: its own text if it could not be read, else its values as JSON."""
    return F.coalesce(F.col("_record"), F.to_json(F.struct(*contract.column_names)))


def _raw(column: ContractColumn, contract: Contract) -> Column:
    text = F.col(column.name).cast("string")
    return F.when(~text.isin(*contract.null_values), text)


def _can_break(column: ContractColumn) -> bool:
    return column.type != "string" or not column.nullable


def _reason(column: ContractColumn, raw: Column, cast: Column) -> Column:
    shown = F.concat(F.lit(f"{column.name}: not of type {column.type}: "), F.substring(raw, 1, 80))
    reason = F.when(raw.isNotNull() & cast.isNull(), shown)
    if not column.nullable:
        reason = reason.when(raw.isNull(), F.lit(f"{column.name}: missing"))
    return reason
