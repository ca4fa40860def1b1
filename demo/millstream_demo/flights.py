"""Flights as a drop folder: one zipped CSV file a month."""

from __future__ import annotations

import zipfile
from pathlib import Path

from millstream_demo.publishing import whole_file
from millstream_demo.reference import flight_lines

# A fixed time stamp in the archive, so that the same rows give the same bytes on every machine.
ZIP_TIME = (2014, 1, 1, 0, 0, 0)
REGULAR_FILE = 0o100644 << 16
UNIX = 3


def publish_flights(data: Path) -> int:
    """Write `drop/flights/flights_YYYY-MM.csv.zip` below `data`; returns the number of flights."""
    header, months = _lines_by_month()
    for month, lines in months.items():
        name = f"flights_{month}.csv"
        with whole_file(data / "drop" / "flights" / f"{name}.zip") as path:
            _write_zip(path, name, header + b"".join(lines))
    return sum(len(lines) for lines in months.values())


def _lines_by_month() -> tuple[bytes, dict[str, list[bytes]]]:
    lines = flight_lines()
    header = next(lines)
    if not header.startswith(b"year,month,"):
        raise ValueError(f"flights.csv starts with {header[:60]!r}: expected year and month first")
    months: dict[str, list[bytes]] = {}
    for line in lines:
        year, month, _ = line.split(b",", 2)
        months.setdefault(f"{int(year):04d}-{int(month):02d}", []).append(line)
    return header, months


def _write_zip(path: Path, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name, date_time=ZIP_TIME)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = REGULAR_FILE
    member.create_system = UNIX
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
