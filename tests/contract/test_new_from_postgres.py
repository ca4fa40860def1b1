"""`make new` on a table of PostgreSQL with arrays, JSON and bytes."""

from __future__ import annotations

import sqlalchemy as sa
import yaml

from millstream.contracts.contract import Contract
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
