"""How many rows may break a rule, and how shares are put in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from millstream.quality.allowance import allowed_rows, lowered, percent, within
from millstream.quality.suite import Suite
from millstream.settings import CHECKOUT

SUITES = sorted((CHECKOUT / "expectations").glob("*.json"))


@pytest.mark.parametrize("mostly", [0.0, 0.1, 0.5, 0.82, 0.9, 0.95, 0.99, 0.999, 1.0])
def test_as_many_rows_are_allowed_as_the_share_decides(mostly: float) -> None:
    for of in (*range(200), 1000, 1458, 24_951):
        allowed = allowed_rows(of, mostly)
        assert allowed <= of
        assert within(allowed, of, mostly)
        assert allowed == of or not within(allowed + 1, of, mostly)


def test_the_lowered_share_tolerates_exactly_so_many_rows() -> None:
    for of in range(1, 500):
        for tolerated in (1, 2, 3, 7):
            asked = lowered(1.0, of, tolerated)
            assert within(min(tolerated, of), of, asked)
            assert tolerated >= of or not within(tolerated + 1, of, asked)
    assert lowered(0.99, 24_951, 1) == 0.99
    assert lowered(0.99, 16, 0) == 0.99
    assert lowered(0.99, 0, 1) == 0.99


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0%"),
        (1 / 24_951, "under 0.01%"),
        (0.0001, "0.01%"),
        (1 / 9, "11.11%"),
        (0.05, "5%"),
        (0.3, "30%"),
        (24_950 / 24_951, "over 99.99%"),
        (1.0, "100%"),
    ],
)
def test_only_none_is_no_percent_and_only_all_are_a_hundred(share: float, words: str) -> None:
    assert percent(share) == words


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_no_handful_of_rows_stops_a_table_of_the_project(path: Path) -> None:
    suite = Suite.from_dict(json.loads(path.read_text(encoding="utf-8")))
    assert suite.meta.malformed_mostly < 1
    strict = [rule.label for rule in suite.quarantining if not rule.checks_uniqueness and rule.mostly >= 1]
    assert strict == []
    of_few = [rule.label for rule in suite.quarantining if not within(1, 16, suite.share_asked(rule, 16))]
    assert of_few == []
