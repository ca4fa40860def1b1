"""`make new` on a table of PostgreSQL with arrays, JSON and bytes."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
import yaml

from millstream.contracts.contract import Contract
from millstream.lake.storage import Storage
from millstream.landing.run import Landing
from millstream.sources.sql import SqlExtractor
from millstream_stack.commands.new.contracts import contract_text
from millstream_stack.commands.new.databases import at_table


def test_arrays_json_and_bytes_have_their_types(postgres: sa.Engine) -> None:
    with postgres.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE planes (id int PRIMARY KEY, tags text[], prices numeric(8,2)[], doc jsonb, "
                "photo bytea)"
            )
        )
        connection.execute(sa.text("INSERT INTO planes VALUES (1, '{x}', '{0.10}', '{}', NULL)"))
    text = contract_text("planes", at_table(postgres, "shop", "planes"))
    contract = Contract.from_dict(yaml.safe_load(text), "planes.yaml", stem="planes")
    assert {column.name: column.type for column in contract.columns} == {
        "id": "int",
        "tags": "array<string>",
        "prices": "array<decimal(8,2)>",
        "doc": "json",
        "photo": "binary",
    }


def test_small_numbers_times_and_moments_without_a_zone(postgres: sa.Engine, tmp_path: Path) -> None:
    with postgres.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE visits (id int PRIMARY KEY, seats smallint, opens time, "
                '"lastChange" timestamptz, "LastUpdated" timestamp)'
            )
        )
        connection.execute(
            sa.text("INSERT INTO visits VALUES (1, 7, '08:15', '2024-05-01Z', '2024-05-01 10:00')")
        )
    text = contract_text("visits", at_table(postgres, "shop", "visits"))
    contract = Contract.from_dict(yaml.safe_load(text), "visits.yaml", stem="visits")
    assert {column.name: column.type for column in contract.columns} == {
        "id": "int",
        "seats": "smallint",
        "opens": "time",
        "last_change": "timestamp",
        "last_updated": "timestamp_ntz",
    }
    assert (contract.load, contract.source.model_dump()["watermark"]) == ("watermark", "LastUpdated")
    # And a run reads it so.
    extractor = SqlExtractor(contract, postgres)
    landing = Landing(Storage(f"file://{tmp_path}"), "visits", "1")
    files = [file for piece in extractor.plan([]) for file in extractor.fetch(piece, landing)]
    assert [(file.rows, file.watermark) for file in files] == [(1, "2024-05-01T10:00:00")]
