"""docs/your-own-data.md: its commands write what it shows, and what it shows fits together."""

from __future__ import annotations

from pathlib import Path

from tests.support.documents import files_shown
from tests.support.your_own_data import PAGE, Reader, proposed


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    Reader(tmp_path).follow()


def test_by_hand_it_costs_few_lines() -> None:
    """What a person writes: what `make new` has not written of the contract, the mart, and its DAG file."""
    shown = files_shown(PAGE)
    known = proposed().splitlines()
    contract = shown["~/packages/dags/datasets/packages.yaml"].splitlines()
    mart = [line for path, text in shown.items() if "size_by_section" in path for line in text.splitlines()]
    by_hand = [line for line in [*contract, *mart] if line and line not in known]
    assert 10 < len(by_hand) <= 31
    assert max(map(len, by_hand)) <= 120
