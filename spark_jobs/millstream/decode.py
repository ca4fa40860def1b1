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
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from millstream.contract import Contract, FilesSource, HttpSource, Layout, SqlSource
from millstream.errors import SourceDataError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession


class Record(NamedTuple):
    """One decoded record: its values by contract column, or the reason why there are none and its raw text.

    `added` is a JSON object of what the source sent besides, as text.
    """

    values: list[str | None] | None
    error: str | None = None
    raw: str | None = None
    added: str | None = None


class Delivered(NamedTuple):
    """The columns of one landed file: their names there, and for those of the contract's columns that only
    some of its records have, how many lack them."""

    names: list[str]
    lacking: dict[str, int]


BATCH_ROWS = 20_000
FIELD_TWICE = "a field comes twice"
LINEAGE = ("_source_file", "_source_row", "_record_error", "_record", "_added")


def read_landing(spark: SparkSession, contract: Contract, lake_root: str, files: list[str]) -> DataFrame:
    """All rows of the landed `files` (paths relative to the lake root), as read.

    Columns: the contract's as strings, then `_source_file` (string), `_source_row` (bigint, 1-based),
    `_record_error` (string, null when the record could be read), `_record` (its raw text when it could not),
    `_added` (string, a JSON object of columns that the contract does not know).
    """
    uris = [f"{lake_root.rstrip('/')}/{path}" for path in files]
    if isinstance(contract.source, SqlSource):
        return _read_parquet(spark, contract, lake_root, uris)
    return _read_text(spark, contract, lake_root, uris)


def _read_parquet(spark: SparkSession, contract: Contract, lake_root: str, uris: list[str]) -> DataFrame:
    from pyspark.sql import functions as F

    frame = spark.read.parquet(*uris)
    layout = contract.layout(frame.columns)
    columns = [
        (_text_of(name) if name else F.lit(None).cast("string")).alias(column)
        for column, name in zip(contract.column_names, layout.delivered, strict=True)
    ]
    added = F.lit(None).cast("string")
    if layout.added:
        besides = F.struct(*(_text_of(name).alias(name) for name in layout.added))
        added = F.to_json(besides, {"ignoreNullFields": "false"})
    return frame.select(
        *columns,
        _relative(F.col("_metadata.file_path"), lake_root).alias("_source_file"),
        (F.col("_metadata.row_index") + 1).alias("_source_row"),
        F.lit(None).cast("string").alias("_record_error"),
        F.lit(None).cast("string").alias("_record"),
        added.alias("_added"),
    )


def _text_of(name: str) -> Column:
    from pyspark.sql import functions as F

    quoted = name.replace("`", "``")
    return F.col(f"`{quoted}`").cast("string")


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
            f"{schema}, _source_file string, _source_row bigint, _record_error string, _record string, "
            "_added string",
        )
    )
    # Over Connect a declared `string` comes back as `string collate UTF8_BINARY`, which Delta writes into the
    # table's schema and other readers of Delta refuse; a cast makes it plain again (seen with Spark 4.2.0).
    plain = {name: F.col(name).cast("string") for name in (*columns, "_record_error", "_record", "_added")}
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

    lineage = zip(LINEAGE, (pa.string(), pa.int64(), pa.string(), pa.string(), pa.string()), strict=True)
    schema = pa.schema([*((name, pa.string()) for name in columns), *lineage])
    blank: list[str | None] = [None] * len(columns)
    rows: list[list[Any]] = []
    for number, (values, error, raw, added) in enumerate(records, start=1):
        rows.append([*(blank if values is None else values), path, number, error, raw, added])
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
    match contract.source:
        case FilesSource(format="csv.zip"):
            return lambda stream: _csv(_only_member(stream), contract)
        case FilesSource(format="csv"):
            return lambda stream: _csv(stream, contract)
        case FilesSource(format="jsonl.gz"):
            return lambda stream: _json_lines(gzip.GzipFile(fileobj=stream), contract)
        case FilesSource(format="xml", row_tag=str() as row_tag):
            return lambda stream: _xml(stream, contract, row_tag)
        case HttpSource(records_key=key):
            return lambda stream: _json_page(stream, contract, key)
    raise SourceDataError(f"{contract.dataset}: no decoder for format {contract.source.format}")


def delivered(contract: Contract, stream: IO[bytes], name: str) -> Delivered:
    """The columns of one landed file: its header, or every name that one of its records has.

    None when there is no record, where the contract allows that, and for an API's empty page.

    Raises: SourceDataError: nothing can be read, or a header has a name twice.
    """
    try:
        found = _delivered(contract, stream)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise SourceDataError(f"{contract.dataset}: {name}: cannot be read: {error}") from error
    if doubled := sorted({one for one in found.names if found.names.count(one) > 1}):
        raise SourceDataError(
            f"{contract.dataset}: {name}: columns named twice: {', '.join(map(repr, doubled))}"
        )
    if not found.names and not contract.allow_empty and contract.source.kind != "http":
        raise SourceDataError(f"{contract.dataset}: {name}: no record in it can be read")
    return found


