"""What a publish decides to write: on histories in memory, without Spark and without a lake."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from millstream.contracts.drift import Change
from millstream.errors import ConservationError, QualityGateError
from millstream.landing.manifest import LandedFile, Manifest
from millstream.publishing.decide import decide, require_passed
from millstream.publishing.request import Request
from millstream.publishing.state import LakeState
from millstream.quality.verdict import Verdict
from tests.support.publications import (
    BOTH,
    NOON,
    PATH,
    TABLE,
    Counts,
    Lake,
    four,
    increment,
    lake_with,
    months,
    verdict,
    whole,
)


def by_hand(operation: str) -> Callable[[Lake], None]:
    return lambda lake: lake.commit(lake.table, None, operation)


def nothing(lake: Lake) -> None:
    """Nothing has been done since."""


@pytest.mark.parametrize(
    ("published", "since", "request_", "counts", "changed"),
    [
        ([], nothing, months("r2", "2013-01"), None, True),
        ([months("r1", "2013-01")], nothing, months("r2", "2013-01"), None, False),
        ([months("r1", "2013-01")], nothing, months("r2", "2013-01"), {"2013-01": four("2")}, True),
        ([months("r1", "2013-01")], nothing, months("r2", "2013-02"), None, True),
        ([months("r1", "2013-01")], nothing, months("r2", *BOTH), None, True),
        ([months("r1", *BOTH)], nothing, months("r2", "2013-02"), None, False),
        ([months("r1", "2013-01")], nothing, months("r2", "2013-01", contract_version=2), None, True),
        (
            [months("r1", "2013-01")],
            nothing,
            months("r2", "2013-01", drift=(Change(kind="added", column="wings", policy="evolve"),)),
            None,
            True,
        ),
        ([months("r1", "2013-01")], by_hand("OPTIMIZE"), months("r2", "2013-01"), None, False),
        ([months("r1", "2013-01")], by_hand("ADD CONSTRAINT"), months("r2", "2013-01"), None, False),
        ([months("r1", "2013-01")], by_hand("DELETE"), months("r2", "2013-01"), None, True),
        ([months("r1", "2013-01")], by_hand("RESTORE"), months("r2", "2013-01"), None, True),
        ([months("r1", "2013-01")], by_hand("SHUFFLE"), months("r2", "2013-01"), None, True),
        # What the whole table had of a month that is no more.
        ([whole("r1", 8)], nothing, whole("r2"), {"2013-01": four()}, True),
        ([whole("r1")], nothing, whole("r2"), None, False),
        # The newest increment's account says nothing of the rows of those before.
        ([increment("r1"), increment("r2")], nothing, whole("r3"), None, True),
        ([increment("r1"), increment("r2")], nothing, increment("r1"), None, False),
        ([increment("r1")], nothing, increment("r2"), None, False),
        ([increment("r1")], nothing, increment("r2", "2013-02-01"), None, True),
        # A replay tells nothing of how far the source has been read.
        ([increment("r1")], nothing, increment("r1", None, replay="q"), None, False),
        # Both increments have the same counts: each is held against its own account.
        ([increment("r1"), increment("r2")], nothing, increment("r1"), {"all": four(dropped=1)}, True),
    ],
    ids=[
        "nothing published",
        "the same rows",
        "other rows",
        "another month",
        "a month more",
        "a month of two",
        "another contract",
        "drift",
        "compacted since",
        "constrained since",
        "deleted by hand since",
        "restored since",
        "changed by what is not known",
        "whole, of fewer months",
        "whole, the same",
        "whole, after increments",
        "an increment again",
        "an increment's rows by another run",
        "an increment read further",
        "an increment replayed",
        "an increment with a decision",
    ],
)
def test_nothing_is_written_where_the_accounts_say_the_same(
    published: list[Request],
    since: Callable[[Lake], None],
    request_: Request,
    counts: Counts | None,
    changed: bool,
) -> None:
    lake = Lake()
    for request in published:
        lake.publish(request, {month: four() for month in BOTH} if request.rows_read == 8 else None)
    since(lake)
    assert lake.decide(request_, counts).changed is changed


def test_another_suite_publishes_the_same_rows_again() -> None:
    assert lake_with(months("r1", "2013-01")).decide(months("r2", "2013-01"), suite_version="s2").changed


def test_a_month_that_is_no_more_leaves_a_whole_table_and_may_come_back() -> None:
    lake, both, january = Lake(), {month: four() for month in BOTH}, {"2013-01": four()}
    lake.publish(whole("r1", 8), both)
    assert lake.decide(whole("r2"), january).changed
    lake.publish(whole("r2"), january)
    assert not lake.decide(whole("r3"), january).changed
    assert lake.decide(whole("r4", 8), both).changed


def test_a_publish_that_ended_between_its_commits_is_made_up_for() -> None:
    """The quarantine is another run's, and the bytes come back that the table was made of."""
    lake, broken = Lake(), {"2013-01": four(quarantined=1)}
    lake.publish(months("r1", "2013-01"), broken)
    lake.publish(months("r2", "2013-01"), cut_off=True)
    assert lake.decide(months("r3", "2013-01"), broken).changed
    lake.publish(months("r3", "2013-01"), broken)
    assert not lake.decide(months("r4", "2013-01"), broken).changed


