"""Airports as one XML file."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from millstream_demo.publishing import whole_file
from millstream_demo.reference import rows


def publish_airports(data: Path) -> int:
    """Write `drop/airports/airports.xml`: an `airport` element a row, a child element a column."""
    airports = rows("airports.csv")
    with (
        whole_file(data / "drop" / "airports" / "airports.xml") as path,
        path.open("w", encoding="utf-8", newline="\n") as out,
    ):
        out.write('<?xml version="1.0" encoding="UTF-8"?>\n<airports>\n')
        for airport in airports:
            fields = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in airport.items())
            out.write(f"  <airport>{fields}</airport>\n")
        out.write("</airports>\n")
    return len(airports)
