"""One JSON document: a list of records, or one that has it under a path of names, as an API's page has."""

from __future__ import annotations

from functools import partial
from typing import IO, Any

from pydantic import Field

from millstream.formats import format as of_format
from millstream.formats.format import Format
from millstream.formats.json_values import as_written, json_record, values_of
from millstream.formats.record import Delivered, Piece, Rows, Wanted, layouts, of_records

PATH = r"^[^\s.[:cntrl:]]+(\.[^\s.[:cntrl:]]+)*$"


class Options(of_format.Options):
    """Of a JSON document."""

    records: str | None = Field(
        default=None,
        pattern=PATH,
        max_length=200,
        description="where the document has its records: a name, or a path of names (`data.items`); without "
        "one the document is their list",
    )


def delivered(stream: IO[bytes], contract: Wanted) -> Delivered:
    """Every name that one of the records has. Raises: UnreadableError: there is no list of them."""
    return of_records(contract, _values(stream, contract))


def has_records(stream: IO[bytes], contract: Wanted) -> bool:
    """Whether there is a record. Raises: as `delivered`."""
    return bool(_values(stream, contract))


def rows(stream: IO[bytes], contract: Wanted, piece: Piece | None = None) -> Rows:
    """The records of the list. The document is read into memory as a whole."""
    layout_of = layouts(contract)
    for record in _values(stream, contract):
        yield json_record(record, layout_of, partial(as_written, record))


def _values(stream: IO[bytes], contract: Wanted) -> list[Any]:
    options: Options = contract.format_options
    return values_of(stream.read(), options.records)


FORMAT = Format("the objects in a list of one JSON document", delivered, has_records, rows, options=Options)
