"""Which months of a mart are made anew, by commits of its tables as their logs have them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.history import Commit, History
from millstream.lake.tables import TableRef
from millstream.publishing.mart_changes import changed_months

TABLE = TableRef.parse("silver.flights")
LATER = datetime(2030, 1, 1, tzinfo=UTC)
JAN, FEB, MAR = "2013-01", "2013-02", "2013-03"


def counts(rows: int, content: str) -> PartitionCounts:
    return PartitionCounts(read=rows, written=rows, quarantined=0, deduplicated=0, content_hash=content)


def publish(scope: str, **months: tuple[int, str]) -> dict[str, Any]:
    """A publish of `partitions`, of the whole `table`, or of `rows`; rows and hash by month, as `m01`."""
    account = Account(
        table=str(TABLE),
        run="r",
        partitions={name.replace("m", "2013-"): counts(*had) for name, had in months.items()},
        verdict={},
        suite_version="s",
        code_version="c",
    )
    more = {"predicate": "month IN ('x')"} if scope == "partitions" else {}
    operation = "MERGE" if scope == "rows" else "WRITE"
    return {"operation": operation, "metadata": account.model_dump_json(), **more}


def other(operation: str) -> dict[str, Any]:
    return {"operation": operation}


def history_of(*commits: dict[str, Any]) -> History:
    """The oldest first, from version 0."""
    made = [Commit(version=number, milliseconds=number, **one) for number, one in enumerate(commits)]
    return History(TABLE, tuple(reversed(made)))


START = (other("CREATE TABLE"), publish("table", m01=(1, "a"), m02=(2, "b")))


@pytest.mark.parametrize(
    ("later", "months"),
    [
        ([], set()),
        ([other("OPTIMIZE"), other("VACUUM END")], set()),
        ([publish("partitions", m02=(2, "c"))], {FEB}),
        ([publish("partitions", m02=(2, "c")), publish("partitions", m03=(1, "d"))], {FEB, MAR}),
        # The same rows once more, as after a change of the suite; and back to what they were.
        ([publish("partitions", m02=(2, "b"))], set()),
        ([publish("partitions", m01=(1, "x")), publish("partitions", m01=(1, "a"))], set()),
        # A month whose rows are all gone; and one that had none before.
        ([publish("partitions", m02=(0, "0"))], {FEB}),
        ([publish("partitions", m03=(0, "0"))], set()),
        # The whole table once more: the accounts say which months are others, and which are no more.
        ([publish("table", m01=(1, "a"), m02=(2, "c"))], {FEB}),
        ([publish("table", m01=(1, "a"))], {FEB}),
        ([publish("table", m01=(1, "a"), m02=(2, "b"), m03=(1, "d"))], {MAR}),
        ([publish("table", m01=(9, "x")), publish("partitions", m01=(1, "a"))], {FEB}),
    ],
)
def test_the_accounts_say_which_months_have_other_rows(later: list[dict[str, Any]], months: set[str]) -> None:
    read = history_of(*START, *later)
    assert changed_months(read, 1, len(read.commits) - 1, "month", LATER) == (months, "")


def test_what_came_after_the_version_that_is_read_is_of_the_next_run() -> None:
    read = history_of(*START, publish("partitions", m01=(1, "x")), publish("partitions", m02=(1, "y")))
    assert changed_months(read, 1, 2, "month", LATER) == ({JAN}, "")
    assert changed_months(read, 2, 3, "month", LATER) == ({FEB}, "")


@pytest.mark.parametrize(
    ("commits", "since", "why"),
    [
        ([*START, other("DELETE")], 1, "somebody has changed silver.flights: DELETE, version 2"),
        (
            [*START, other("RESTORE"), publish("partitions", m01=(1, "x"))],
            1,
            "changed silver.flights: RESTORE",
        ),
        ([*START, publish("rows", all=(1, "x"))], 1, "its accounts do not say in which months"),
        ([*START, publish("table", all=(1, "x"))], 1, "its accounts do not say in which months"),
        (
            # What the rows were that somebody added, and that are no more, no account says.
            [*START, other("WRITE"), publish("partitions", m01=(1, "x")), publish("table", m01=(1, "x"))],
            3,
            "which months silver.flights had is not known",
        ),
        ([*START, publish("rows", all=(1, "x")), publish("table", m01=(1, "a"))], 2, "had is not known"),
        ([*START], 7, "silver.flights is another table than before"),
        ([*START], -1, "silver.flights is another table than before"),
    ],
)
def test_what_the_history_does_not_say_leads_to_the_whole_table(
    commits: list[dict[str, Any]], since: int, why: str
) -> None:
    months, said = changed_months(history_of(*commits), since, len(commits) - 1, "month", LATER)
    assert months is None
    assert why in said


@pytest.mark.parametrize(
    "before", [publish("rows", all=(1, "x")), publish("table", all=(1, "x")), other("DELETE")]
)
def test_where_it_is_not_known_what_a_month_had_each_that_was_published_counts(
    before: dict[str, Any],
) -> None:
    """Also one that is now as it was before all that."""
    read = history_of(*START, before, publish("partitions", m02=(2, "b"), m03=(0, "0")))
    assert changed_months(read, 2, 3, "month", LATER) == ({FEB, MAR}, "")


def test_a_version_that_is_younger_than_what_was_made_of_it_is_of_another_table() -> None:
    read = history_of(*START, publish("partitions", m02=(2, "c")))
    before = read.commits[1].made_at.replace(year=1969)
    assert changed_months(read, 1, 2, "month", before) == (
        None,
        "silver.flights is another table than before",
    )


def test_a_table_that_is_not_cut_leads_to_the_whole_table_once_it_has_changed() -> None:
    read = history_of(*START, publish("table", all=(1, "x")), other("OPTIMIZE"))
    assert changed_months(read, 2, 3, None, LATER) == (set(), "")
    assert changed_months(read, 1, 3, None, LATER) == (
        None,
        "silver.flights has changed, which is not cut by months",
    )
