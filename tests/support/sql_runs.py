"""Runs of a SQL source's extractor, as the orchestrator makes them, and a register of planes to read."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from millstream.contracts.contract import Contract
from millstream.errors import SourceDataError
from millstream.formats.readers.parquet import UNFIT
from millstream.lake.storage import Storage
from millstream.landing.manifest import read_manifest
from millstream.landing.run import Landing
from millstream.sources.sql import SqlExtractor, SqlSlice


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(spelled(engine, statement)))


def spelled(engine: sa.Engine, statement: str) -> str:
    """As MariaDB spells names, times with a fraction, and texts of which `a` and `Ä` are two."""
    if engine.dialect.name != "mariadb":
        return statement
    statement = statement.replace('"', "`").replace("TIMESTAMP", "DATETIME(6)")
    return statement.replace("VARCHAR(9)", "VARCHAR(9) COLLATE utf8mb4_bin")


def contract(
    columns="tailnum:string seats:int", table="planes", key="tailnum", watermark=None, **more
) -> Contract:
    source = {"kind": "sql", "connection": "register", "table": table, "key": key, "watermark": watermark}
    source |= {name: more.pop(name) for name in ("batch_rows", "lookback") if name in more}
    if isinstance(columns, str):
        pairs = [pair.split(":") for pair in columns.split()]
        columns = [{"name": name, "type": kind, "description": name * 3} for name, kind in pairs]
    return Contract.from_dict(
        {
            "dataset": "planes",
            "version": 1,
            "description": "Planes in a register.",
            "owner": "data",
            "source": source,
            "load": "watermark" if watermark else "full",
            "start_date": "2013-01-01",
            "columns": columns,
            "primary_key": [columns[0]["name"]],
            **more,
        },
        origin="planes.yaml",
    )


PLANES = "CREATE TABLE planes (tailnum VARCHAR(6) NOT NULL PRIMARY KEY, seats INTEGER)"
THREE_PLANES = "INSERT INTO planes VALUES ('N1', 55), ('N2', NULL), ('N3', 182)"


def as_single_files(manifest):
    return [manifest.model_copy(update={"files": (file,)}) for file in manifest.files]


class Try:
    """One try of a run: plan, each slice through JSON as the orchestrator hands it over, manifest."""

    def __init__(self, engine, lake: Path, wanted: Contract | None = None, run="1") -> None:
        self.extractor = SqlExtractor(wanted or contract(), engine)
        self.storage = Storage(f"file://{lake}")
        self.lake = lake
        self.run = run

    def plan(self, watermark=None) -> list[SqlSlice]:
        pieces = self.extractor.plan([], watermark)
        return [SqlSlice.model_validate(json.loads(piece.model_dump_json())) for piece in pieces]

    def land(self, watermark=None):
        files = [
            file
            for piece in self.plan(watermark)
            for file in self.extractor.fetch(piece, Landing(self.storage, "planes", self.run))
        ]
        return Landing(self.storage, "planes", self.run).commit([], files, watermark)

    def table(self, manifest) -> pa.Table:
        """What has landed, in the table's own columns."""
        found = pa.concat_tables([pq.read_table(self.lake / file.path) for file in manifest.files])
        return found.drop_columns([UNFIT]) if UNFIT in found.column_names else found

    def landed(self, watermark=None) -> list[dict]:
        return self.table(self.land(watermark)).to_pylist()

    def has_landed(self) -> bool:
        try:
            read_manifest(self.storage, "planes", self.run)
        except SourceDataError:
            return False
        return True


# The register's clock at midnight of 1 January 2013, plus some seconds.
def at(seconds: int) -> str:
    return (datetime(2013, 1, 1) + timedelta(seconds=seconds)).isoformat(" ") + ".000000"


INCREMENTAL = contract(watermark="updated_at")


def tailnums(rows: list[dict]) -> list[str]:
    return [row["tailnum"] for row in rows]


def where(engine: sa.Engine) -> str:
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return f"table planes of sqlite:///{url.database}"
    return f"table planes of {url.get_backend_name()}://127.0.0.1:{url.port}/{url.database}"
