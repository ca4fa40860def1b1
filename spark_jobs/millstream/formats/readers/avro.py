"""Avro container files: records with a schema of their own, read one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

from millstream.formats.arrow_text import bytes_not_text, text_of
from millstream.formats.format import Format
from millstream.formats.record import (
    Delivered,
    Piece,
    Rows,
    UnreadableError,
    Wanted,
    alike,
    layouts,
    named_record,
    unreadable,
)

MAGIC = b"Obj\x01"


def delivered(stream: IO[bytes], contract: Wanted) -> Delivered:
    """The fields of the schema. Raises: UnreadableError: no Avro file, or its values are no records."""
    names, _ = _opened(stream)
    return Delivered(names, {})


def has_records(stream: IO[bytes], contract: Wanted) -> bool:
    """Whether there is a record. Reads all, to the end."""
    _, records = _opened(stream)
    return sum(1 for _ in records) > 0


def rows(stream: IO[bytes], contract: Wanted, piece: Piece | None = None) -> Rows:
    """The records in file order."""
    layout_of = layouts(contract)
    names, records = _opened(stream)
    pairs = zip(contract.column_names, contract.layout(names).delivered, strict=True)
    texts = [(column, name) for column, name in pairs if name is not None and column in contract.text_columns]
    for record in records:
        row = named_record(record, layout_of, partial(_json, record), text_of)
        reasons = [
            f"{column}: {bytes_not_text(str(text_of(record[name])))}"
            for column, name in texts
            if isinstance(record[name], bytes)
        ]
        yield row._replace(error="; ".join(reasons)) if reasons and row.error is None else row


def _json(record: Any) -> str:
    return str(text_of(record))


def _opened(stream: IO[bytes]) -> tuple[list[str], Iterator[Any]]:
    """The names of the fields, and the records."""
    import fastavro

    with _failures(stream):
        reader = fastavro.reader(stream)
        schema = reader.writer_schema
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise UnreadableError("is an Avro file whose values are no records")
        names = [field["name"] for field in schema["fields"]]
    if same := alike(names):
        raise UnreadableError(f"has columns named twice: {same}")

    def records() -> Iterator[Any]:
        with _failures(stream):
            yield from reader

    return names, records()


@contextmanager
def _failures(stream: IO[bytes]) -> Iterator[None]:
    try:
        yield
    except UnreadableError:
        raise
    # A damaged file makes fastavro raise what its bytes happen to lead to.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise unreadable(stream, "Avro file", (MAGIC,), error) from error


FORMAT = Format("records, with types of their own", delivered, has_records, rows)
