"""Which of two publishes stands: on histories in memory, without Spark and without a lake."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.errors import ConservationError, SupersededError
from millstream.lake.accounts import PartitionCounts
from millstream.publishing.precedence import in_turn, is_newer
from millstream.publishing.request import Request
from tests.support.publications import (
    BOTH,
    HOUR,
    NOON,
    Counts,
    Lake,
    four,
    increment,
    lake_with,
    months,
    whole,
)


def test_a_slow_backfill_publishes_the_months_that_nobody_has_newer() -> None:
    lake = lake_with(months("daily", "2013-01", began=NOON + HOUR))
    made = lake.decide(months("backfill", *BOTH))
    assert (made.superseded, made.request.partitions, list(made.account.partitions)) == (
        ("2013-01",),
        ("2013-02",),
        ["2013-02"],
    )
    assert (made.condition, made.changed) == ("month IN ('2013-02')", True)


@pytest.mark.parametrize(
    ("request_", "months_read", "message"),
    [
        (
            months("slow", "2013-01"),
            ("2013-01",),
            "run slow began to fetch at 2026-01-01 12:00:00 UTC is older .* by daily",
        ),
        # What replaces the whole table is not published in part.
        (
            months("slow", rows_read=8, load="full", partition_column=None),
            BOTH,
            "run slow began to fetch .* is older",
        ),
    ],
    ids=["all its months", "the whole table"],
)
def test_what_is_older_than_what_is_published_is_refused(
    request_: Request, months_read: tuple[str, ...], message: str
) -> None:
    lake = lake_with(months("daily", "2013-01", began=NOON + HOUR))
    with pytest.raises(SupersededError, match=message):
        lake.decide(request_, {month: four("2") for month in months_read})


def test_a_run_is_not_older_than_itself() -> None:
    lake = lake_with(months("r1", *BOTH, began=NOON + HOUR))
    assert lake.decide(months("r1", "2013-01"), {"2013-01": four("2")}).superseded == ()


def test_an_increment_is_never_superseded_as_a_whole() -> None:
    assert lake_with(increment("r2", began=NOON + HOUR)).decide(increment("r1")).superseded == ()


@pytest.mark.parametrize(
    ("theirs", "ours", "newer"),
    [
        ({"silver.weather": 1}, {"silver.weather": 0}, True),
        ({"silver.weather": 1}, {"silver.weather": 1}, False),
        ({"silver.weather": 0}, {"silver.weather": 1}, False),
        ({"silver.weather": 1, "silver.planes": 0}, {"silver.weather": 0, "silver.planes": 0}, True),
        ({"silver.weather": 1, "silver.planes": 0}, {"silver.weather": 0, "silver.planes": 1}, False),
        # Made by other code, of other tables.
        ({"silver.weather": 1}, {"silver.weather": 0, "silver.planes": 0}, False),
        # The table was moved away, and the one in its place has not come as far.
        ({"silver.weather": 7}, {"silver.weather": 0}, False),
        # A champion may go back.
        ({"silver.weather": 1, "model.delay": 3}, {"silver.weather": 1, "model.delay": 2}, False),
        ({"silver.weather": 0, "ops.decisions": 9}, {"silver.weather": 0}, False),
        # Neither do the first decision and another model hide that a table is newer.
        ({"silver.weather": 1, "ops.decisions": 9}, {"silver.weather": 0}, True),
        ({"silver.weather": 1, "model.delay": 2}, {"silver.weather": 0}, True),
    ],
)
def test_what_is_made_of_tables_is_as_new_as_they_are(
    theirs: dict[str, int], ours: dict[str, int], newer: bool
) -> None:
    had, account = (
        Lake().decide(whole(run, inputs=inputs)).account for run, inputs in (("r1", theirs), ("r2", ours))
    )
    assert is_newer(had, account, {"silver.weather": 1, "silver.planes": 1}) is newer
    assert not is_newer(account, account, {"silver.weather": 1, "silver.planes": 1})


def test_a_publish_that_is_cleared_alone_brings_back_nothing_made_of_older_tables() -> None:
    lake = lake_with(
        whole("older", inputs={"silver.weather": 0}), whole("newer", inputs={"silver.weather": 1})
    )
    older = whole("older", inputs={"silver.weather": 0})
    with pytest.raises(
        SupersededError, match=r"made of earlier versions .* by newer: .* clear its first task"
    ):
        lake.decide(older, versions={"silver.weather": 1})
    assert not lake.decide(older, versions={"silver.weather": 0}).superseded


@pytest.mark.parametrize(
    ("others", "stands"),
    [
        ([], True),
        # An earlier try of the same run.
        ([{"run": "r2", "inputs": {"silver.weather": 2}}], True),
        ([{"run": "r3", "inputs": {"silver.weather": 3}}], False),
        ([{"run": "r3", "inputs": {"silver.weather": 2}, "code_version": "other"}], False),
    ],
)
def test_months_of_a_mart_come_beside_those_that_they_were_chosen_beside(
    others: list[dict[str, Any]], stands: bool
) -> None:
    lake = lake_with(whole("r1", inputs={"silver.weather": 1}))
    for other in others:
        lake.publish(months(other.pop("run"), "2013-02", contract=None, **other))
    request = months("r2", "2013-01", contract=None, inputs={"silver.weather": 2}, rest={"silver.weather": 1})
    if stands:
        assert lake.decide(request).changed
        return
    with pytest.raises(
        SupersededError, match=r"its other months are not those .* clear the task changed_inputs"
    ):
        lake.decide(request)


def test_months_of_a_mart_come_beside_nothing_that_somebody_has_changed() -> None:
    lake = lake_with(whole("r1", inputs={"silver.weather": 1}))
    lake.commit(lake.table, None, "DELETE")
    request = months("r2", "2013-01", contract=None, inputs={"silver.weather": 2}, rest={"silver.weather": 1})
    with pytest.raises(SupersededError, match="its other months are not those"):
        lake.decide(request)


@pytest.mark.parametrize(
    ("since", "counts", "error", "message"),
    [
        (
            months("r2", "2013-01", began=NOON + HOUR),
            {"2013-01": four("2")},
            SupersededError,
            "is not, or no",
        ),
        (
            months("r1", "2013-01", began=NOON + HOUR),
            {"2013-01": four("2")},
            SupersededError,
            "published anew",
        ),
        (
            None,
            {"2013-01": PartitionCounts(read=3, written=3, quarantined=0, deduplicated=0, content_hash="2")},
            ConservationError,
            "run r1 had read 4 rows, the lake now has 3",
        ),
        (None, {"2013-01": four("2")}, None, ""),
    ],
    ids=["another run", "its own run anew", "rows are gone", "as it was"],
)
def test_a_replay_puts_its_runs_rows_in_the_place_of_themselves_alone(
    since: Request | None, counts: Counts, error: type[Exception] | None, message: str
) -> None:
    lake = lake_with(months("r1", "2013-01"), *([since] if since else []))
    replay = months("r1", "2013-01", replay="q1", rows_read=counts["2013-01"].read)
    if error is None:
        assert lake.decide(replay, counts).account.replay == "q1"
        return
    with pytest.raises(error, match=message):
        lake.decide(replay, counts)


@pytest.mark.parametrize(
    ("run", "replay", "sequence", "expected"),
    [
        ("r2", None, 11, 11),
        # Others have published since it began.
        ("r2", None, 9, 11),
        ("r1", "q1", 9, 11),
        # A later attempt of its own stays.
        ("r1", None, 9, 9),
    ],
)
@pytest.mark.parametrize("cut_off", [False, True])
def test_an_attempt_goes_behind_what_others_have_published_since_it_began(
    run: str, replay: str | None, sequence: int, expected: int, cut_off: bool
) -> None:
    lake = Lake()
    lake.publish(months("r1", "2013-01", sequence=10), {"2013-01": four(quarantined=1)}, cut_off)
    request = months(run, "2013-01", sequence=sequence, replay=replay)
    assert in_turn(request, lake.histories()).sequence == expected