def _delivered(contract: Contract, stream: IO[bytes]) -> Delivered:
    match contract.source:
        case FilesSource(format="csv.zip"):
            return Delivered(_header(_text(_only_member(stream))), {})
        case FilesSource(format="csv"):
            return Delivered(_header(_text(stream)), {})
        case FilesSource(format="jsonl.gz"):
            lines = _json_parsed(gzip.GzipFile(fileobj=stream))
            return _of_records(contract, (one for one, _ in lines))
        case FilesSource(format="xml", row_tag=str() as row_tag):
            return _of_records(contract, (dict(_xml_pairs(row)) for row in _xml_rows(stream, row_tag)))
        case HttpSource(records_key=key):
            return _of_records(contract, _page_records(stream, key))
        case SqlSource():
            import pyarrow.parquet as pq

            return Delivered(list(pq.read_schema(stream).names), {})
    raise SourceDataError(f"no decoder for format {contract.source.format}")


def _header(lines: Iterable[str]) -> list[str]:
    found = next(_csv_rows(lines), [])
    if isinstance(found, _Broken):
        raise ValueError(f"the header is not CSV: {found.error}")
    return found


def _of_records(contract: Contract, records: Iterable[Any]) -> Delivered:
    """Every name that one of the records has, in the order of their first appearance."""
    layouts = _layouts(contract)
    found: dict[str, None] = {}
    lacking: Counter[str] = Counter()
    for record in records:
        if not isinstance(record, dict):
            continue
        names = tuple(record)
        found.update(dict.fromkeys(names))
        layout = layouts(names)
        # A record that lacks what it may not lack is kept apart as a whole.
        if None in layout.delivered and not layout.missing:
            pairs = zip(contract.column_names, layout.delivered, strict=True)
            lacking.update(column for column, name in pairs if name is None)
    return Delivered(list(found), dict(lacking))


def _only_member(stream: IO[bytes]) -> IO[bytes]:
    archive = zipfile.ZipFile(stream)
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) != 1:
        raise SourceDataError(f"a zipped CSV file holds one file, found {len(members)}")
    return archive.open(members[0])


def _text(stream: IO[bytes]) -> io.TextIOWrapper:
    # Bytes that are not UTF-8 become lone surrogates, which `_csv` reports row by row.
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _csv(stream: IO[bytes], contract: Contract) -> Iterator[Record]:
    rows = _csv_rows(_text(stream))
    header = next(rows, [])
    if isinstance(header, _Broken):
        raise SourceDataError(f"{contract.dataset}: the header is not CSV: {header.error}: {header.line!r}")
    layout = contract.layout(header)
    places = [None if name is None else header.index(name) for name in layout.delivered]
    besides = [(name, header.index(name)) for name in layout.added]
    reorder = places != list(range(len(header)))
    width = len(header)
    for row in rows:
        if isinstance(row, _Broken):
            yield Record(None, f"not CSV: {row.error}", row.line)
        elif len(row) != width:
            yield Record(None, f"{len(row)} fields where the header has {width}", _shown(row))
        elif not _is_unicode(row):
            yield Record(None, "not UTF-8", _shown(row))
        elif reorder:
            more = json.dumps({name: row[place] for name, place in besides}) if besides else None
            yield Record([None if place is None else row[place] for place in places], added=more)
        else:
            yield Record([*row])


class _Broken(NamedTuple):
    """A line that is no record of a CSV file, nor begins one."""

    error: str
    line: str


