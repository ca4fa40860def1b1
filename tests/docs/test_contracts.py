"""docs/contracts.md tells of every kind of change the policies that a contract may have."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from docs.contract_tables import with_tables
from millstream.contracts.contract import Drift
from millstream.publishing.compatibility import WIDENINGS
from millstream.settings import CHECKOUT

TEXT = (CHECKOUT / "docs" / "contracts.md").read_text()


@pytest.mark.parametrize("kind", list(Drift.model_fields))
def test_every_kind_has_its_policies_with_the_default_first(kind: str) -> None:
    field = Drift.model_fields[kind]
    (row,) = re.findall(rf"^\| `{kind}` \| .* \| (.*) \|$", TEXT, re.MULTILINE)
    shown = re.findall(r"`(\w+)`", row)
    assert shown[0] == field.default
    assert sorted(shown) == sorted(get_args(field.annotation))


def test_the_types_that_may_be_widened_are_the_codes() -> None:
    (row,) = re.findall(r"^\| (`int` to .*) \| compatible \|$", TEXT, re.MULTILINE)
    shown = set()
    for part in row.split(", "):
        old, *new = re.findall(r"`(\w+)`", part)
        shown |= {(old, wider) for wider in new}
    assert shown == WIDENINGS


def test_formats_and_options_are_the_codes() -> None:
    """`python docs/contract_tables.py` writes them."""
    assert with_tables(TEXT) == TEXT
