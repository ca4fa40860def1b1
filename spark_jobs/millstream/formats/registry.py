"""The formats, by the name that a contract has for them."""

from __future__ import annotations

from millstream.contracts.contract import Contract
from millstream.formats import csv_lines, json_records, parquet, xml_rows
from millstream.formats.archives import bunzipped, gunzipped, unzipped
from millstream.formats.format import Format, packed

# Files that people send, plain or packed.
FILES = {"csv": csv_lines.FORMAT, "jsonl": json_records.LINES, "xml": xml_rows.FORMAT}
PACKINGS = {"gz": gunzipped, "bz2": bunzipped, "zip": unzipped}
FORMATS: dict[str, Format] = {
    **FILES,
    **{
        f"{name}.{ending}": packed(unpack, plain)
        for name, plain in FILES.items()
        for ending, unpack in PACKINGS.items()
    },
    # Pages of an API, and what is read of a database.
    "json": json_records.PAGE,
    "parquet": parquet.FORMAT,
}


def format_of(contract: Contract) -> Format:
    """The format of what a contract's source delivers."""
    return FORMATS[contract.source.format]
