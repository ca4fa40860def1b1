"""Landed bytes to rows: every row numbered, every row that cannot be read kept with its reason.

Spark's own CSV and JSON readers number no rows and drop or null what they cannot read, so text formats are
decoded by `millstream.bronze.decoding`, each part by a task. Parquet numbers its rows itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING
from urllib.parse import quote, urlsplit

from millstream.bronze.decoding import FETCH_AGAIN, LINEAGE, decoded
from millstream.bronze.parts import Part, tasks_of
from millstream.contracts.contract import Contract, Layout
from millstream.errors import SourceDataError
from millstream.formats.parquet import UNFIT
from millstream.formats.record import Delivered, UnreadableError
from millstream.formats.registry import format_of
from millstream.lake.source_rows import SOURCE_FILE, SOURCE_ROW
from millstream.lake.tables import WHOLE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession


BINARY = "binary"


def read_landing(spark: SparkSession, contract: Contract, lake_root: str, parts: Sequence[Part]) -> DataFrame:
    """All rows of the landed `parts`, as read.

    Columns: the contract's as strings, then `_partition` (string, the month that the file was delivered for,
    or `all`), `_source_file` (string, relative to the lake root), `_source_row` (bigint, 1-based),
    `_record_error` (string, null when the record could be read), `_record` (its raw text when it could not),
    `_added` (string, a JSON object of columns that the contract does not know).
    """
    if format_of(contract).rows is None:
        paths = dict.fromkeys(part.path for part in parts)
        return _read_parquet(
            spark, contract, lake_root, [f"{lake_root.rstrip('/')}/{path}" for path in paths]
        )
    return _read_text(spark, contract, lake_root, parts)


def _read_parquet(spark: SparkSession, contract: Contract, lake_root: str, uris: list[str]) -> DataFrame:
    from pyspark.sql import functions as F

    frame = spark.read.parquet(*uris)
    layout = contract.layout(name for name in frame.columns if name != UNFIT)
    kinds = dict(frame.dtypes)
    columns = [
        (_text_of(kinds, name) if name else F.lit(None).cast("string")).alias(column)
        for column, name in zip(contract.column_names, layout.delivered, strict=True)
    ]
    added = F.lit(None).cast("string")
    if layout.added:
        besides = F.struct(*(_text_of(kinds, name).alias(name) for name in layout.added))
        added = F.to_json(besides, {"ignoreNullFields": "false"})
    return frame.select(
        *columns,
        # Tables of databases are not delivered by the month.
        F.lit(WHOLE).alias("_partition"),
        _relative(F.col("_metadata.file_path"), lake_root).alias(SOURCE_FILE),
        (F.col("_metadata.row_index") + 1).alias(SOURCE_ROW),
        _binary_as_text(kinds, contract, layout).alias("_record_error"),
        F.lit(None).cast("string").alias("_record"),
        added.alias("_added"),
    )


def _text_of(kinds: Mapping[str, str], name: str) -> Column:
    """A column's values as text: of bytes the digits, because few bytes are text; what the column's type does
    not hold as the source wrote it."""
    from pyspark.sql import functions as F

    quoted = name.replace("`", "``")
    value = F.col(f"`{quoted}`")
    if kinds[name] == BINARY:
        return F.concat(F.lit("\\x"), F.lower(F.hex(value)))
    text = value.cast("string")
    return F.coalesce(text, F.col(UNFIT)[name]) if UNFIT in kinds else text


def _binary_as_text(kinds: Mapping[str, str], contract: Contract, layout: Layout) -> Column:
    """Why a row with bytes where the contract has a text cannot be read; null for the others."""
    from pyspark.sql import functions as F

    texts = {
        column.name: _text_of(kinds, name)
        for column, name in zip(contract.columns, layout.delivered, strict=True)
        if name is not None and column.type == "string" and kinds[name] == BINARY
    }
    reasons = [
        F.concat(F.lit(f"{name}: bytes, not of type string: "), F.substring(text, 1, 80))
        for name, text in texts.items()
    ]
    if not reasons:
        return F.lit(None).cast("string")
    return F.nullif(F.concat_ws("; ", *reasons), F.lit(""))


def _read_text(spark: SparkSession, contract: Contract, lake_root: str, parts: Sequence[Part]) -> DataFrame:
    from pyspark.sql import functions as F

    tasks = tasks_of(parts)

    def batches(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield from decoded(contract, lake_root, tasks[number])

    types = {**dict.fromkeys(contract.column_names, "string"), **LINEAGE}
    # One row and one partition a task: each worker learns from its number what to read, and reads it itself.
    rows = spark.range(0, len(tasks), 1, max(1, len(tasks))).mapInArrow(
        batches, ", ".join(f"`{name}` {kind}" for name, kind in types.items())
    )
    # Over Connect a declared `string` comes back as `string collate UTF8_BINARY`, which Delta writes into the
    # table's schema and other readers of Delta refuse; a cast makes it plain again (seen with Spark 4.2.0).
    return rows.withColumns({name: F.col(name).cast("string") for name in types if types[name] == "string"})


def _relative(path: Column, lake_root: str) -> Column:
    """`path` without the lake root, whichever way Spark writes the scheme (file:/x, file:///x) or a space."""
    from pyspark.sql import functions as F

    root = urlsplit(lake_root).path.rstrip("/")
    return F.regexp_replace(path, rf"^[a-z]+:(//[^/]*)?(\Q{root}\E|\Q{quote(root)}\E)/", "")


def delivered(contract: Contract, stream: IO[bytes], name: str) -> Delivered:
    """The columns of one landed file: its header, or every name that one of its records has.

    None when there is no record, where the contract allows that, and for an API's empty page.

    Raises: SourceDataError: nothing can be read, or a header has a name twice.
    """
    try:
        found = format_of(contract).delivered(stream, contract)
    except UnreadableError as error:
        raise SourceDataError(f"{contract.dataset}: {name} {error}. {FETCH_AGAIN}") from error
    except (ValueError, OSError) as error:
        raise SourceDataError(f"{contract.dataset}: {name} cannot be read: {error}. {FETCH_AGAIN}") from error
    if not found.names and not contract.allow_empty and contract.source.kind != "http":
        raise SourceDataError(f"{contract.dataset}: {name} has no record that can be read. {FETCH_AGAIN}")
    return found
