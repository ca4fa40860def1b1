"""Landed bytes to rows: every row numbered, every row that cannot be read kept with its reason.

Spark's own readers number no rows and drop or null what they cannot read, or fail as a whole, so files are
decoded by `millstream.bronze.decoding`, each part by a task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING

from millstream.bronze.decoding import FETCH_AGAIN, LINEAGE, decoded
from millstream.bronze.parts import Part, tasks_of
from millstream.contracts.contract import Contract
from millstream.errors import SourceDataError
from millstream.formats.record import Delivered, UnreadableError
from millstream.formats.registry import format_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


def read_landing(spark: SparkSession, contract: Contract, lake_root: str, parts: Sequence[Part]) -> DataFrame:
    """All rows of the landed `parts`, as read.

    Columns: the contract's as strings, then `_partition` (string, the month that the file was delivered for,
    or `all`), `_source_file` (string, relative to the lake root), `_source_row` (bigint, 1-based),
    `_record_error` (string, null when the record could be read), `_record` (its raw text when it could not),
    `_added` (string, a JSON object of columns that the contract does not know).
    """
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
    if not found.names and not contract.allow_empty and not contract.source.may_be_blank:
        raise SourceDataError(f"{contract.dataset}: {name} has no record that can be read. {FETCH_AGAIN}")
    return found
