"""XML: one element a record, with its attributes and children as fields.

Names are local ones: `id` is `<id>`, also in a default namespace or with the prefix of its row's. A field of
another namespace than its row's is `{uri}name`, and a contract may name its row so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import IO, TYPE_CHECKING
from xml.etree.ElementTree import ParseError
from xml.parsers import expat

from pydantic import Field

from millstream.errors import printable
from millstream.file_kinds import HEAD_BYTES, recognised, recognised_markup
from millstream.formats import format as of_format
from millstream.formats.format import Format
from millstream.formats.record import (
    FIELD_TWICE,
    MOST_NESTED,
    Delivered,
    Piece,
    Record,
    Rows,
    UnreadableError,
    Wanted,
    layouts,
    named_record,
    of_records,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

SHOWN = 5


class Options(of_format.Options):
    """Of an XML file."""

    row_tag: str = Field(min_length=1, description="the element that is one row")


def delivered(stream: IO[bytes], contract: Wanted) -> Delivered:
    """Every name that one of the rows has. Raises: as `has_records`."""
    columns = of_records(contract, (dict(_fields(row)) for row in _rows(stream, _row_tag(contract))))
    if not columns.names:
        stream.seek(0)
        has_records(stream, contract)
    return columns


def rows(stream: IO[bytes], contract: Wanted, piece: Piece | None = None) -> Rows:
    """The rows in file order."""
    layout_of = layouts(contract)
    for row in _rows(stream, _row_tag(contract)):
        fields = _fields(row)
        if len(record := dict(fields)) == len(fields):
            yield named_record(record, layout_of, partial(_xml_text, row))
        else:
            yield Record(None, FIELD_TWICE, _xml_text(row))


def has_records(stream: IO[bytes], contract: Wanted) -> bool:
    """Whether there is a row; none is what a root without content has. Reads to the end.

    Raises: UnreadableError: not XML, or something is there, and no row.
    """
    row_tag = _row_tag(contract)
    seen = _Seen(row_tag)
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler = seen.start
    parser.EndElementHandler = seen.end
    parser.CharacterDataHandler = seen.text
    parser.EntityDeclHandler = seen.entity
    try:
        parser.ParseFile(stream)
    except expat.ExpatError as error:
        stream.seek(0)
        head = stream.read(HEAD_BYTES)
        known = recognised(head) or recognised_markup(head)
        other = f"; it is {known}" if known and known not in ("XML", "text in UTF-16") else ""
        raise UnreadableError(f"is not well-formed XML: {error}{other}") from error
    except UnreadableError:
        raise
    except (ValueError, LookupError) as error:
        raise _in_no_encoding_that_is_read(error) from error
    if seen.rows or not seen.content:
        return bool(seen.rows)
    others = ", ".join(f"{number} <{printable(name)}>" for name, number in seen.elements.most_common(SHOWN))
    raise UnreadableError(f"has no element <{row_tag}>, but {others}. Is row_tag right in the contract?")


FORMAT = Format("the elements named by `row_tag`", delivered, has_records, rows, nests=False, options=Options)


def _row_tag(contract: Wanted) -> str:
    options: Options = contract.format_options
    return options.row_tag


class _Seen:
    """What an XML file has: elements by name, and whether it has anything below its root."""

    def __init__(self, row_tag: str) -> None:
        self._row_tag = row_tag
        self._depth = 0
        self.rows = 0
        self.content = False
        self.elements: Counter[str] = Counter()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise UnreadableError(f"has elements nested deeper than {MOST_NESTED} levels")
        self.content = self.content or self._depth > 1
        self.elements[name.rpartition("}")[2]] += 1
        self.rows += _is_row(f"{{{name}" if "}" in name else name, self._row_tag)

    def end(self, name: str) -> None:
        self._depth -= 1

    def text(self, text: str) -> None:
        self.content = self.content or not text.isspace()

    def entity(self, name: str, *rest: object) -> None:
        raise _declares(name)


def _declares(entity: str) -> UnreadableError:
    return UnreadableError(f"declares the entity {printable(entity)}, and entities are not read")


def _in_no_encoding_that_is_read(error: Exception) -> UnreadableError:
    """What Python raises where an XML declaration names an encoding that expat does not read itself."""
    reason = printable(str(error))
    return UnreadableError(f"is in an encoding that is not read: {reason}; save it as UTF-8")


def _is_row(tag: str, row_tag: str) -> bool:
    return tag == row_tag or ("{" not in row_tag and tag.rpartition("}")[2] == row_tag)


def _rows(stream: IO[bytes], row_tag: str) -> Iterator[Element]:
    from defusedxml.common import EntitiesForbidden
    from defusedxml.ElementTree import iterparse

    try:
        above: list[Element] = []
        rows = 0
        for event, element in iterparse(stream, events=("start", "end")):
            is_row = _is_row(element.tag, row_tag)
            if event == "start":
                above.append(element)
                rows += is_row
                continue
            above.pop()
            rows -= is_row
            if is_row:
                yield element
                element.clear()
            # What lies in no row is of no use any more; a file may have any number of them.
            if above and not rows:
                above[-1].remove(element)
    except ParseError as error:
        raise UnreadableError(f"is not well-formed XML: {error}") from error
    except EntitiesForbidden as error:
        raise _declares(error.name) from error
    except (ValueError, LookupError) as error:
        raise _in_no_encoding_that_is_read(error) from error


def _fields(row: Element) -> list[tuple[str, str | None]]:
    """Attributes and children of one row. What a child has below it is kept as XML, not dropped."""
    own = row.tag.rpartition("}")[0]
    return [
        *((_name(name, own), value) for name, value in row.attrib.items()),
        *((_name(child.tag, own), _xml_text(child) if len(child) else child.text) for child in row),
    ]


def _name(tag: str, own: str) -> str:
    """The name of a field, without the namespace if that is the row's `own`."""
    namespace, _, local = tag.rpartition("}")
    return local if namespace == own else tag


def _xml_text(element: Element) -> str:
    from defusedxml.ElementTree import tostring

    return str(tostring(element, encoding="unicode")).strip()
