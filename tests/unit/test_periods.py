"""Years, months, days and hours that datasets are cut by."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

import pytest

from millstream.contracts.contract import Contract
from millstream.contracts.periods import PATTERNS, following, grain_of, is_month, period_at, periods
from millstream.errors import ContractError
from millstream.landing.manifest import LANDED
from millstream.quality.parameters import run_parameters
from tests.unit.test_contract import changed

EACH = {"year": "2013", "month": "2013-02", "day": "2013-02-28", "hour": "2013-02-28T23"}


def cut(**partition: Any) -> Contract:
    source = {"kind": "files", "connection": "drop", "path": "{partition}.csv", "format": "csv"}
    return Contract.from_dict(
        changed(source=source, load="partition", partition=partition), origin="orders.yaml"
    )


def test_periods_cross_the_year() -> None:
    assert periods("2013-11", "2014-02") == ["2013-11", "2013-12", "2014-01", "2014-02"]
    assert periods("2012", "2014") == ["2012", "2013", "2014"]
    assert periods("2012-02-28", "2012-03-01") == ["2012-02-28", "2012-02-29", "2012-03-01"]
    assert periods("2013-12-31T23", "2014-01-01T00") == ["2013-12-31T23", "2014-01-01T00"]
    assert len(periods("2013-01-01", "2013-12-31")) == 365


@pytest.mark.parametrize(("grain", "period"), EACH.items())
def test_a_period_tells_its_grain(grain: Any, period: str) -> None:
    assert grain_of(period) == grain
    assert is_month(period) == (grain == "month")
    assert period_at(datetime(2013, 2, 28, 23, 59), grain) == period
    assert [name for name, shape in PATTERNS.items() if re.fullmatch(shape, period)] == [grain]
    assert LANDED.fullmatch(f"landing/orders/partition={period}/0123456789ab-a.csv")


@pytest.mark.parametrize(
    "text",
    ["", "2013-1", "2013-13", "2013-02-30", "2013-02-28T24", "2013-02-28 23", "0013", "2013-02\n"],
)
def test_what_is_no_period_is_refused(text: str) -> None:
    assert grain_of(text) is None
    with pytest.raises(ContractError, match="a period is written YYYY, YYYY-MM, "):
        periods(text, "2014-02")


def test_a_range_that_ends_before_it_starts_or_has_two_grains_is_refused() -> None:
    with pytest.raises(ContractError, match="2013-05 to 2013-04"):
        periods("2013-05", "2013-04")
    with pytest.raises(ContractError, match="two grains: 2013-05 to 2013-06-01"):
        periods("2013-05", "2013-06-01")


def test_text_order_is_that_of_time() -> None:
    for period in EACH.values():
        assert period < following(period)


@pytest.mark.parametrize(
    ("grain", "start", "last"),
    [("year", 2013, "2014"), ("month", "2013-11", "2014-03"), ("day", date(2014, 3, 1), "2014-03-09")],
)
def test_a_contract_knows_its_sources_periods(grain: str, start: Any, last: str) -> None:
    of = cut(grain=grain, start=start)
    assert of.partition is not None
    assert of.partition.column == grain
    found = of.periods_at(datetime(2014, 3, 9, 15, tzinfo=UTC))
    assert (found[0], found[-1]) == (str(start), last)


def test_the_last_day_of_a_source_ends_with_its_last_hour() -> None:
    source = {"kind": "files", "connection": "drop", "path": "{partition}.csv", "format": "csv"}
    partition = {"grain": "hour", "start": "2024-02-28T22"}
    ended = changed(source=source, load="partition", partition=partition, end_date="2024-02-29")
    found = Contract.from_dict(ended, origin="orders.yaml").periods_at(datetime(2026, 1, 1, tzinfo=UTC))
    assert (len(found), found[-1]) == (26, "2024-02-29T23")


@pytest.mark.parametrize(
    ("partition", "said"),
    [
        ({"grain": "day", "start": "2013-01"}, "start: a day is written YYYY-MM-DD, found '2013-01'"),
        ({"start": "2013-01-01"}, "start: a month is written YYYY-MM, found '2013-01-01'"),
        ({"grain": "week", "start": "2013-01"}, "grain: Input should be 'year', 'month', 'day' or 'hour'"),
        ({"grain": "day", "start": "2013-02-30"}, "start: Value error, not a period"),
        ({"grain": "year", "start": True}, "start"),
    ],
)
def test_a_start_that_is_none_of_the_grain_is_refused(partition: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=re.escape(said)):
        cut(**partition)


def test_suites_know_the_days_of_a_run() -> None:
    told = {grain: run_parameters([period, following(period)]) for grain, period in EACH.items()}
    assert {grain: (one["first_date"], one["last_date"], one["days"]) for grain, one in told.items()} == {
        "year": ("2013-01-01", "2014-12-31", 730),
        "month": ("2013-02-01", "2013-03-31", 59),
        "day": ("2013-02-28", "2013-03-01", 2),
        "hour": ("2013-02-28", "2013-03-01", pytest.approx(2 / 24)),
    }
