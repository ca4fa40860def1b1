"""The list of sources the demo publishes as files and tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from millstream_demo.airports import publish_airports
from millstream_demo.docstrings import installed_state, publish_docstrings
from millstream_demo.flights import publish_flights
from millstream_demo.publishing import Publication, prepare
from millstream_demo.reference import reference_file
from millstream_demo.register import publish_register

# Raised when a publisher's output changes, so that what an older one wrote is written again.
EDITION = "1"


def _state_of(*names: str) -> str:
    sizes = [f"{name}:{reference_file(name).stat().st_size}" for name in names]
    return f"edition {EDITION}, {', '.join(sizes)}"


SOURCES = (
    Publication(
        name="flights",
        fingerprint=lambda: _state_of("flights.csv.zip"),
        outputs=tuple(f"drop/flights/flights_2013-{month:02d}.csv.zip" for month in range(1, 13)),
        publish=publish_flights,
    ),
    Publication(
        name="airports",
        fingerprint=lambda: _state_of("airports.csv"),
        outputs=("drop/airports/airports.xml",),
        publish=publish_airports,
    ),
    Publication(
        name="planes and airlines",
        fingerprint=lambda: _state_of("planes.csv", "airlines.csv"),
        outputs=("source.db",),
        publish=publish_register,
    ),
    Publication(
        name="docstrings",
        fingerprint=lambda: f"edition {EDITION}, {sys.version}, {installed_state()}",
        outputs=("drop/docstrings/docstrings.jsonl.gz",),
        publish=publish_docstrings,
    ),
)


def prepare_sources(data: Path) -> Iterator[str]:
    """Publish every source that is missing or out of date below `data`; yields one line for each."""
    return prepare(data, SOURCES)
