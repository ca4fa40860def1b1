"""XML: one element a record, with its attributes and children as fields."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import IO, TYPE_CHECKING

from millstream.contract import Contract
from millstream.formats.record import FIELD_TWICE, Delivered, Record, layouts, named_record, of_records

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def delivered(stream: IO[bytes], contract: Contract, row_tag: str) -> Delivered:
    """Every name that one of the rows has."""
    return of_records(contract, (dict(_xml_pairs(row)) for row in _xml_rows(stream, row_tag)))


def records(stream: IO[bytes], contract: Contract, row_tag: str) -> Iterator[Record]:
    """The rows in file order."""
    layout = layouts(contract)
    for row in _xml_rows(stream, row_tag):
        pairs = _xml_pairs(row)
        if len(record := dict(pairs)) == len(pairs):
            yield named_record(record, layout, partial(_xml_text, row))
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
