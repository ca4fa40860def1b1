"""Planes and airlines as tables of a SQLite database, with real column types.

A database says "missing" with NULL, so `NA` becomes NULL here. `planes.updated_at` is the one column the
reference data lacks: registers of this kind have one, and an incremental reader needs it. Planes count as
entered one a second, in the order of the reference data, from the last midnight of the year it covers.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Column, DateTime, Float, Integer, MetaData, String, Table, create_engine, insert

from millstream_demo.publishing import whole_file
from millstream_demo.reference import MISSING, rows

FIRST_ENTRY = datetime(2013, 12, 31)

metadata = MetaData()
planes = Table(
    "planes",
    metadata,
    Column("tailnum", String(6), primary_key=True),
    Column("year", Integer),
    Column("type", String(40)),
    Column("manufacturer", String(60)),
    Column("model", String(40)),
    Column("engines", Integer),
    Column("seats", Integer),
    Column("speed", Float),
    Column("engine", String(40)),
    Column("updated_at", DateTime, nullable=False, index=True),
)
airlines = Table(
    "airlines",
    metadata,
    Column("carrier", String(2), primary_key=True),
    Column("name", String(80), nullable=False),
)


def publish_register(data: Path) -> int:
    """Write `source.db` below `data`; returns the number of planes and airlines."""
    plane_rows = [
        {**_typed(planes, row), "updated_at": FIRST_ENTRY + timedelta(seconds=second)}
        for second, row in enumerate(rows("planes.csv"))
    ]
    airline_rows = [_typed(airlines, row) for row in rows("airlines.csv")]
    with whole_file(data / "source.db") as path:
        engine = create_engine(f"sqlite:///{path}")
        metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(insert(planes), plane_rows)
            connection.execute(insert(airlines), airline_rows)
        engine.dispose()
    return len(plane_rows) + len(airline_rows)


def _typed(table: Table, row: dict[str, str]) -> dict[str, Any]:
    return {
        name: None if value == MISSING else table.columns[name].type.python_type(value)
        for name, value in row.items()
    }
