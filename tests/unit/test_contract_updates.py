"""What a contract may say of the rows that a table has, and what of it means nothing."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.contracts.contract import Contract
from millstream.contracts.unsaid import unsaid
from millstream.contracts.updates import SoftDelete
from millstream.errors import ContractError

FILES = {"kind": "files", "connection": "drop", "format": "jsonl", "path": "events/*.jsonl"}
TABLE = {"kind": "sql", "connection": "shop", "table": "orders", "key": "id", "watermark": "changed"}
COLUMNS = [
    {"name": "id", "type": "int"},
    {"name": "changed", "type": "timestamp", "nullable": False},
    {"name": "state", "rename": "condition"},
    {"name": "gone", "type": "boolean", "true_values": ["ja"], "false_values": ["nein"]},
    {"name": "price", "type": "double"},
]


def contract(**entries: Any) -> Contract:
    usual = {"dataset": "orders", "source": FILES, "primary_key": ["id"], "columns": COLUMNS}
    return Contract.from_dict({**usual, **entries}, origin="orders.yaml")


def test_nothing_said_is_first_and_ignored() -> None:
    made = contract()
    assert (made.latest_by, made.soft_delete, made.compares_keys, made.history) == (None, None, False, None)


def test_what_is_said_survives_a_journey_as_json() -> None:
    said = {
        "load": "append",
        "keep": "latest by changed",
        "history": "scd2",
    }
    made = Contract.from_dict(contract(**said).model_dump(mode="json"), origin="again")
    assert (made.load, made.latest_by, made.history) == ("append", "changed", "scd2")
    assert contract(deletes="soft: gone = ja").soft_delete == SoftDelete("gone", "ja")
    assert contract(deletes="soft: state = sent back").soft_delete == SoftDelete("state", "sent back")


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"keep": "last"}, "keep: String should match pattern"),
        ({"keep": "latest by updated"}, "keep: not among the columns: updated"),
        ({"keep": "latest by state"}, "says which row is the latest; state is string"),
        ({"keep": "latest by price"}, "says which row is the latest; price is double"),
        ({"deletes": "some"}, "deletes: String should match pattern"),
        ({"deletes": "soft: nothing = x"}, "deletes: not among the columns: nothing"),
        ({"deletes": "soft: gone = true"}, "'true' is no value of gone, which is boolean"),
        ({"deletes": "soft: id = first"}, "'first' is no value of id, which is int"),
        ({"deletes": "soft: price = 1"}, "marks deleted rows; price is double"),
        ({"deletes": "compare_keys"}, "'compare_keys' is for a table of a database with load 'watermark'"),
        ({"deletes": "compare_keys", "source": TABLE}, "is for a table of a database with load 'watermark'"),
        ({"load": "append", "deletes": "soft: gone = ja"}, "with load 'append' the first row of a key stays"),
        ({"load": "append", "source": TABLE}, "a source of kind sql has none: use 'watermark'"),
        ({"max_deleted_share": 0}, "max_deleted_share"),
        ({"history": "scd2"}, "history: needs keep 'latest by' a date or timestamp"),
        ({"history": "scd2", "keep": "latest by id", "load": "append"}, "history: needs keep 'latest by'"),
        ({"history": "scd2", "keep": "latest by changed"}, "load 'watermark' or 'append' brings"),
        (
            {
                **{"history": "scd2", "keep": "latest by changed", "load": "watermark", "source": TABLE},
                "deletes": "compare_keys",
            },
            "keys that are gone do not say when",
        ),
    ],
)
def test_what_means_nothing_is_refused_when_the_dag_is_read(entries: dict[str, Any], why: str) -> None:
    with pytest.raises(ContractError, match=why):
        contract(**entries)


def test_that_deleted_rows_stay_is_said_unless_somebody_has_decided_so() -> None:
    words = "deletes: what is deleted at the source stays in the table"
    by_watermark = {"load": "watermark", "source": TABLE}
    assert words in unsaid(contract(**by_watermark))
    assert words not in unsaid(contract(**by_watermark, deletes="ignore"))
    assert words not in unsaid(contract())
