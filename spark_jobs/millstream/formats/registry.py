"""The formats, by the name that a contract has for them."""

from __future__ import annotations

from millstream.contracts.contract import Contract
from millstream.formats import csv_lines, json_records, parquet, xml_rows
from millstream.formats.archives import gunzipped, unzipped
from millstream.formats.format import Format, packed

FORMATS: dict[str, Format] = {
    "csv": csv_lines.FORMAT,
    "csv.zip": packed(unzipped, csv_lines.FORMAT),
    "jsonl.gz": packed(gunzipped, json_records.LINES),
    "xml": xml_rows.FORMAT,
    "json": json_records.PAGE,
    "parquet": parquet.FORMAT,
}


def format_of(contract: Contract) -> Format:
    """The format of what a contract's source delivers."""
    return FORMATS[contract.source.format]
