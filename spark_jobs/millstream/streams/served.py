"""`gold.airport_delays`: what is served of the batch view and the view that the stream keeps up.

One SQL text over the names of tables, for Spark and for DuckDB; it is stored nowhere. Each row of a view has
the *whole* figures of its group as of a position, never a part to be added. So of two rows of a group the one
with the greater position is right, whichever view it is in. Imports no Spark: `make sql` lists the view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef

VIEW = TableRef(zone="gold", name="airport_delays")
BATCH = TableRef(zone="gold", name="airport_delays_batch")
# The first of the views that a stream has kept up; a replay makes the next.
SPEED = TableRef(zone="gold", name="airport_delays_speed")
# Which of them is the live one.
POINTER = "ops/views/airport_delays.live"


def speed_view(lake_root: str) -> TableRef:
    """The live view of those that a stream has kept up."""
    storage = Storage(lake_root)
    return TableRef.parse(storage.read(POINTER).decode()) if storage.exists(POINTER) else SPEED


def next_speed_view(lake_root: str) -> TableRef:
    """Where a replay makes a view beside the live one."""
    number = speed_view(lake_root).name.removeprefix(SPEED.name).removeprefix("_") or "1"
    return TableRef(zone="gold", name=f"{SPEED.name}_{int(number) + 1}")


def make_live(lake_root: str, table: TableRef) -> None:
    """From now on `table` is served, and kept up by the stream."""
    Storage(lake_root).write(POINTER, str(table).encode())


def sources(lake_root: str) -> tuple[TableRef, ...]:
    """The tables that are served, those that count first where two rows are of one position; none before
    the first is made. Without a batch view (Kappa) it is the stream's alone."""
    tables = (BATCH, speed_view(lake_root))
    return tuple(table for table in tables if history.exists(table.uri(lake_root)))


def query(tables: Sequence[str]) -> str:
    """SQL over these names of tables: of each group the row that is further, by the columns of each."""
    from millstream.transforms.airport_delays_batch import AS_OF, COLUMNS, KEY

    columns = ", ".join(COLUMNS)
    rows = " UNION ALL ".join(
        f"SELECT {columns}, {place} AS place FROM {table}" for place, table in enumerate(tables)
    )
    return (
        f"SELECT {columns} FROM (SELECT {columns}, row_number() OVER (PARTITION BY {', '.join(KEY)} "
        f"ORDER BY {AS_OF} DESC, place) AS turn FROM ({rows}) AS every_row) AS in_turn WHERE turn = 1"
    )


def comments() -> Mapping[str, tuple[str, str]]:
    """Of each column of the view its type, as Spark's SQL writes it, and its comment."""
    from millstream.transforms.airport_delays_batch import SCHEMA

    return {
        field.name: (field.dataType.simpleString(), field.metadata.get("comment", "")) for field in SCHEMA
    }
