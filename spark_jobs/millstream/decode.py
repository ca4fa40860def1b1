"""Landed bytes to rows: every row numbered, every row that cannot be read kept with its reason.

Spark's own CSV and JSON readers number no rows and drop or null what they cannot read, so text formats are
decoded here, one file a task, into Arrow batches of strings. Parquet numbers its rows itself.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from millstream.contract import Contract, FilesSource, HttpSource, SqlSource
from millstream.errors import SchemaDriftError, SourceDataError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession

# One decoded record: its values by contract column, or the reason why there are none, and its raw text.
Record = tuple[list[str | None] | None, str | None, str | None]

BATCH_ROWS = 20_000
LINEAGE = ("_source_file", "_source_row", "_record_error", "_record")


def read_landing(spark: SparkSession, contract: Contract, lake_root: str, files: list[str]) -> DataFrame:
    """All rows of the landed `files` (paths relative to the lake root), as read.

    Columns: the contract's (strings; Parquet keeps its types), then `_source_file` (string), `_source_row`
    (bigint, 1-based), `_record_error` (string, null when the record could be read), `_record` (its raw text
    when it could not).
    """
    uris = [f"{lake_root.rstrip('/')}/{path}" for path in files]
    if isinstance(contract.source, SqlSource):
        return _read_parquet(spark, contract, lake_root, uris)
    return _read_text(spark, contract, lake_root, uris)


def _read_parquet(spark: SparkSession, contract: Contract, lake_root: str, uris: list[str]) -> DataFrame:
    from pyspark.sql import functions as F

    frame = spark.read.parquet(*uris)
    missing = [name for name in contract.column_names if name not in frame.columns]
    if missing:
        raise SchemaDriftError(f"{contract.dataset}: column removed at the source: {', '.join(missing)}")
    return frame.select(
        *contract.column_names,
        _relative(F.col("_metadata.file_path"), lake_root).alias("_source_file"),
        (F.col("_metadata.row_index") + 1).alias("_source_row"),
        F.lit(None).cast("string").alias("_record_error"),
        F.lit(None).cast("string").alias("_record"),
    )


def _read_text(spark: SparkSession, contract: Contract, lake_root: str, uris: list[str]) -> DataFrame:
    from pyspark.sql import functions as F

    decode = decoder(contract)
    columns = contract.column_names

    def batches(files: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in files:
            for path, content in zip(batch.column(0).to_pylist(), batch.column(1), strict=True):
                yield from _to_batches(decode(io.BytesIO(content.as_buffer())), columns, path)

    schema = ", ".join(f"`{name}` string" for name in columns)
    decoded = (
        spark.read.format("binaryFile")
        .load(uris)
        .select("path", "content")
        # One task a file: a task of many files would leave cores idle at the end.
        .repartition(min(len(uris), 64))
        .mapInArrow(
            batches,
            f"{schema}, _source_file string, _source_row bigint, _record_error string, _record string",
        )
    )
    # Over Connect a declared `string` comes back as `string collate UTF8_BINARY`, which Delta writes into the
    # table's schema and other readers of Delta refuse; a cast makes it plain again (seen with Spark 4.2.0).
    plain = {name: F.col(name).cast("string") for name in (*columns, "_record_error", "_record")}
    return decoded.withColumns(
        {**plain, "_source_file": _relative(F.col("_source_file").cast("string"), lake_root)}
    )


def _relative(path: Column, lake_root: str) -> Column:
    """`path` without the lake root, whichever way Spark writes the scheme (file:/x, file:///x) or a space."""
    from pyspark.sql import functions as F

    root = urlsplit(lake_root).path.rstrip("/")
    return F.regexp_replace(path, rf"^[a-z]+:(//[^/]*)?(\Q{root}\E|\Q{quote(root)}\E)/", "")


def _to_batches(records: Iterator[Record], columns: list[str], path: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    lineage = zip(LINEAGE, (pa.string(), pa.int64(), pa.string(), pa.string()), strict=True)
    schema = pa.schema([*((name, pa.string()) for name in columns), *lineage])
    blank: list[str | None] = [None] * len(columns)
    rows: list[list[Any]] = []
    for number, (values, error, raw) in enumerate(records, start=1):
        rows.append([*(blank if values is None else values), path, number, error, raw])
        if len(rows) == BATCH_ROWS:
            yield _batch(rows, schema)
            rows = []
    if rows:
        yield _batch(rows, schema)


def _batch(rows: list[list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [
        pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


Decode = Callable[[IO[bytes]], Iterator[Record]]


def decoder(contract: Contract) -> Decode:
    """The function that turns one landed file of this contract into records, in file order."""
    columns = contract.column_names
    match contract.source:
        case FilesSource(format="csv.zip"):
            return lambda stream: _csv(_only_member(stream), columns)
        case FilesSource(format="csv"):
            return lambda stream: _csv(stream, columns)
        case FilesSource(format="jsonl.gz"):
            return lambda stream: _json_lines(gzip.GzipFile(fileobj=stream), columns)
        case FilesSource(format="xml", row_tag=str() as row_tag):
            return lambda stream: _xml(stream, columns, row_tag)
        case HttpSource(records_key=key):
            return lambda stream: _json_page(stream, columns, key)
    raise SourceDataError(f"{contract.dataset}: no decoder for format {contract.source.format}")


def check_columns(contract: Contract, stream: IO[bytes], name: str) -> list[str]:
    """Compare the first record's fields in `stream` with the contract.

    Returns: columns that the contract does not know (added at the source).
    Raises: SchemaDriftError: a column of the contract is missing. SourceDataError: nothing is readable.
    """
    found = _fields(contract, stream, name)
    missing = [column for column in contract.column_names if column not in found]
    if missing:
        raise SchemaDriftError(
            f"{contract.dataset}: {name}: column removed at the source: {', '.join(missing)}; found "
            f"{', '.join(found)}. Nothing was loaded: "
            "ask the source's owner, or publish a new version of the contract"
        )
    return [field for field in found if field not in contract.column_names]


def _fields(contract: Contract, stream: IO[bytes], name: str) -> list[str]:
    try:
        match contract.source:
            case FilesSource(format="csv.zip"):
                return next(csv.reader(_text(_only_member(stream))), [])
            case FilesSource(format="csv"):
                return next(csv.reader(_text(stream)), [])
            case FilesSource(format="jsonl.gz"):
                return list(json.loads(gzip.GzipFile(fileobj=stream).readline() or b"{}"))
            case FilesSource(format="xml", row_tag=str() as row_tag):
                return next((list(fields) for fields in _xml_rows(stream, row_tag)), [])
            case HttpSource(records_key=key):
                page = json.load(stream)[key]
                # An empty page has no fields to compare; it is the usual last page of an API.
                return list(page[0]) if page else contract.column_names
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise SourceDataError(f"{contract.dataset}: {name}: cannot be read: {error}") from error
    return contract.column_names


def _only_member(stream: IO[bytes]) -> IO[bytes]:
    archive = zipfile.ZipFile(stream)
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) != 1:
        raise SourceDataError(f"a zipped CSV file holds one file, found {len(members)}")
    return archive.open(members[0])


def _text(stream: IO[bytes]) -> io.TextIOWrapper:
    # Bytes that are not UTF-8 become lone surrogates, which `_csv` reports row by row.
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _csv(stream: IO[bytes], columns: list[str]) -> Iterator[Record]:
    reader = csv.reader(_text(stream))
    header = next(reader, [])
    places = [header.index(name) for name in columns]
    reorder = places != list(range(len(header)))
    width = len(header)
    for row in reader:
        if len(row) != width:
            yield None, f"{len(row)} fields where the header has {width}", _shown(row)
        elif not _is_unicode(row):
            yield None, "not UTF-8", _shown(row)
        else:
            yield [row[place] for place in places] if reorder else [*row], None, None


def _is_unicode(row: list[str]) -> bool:
    joined = "".join(row)
    if joined.isascii():
        return True
    return not any("\ud800" <= character <= "\udfff" for character in joined)


def _shown(row: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _json_lines(stream: Iterable[bytes], columns: list[str]) -> Iterator[Record]:
    for line in stream:
        try:
            record = json.loads(line)
        except ValueError as error:
            yield None, f"not JSON: {error}", line.decode("utf-8", "backslashreplace").rstrip("\n")
        else:
            yield _json_record(record, columns)


def _json_page(stream: IO[bytes], columns: list[str], key: str) -> Iterator[Record]:
    for record in json.load(stream)[key]:
        yield _json_record(record, columns)


def _json_record(record: Any, columns: list[str]) -> Record:
    if not isinstance(record, dict):
        return None, "not a JSON object", json.dumps(record)
    missing = [name for name in columns if name not in record]
    if missing:
        return None, f"field missing: {', '.join(missing)}", json.dumps(record)
    return [_json_text(record[name]) for name in columns], None, None


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _xml(stream: IO[bytes], columns: list[str], row_tag: str) -> Iterator[Record]:
    for fields in _xml_rows(stream, row_tag):
        yield [fields.get(name) for name in columns], None, None


def _xml_rows(stream: IO[bytes], row_tag: str) -> Iterator[dict[str, str | None]]:
    from defusedxml.ElementTree import iterparse

    for _, element in iterparse(stream, events=("end",)):
        if element.tag == row_tag:
            yield {**element.attrib, **{child.tag: child.text for child in element}}
            element.clear()
