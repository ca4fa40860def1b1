"""docs/contracts.md has every type, format and option, and the policies of every kind of change."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from docs.contract_tables import with_tables
from millstream.contracts.contract import Drift
from millstream.settings import CHECKOUT

TEXT = (CHECKOUT / "docs" / "contracts.md").read_text()


@pytest.mark.parametrize("kind", list(Drift.model_fields))
def test_every_kind_has_its_policies_with_the_default_first(kind: str) -> None:
    field = Drift.model_fields[kind]
    (row,) = re.findall(rf"^\| `{kind}` \| .* \| (.*) \|$", TEXT, re.MULTILINE)
    shown = re.findall(r"`(\w+)`", row)
    assert shown[0] == field.default
    assert sorted(shown) == sorted(get_args(field.annotation))


def test_types_formats_and_options_are_the_codes() -> None:
    """`python docs/contract_tables.py` writes them."""
    assert with_tables(TEXT) == TEXT