def _csv_rows(lines: Iterable[str]) -> Iterator[list[str] | _Broken]:
    """Each record's fields. A quote that is not closed, or closed in the wrong place, breaks its own line and
    none of those after it, which it would make a part of its field."""
    held: deque[str] = deque()
    again: deque[str] = deque()
    source = iter(lines)

    def following() -> Iterator[str]:
        while True:
            line = again.popleft() if again else next(source, None)
            if line is None:
                return
            held.append(line)
            yield line

    reader = csv.reader(following(), strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            broken = held.popleft()
            again.extendleft(reversed(held))
            held.clear()
            # A reader whose lines have come to their end stays there.
            reader = csv.reader(following(), strict=True)
            yield _Broken(str(error), _printable(broken.rstrip("\r\n")))
        else:
            held.clear()
            yield row


def _is_unicode(row: Sequence[str | None]) -> bool:
    joined = "".join(value for value in row if value is not None)
    if joined.isascii():
        return True
    return not any("\ud800" <= character <= "\udfff" for character in joined)


def _shown(row: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return _printable(text.getvalue())


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _json_lines(stream: Iterable[bytes], contract: Contract) -> Iterator[Record]:
    layout = _layouts(contract)
    for found, line in _json_parsed(stream):
        raw = partial(_json_line, line)
        if isinstance(found, ValueError):
            yield Record(None, f"not JSON: {found}", raw())
        else:
            yield _json_record(found, layout, raw)


def _json_line(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip("\n")


def _json_parsed(stream: Iterable[bytes]) -> Iterator[tuple[Any, bytes]]:
    """Each line's value, or the error that it gave, and the line."""
    for line in stream:
        try:
            yield json.loads(line, object_pairs_hook=_json_object, parse_float=_Number), line
        except ValueError as error:
            yield error, line


def _json_page(stream: IO[bytes], contract: Contract, key: str) -> Iterator[Record]:
    layout = _layouts(contract)
    for record in _page_records(stream, key):
        yield _json_record(record, layout, partial(_json_text, record))


def _page_records(stream: IO[bytes], key: str) -> list[Any]:
    page = json.load(stream, object_pairs_hook=_json_object, parse_float=_Number)
    if isinstance(page, _Ambiguous):
        raise ValueError(f"the page has a field twice: {', '.join(name for name, _ in page.pairs)}")
    records: list[Any] = page[key]
    return records


@dataclass(frozen=True)
class _Ambiguous:
    """A JSON object that has a name twice: which of the values is meant, nobody can say (RFC 8259, 4)."""

    pairs: list[tuple[str, Any]]


class _Number(float):
    """A JSON number with a fraction or an exponent, and how it was written: not every one is a double."""

    def __init__(self, text: str) -> None:
        self.text = text


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Ambiguous:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Ambiguous(pairs)


def _json_text(value: Any) -> str:
    """`value` as JSON, an object that has a name twice as it was."""
    match value:
        case _Ambiguous(pairs=pairs):
            return f"{{{', '.join(f'{json.dumps(name)}: {_json_text(one)}' for name, one in pairs)}}}"
        case dict():
            return _json_text(_Ambiguous(list(value.items())))
        case list():
            return f"[{', '.join(map(_json_text, value))}]"
        case _Number():
            return value.text
        case _:
            return json.dumps(value)


class _FieldTwiceError(ValueError):
    """A field's value has a name twice in it."""


def _json_record(record: Any, layout: Layouts, raw: Callable[[], str]) -> Record:
    if isinstance(record, _Ambiguous):
        return Record(None, FIELD_TWICE, raw())
    if not isinstance(record, dict):
        return Record(None, "not a JSON object", raw())
    try:
        return _named_record(record, layout, raw)
    except _FieldTwiceError:
        return Record(None, FIELD_TWICE, raw())


Layouts = Callable[[tuple[str, ...]], Layout]


def _layouts(contract: Contract) -> Layouts:
    """The contract's layouts, each found out once: most records have the same fields."""
    return lru_cache(maxsize=1000)(contract.layout)


def _named_record(record: Mapping[str, Any], layouts: Layouts, raw: Callable[[], str]) -> Record:
    """A record that names its own fields. One that lacks a field is told from one whose field is null."""
    layout = layouts(tuple(record))
    if layout.missing:
        return Record(None, f"field missing: {', '.join(layout.missing)}", raw())
    values = [None if name is None else _as_text(record[name]) for name in layout.delivered]
    if not _is_unicode(values):
        return Record(None, "not Unicode: half of a character", raw())
    more = json.dumps({name: _as_text(record[name]) for name in layout.added}) if layout.added else None
    return Record(values, added=more)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, _Number):
        return value.text
    return json.dumps(value, default=_refuse)


def _refuse(value: Any) -> Any:
    if isinstance(value, _Ambiguous):
        raise _FieldTwiceError
    raise TypeError(f"no JSON: {value!r}")


def _xml(stream: IO[bytes], contract: Contract, row_tag: str) -> Iterator[Record]:
    layout = _layouts(contract)
    for row in _xml_rows(stream, row_tag):
        pairs = _xml_pairs(row)
        if len(record := dict(pairs)) == len(pairs):
            yield _named_record(record, layout, partial(_xml_text, row))
        else:
            yield Record(None, FIELD_TWICE, _xml_text(row))


def _xml_rows(stream: IO[bytes], row_tag: str) -> Iterator[Element]:
    from defusedxml.ElementTree import iterparse

    for _, element in iterparse(stream, events=("end",)):
        if element.tag == row_tag:
            yield element
            element.clear()


def _xml_pairs(row: Element) -> list[tuple[str, str | None]]:
    """Attributes and children of one row. What a child has below it is kept as XML, not dropped."""
    return [*row.attrib.items(), *((one.tag, _xml_text(one) if len(one) else one.text) for one in row)]


def _xml_text(element: Element) -> str:
    from defusedxml.ElementTree import tostring

    return str(tostring(element, encoding="unicode")).strip()