@pytest.mark.parametrize(
    ("published", "request_", "scope", "condition", "of_quarantine"),
    [
        ([], months("r", "2013-01"), "partitions", "month IN ('2013-01')", "_partition IN ('2013-01')"),
        (
            [],
            months("r", *BOTH),
            "partitions",
            "month IN ('2013-01', '2013-02')",
            "_partition IN ('2013-01', '2013-02')",
        ),
        ([whole("r0")], whole("r"), "table", None, None),
        # Into a table that has nothing yet, a merge would be a dear way to write.
        ([], increment("r"), "table", None, "_run = 'r'"),
        ([increment("r0")], increment("r"), "rows", None, "_run = 'r'"),
    ],
    ids=["a month", "months", "whole", "first increment", "later increment"],
)
def test_what_the_rows_take_the_place_of(
    published: list[Request],
    request_: Request,
    scope: str,
    condition: str | None,
    of_quarantine: str | None,
) -> None:
    made = lake_with(*published).decide(request_)
    assert (made.scope, made.condition, made.quarantine_condition) == (scope, condition, of_quarantine)


def test_an_increment_is_written_whole_into_a_table_that_was_only_created() -> None:
    lake = Lake()
    lake.commit(lake.table, None, "CREATE TABLE")
    assert lake.decide(increment("r1")).scope == "table"


def test_an_increment_replaces_broken_rows_of_its_files_whichever_run_brought_them() -> None:
    file = LandedFile(path=PATH, source="s", size=1, sha256="0", landed_at=NOON, status="new")
    manifest = Manifest(dataset="flights", run="r", key="r", fetch_began=NOON, partitions=(), files=(file,))
    made = Lake().decide(increment("r"), manifest=manifest)
    assert made.quarantine_condition == (
        "_run = 'r' OR substring_index(_source_row_id, '#', 1) IN ('landing/flights/0123456789ab-a.csv')"
    )


def test_there_is_no_quarantine_before_the_first_row_for_it_and_a_healed_source_empties_it() -> None:
    lake = Lake()
    assert not lake.decide(months("r1", "2013-01")).has_quarantine
    lake.publish(months("r1", "2013-01"), {"2013-01": four(quarantined=2)})
    assert lake.quarantine
    healed = lake.decide(months("r2", "2013-01"))
    assert (healed.changed, healed.has_quarantine, healed.account.quarantined) == (True, True, 0)


@pytest.mark.parametrize(
    ("published", "counts", "may_be_known"),
    [
        ([], {"all": four()}, False),
        ([increment("r1")], {"all": four("2")}, True),
        ([increment("r1")], {"all": four(quarantined=1)}, False),
        ([increment("r1"), increment("r2")], {"all": four("2")}, False),
    ],
    ids=["nothing published", "by another run", "broken rows", "by this run"],
)
def test_the_rows_of_an_increment_are_looked_for_where_no_account_of_it_tells(
    published: list[Request], counts: Counts, may_be_known: bool
) -> None:
    assert lake_with(*published).decide(increment("r2"), counts).may_be_known is may_be_known


@pytest.mark.parametrize(
    ("request_", "counts", "judged", "error", "message"),
    [
        (
            months("r1", "2013-01", rows_read=5),
            {"2013-01": four()},
            0,
            ConservationError,
            "5 rows were read from the source but written 4",
        ),
        (
            months("r1", "2013-01"),
            {"2013-01": four().model_copy(update={"written": 3})},
            0,
            ConservationError,
            r"written 3 .* = 3\. Nothing was published",
        ),
        (
            months("r1", "2013-01"),
            {"2013-01": four(quarantined=1)},
            0,
            QualityGateError,
            "the gate counted 0 rows for quarantine, publishing 1",
        ),
    ],
    ids=["lost before", "lost on the way", "judged otherwise"],
)
def test_rows_that_are_not_the_ones_that_were_read_and_judged_are_not_published(
    request_: Request, counts: Counts, judged: int, error: type[Exception], message: str
) -> None:
    broken = sum(one.quarantined for one in counts.values())
    with pytest.raises(error, match=message):
        decide(request_, counts, broken, verdict(quarantined_rows=judged), LakeState(Lake().histories()))


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (None, "there is no verdict on run r1.* clear the quality_gate task"),
        (verdict(staged_version=1), "the verdict is on silver.flights version 1, not on staged version 0"),
        (verdict(table="silver.planes"), "the verdict is on silver.planes version 0"),
        (verdict(passed=False, reason="3 rules"), "the quality gate did not pass: 3 rules"),
    ],
    ids=["none", "other version", "other table", "failed"],
)
def test_nothing_is_published_without_a_verdict_that_passed_on_just_these_rows(
    of: Verdict | None, message: str
) -> None:
    with pytest.raises(QualityGateError, match=message):
        require_passed(str(TABLE), 0, "r1", of)


def test_a_quarantine_that_was_taken_away_comes_back() -> None:
    lake, broken = Lake(), {"2013-01": four(quarantined=1)}
    lake.publish(months("r1", "2013-01"), broken)
    lake.quarantine.clear()
    assert lake.decide(months("r2", "2013-01"), broken).changed


def test_the_account_has_each_month_of_the_run_and_what_was_asked_besides() -> None:
    account = Lake().decide(months("r1", *BOTH, rows_read=4), {"2013-01": four()}, decisions=3).account
    assert {name: counts.read for name, counts in account.partitions.items()} == {"2013-01": 4, "2013-02": 0}
    assert account.inputs == {"ops.decisions": 3}
    assert (account.fetch_began, account.contract_version) == (NOON, 1)
    assert Lake().decide(whole("r1")).account.fetch_began is None
    empty = decide(whole("r1", 0), {}, 0, verdict(), LakeState(Lake().histories()))
    assert list(empty.account.partitions) == ["all"]


def test_what_was_landed_says_when_its_fetch_began() -> None:
    with pytest.raises(ValueError, match="needs fetch_began"):
        months("r1", "2013-01", fetch_began=None)
