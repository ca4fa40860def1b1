"""Where a stream goes on: by the newest account alone."""

from __future__ import annotations

import pytest

from millstream.errors import StreamPositionError
from millstream.lake.accounts import Account
from millstream.lake.offsets import Offsets
from millstream.streams.position import Read, advance, begin
from millstream.streams.topic import Topic

TABLE, NAME, ID = "silver.flight_events", "flights", "first"


def account(start: dict[int, int], end: dict[int, int], topic_id: str = ID) -> Account:
    return Account(
        table=TABLE,
        run="stream-1",
        partitions={},
        verdict={},
        suite_version="s",
        code_version="c",
        offsets=Offsets(topic=NAME, topic_id=topic_id, start=start, end=end),
    )


AT_5_AND_3 = account({0: 2, 1: 3}, {0: 5, 1: 3})


def test_a_new_table_begins_at_what_the_topic_still_has() -> None:
    assert begin(TABLE, None, Topic(NAME, ID, {0: 7, 1: 0}, {0: 9, 1: 4})) == {0: 7, 1: 0}


def test_it_goes_on_where_the_newest_account_ends_and_a_new_partition_begins_at_0() -> None:
    topic = Topic(NAME, ID, {0: 1, 1: 0, 2: 0}, {0: 9, 1: 4, 2: 0})

    assert begin(TABLE, AT_5_AND_3, topic) == {0: 5, 1: 3, 2: 0}


@pytest.mark.parametrize(
    ("topic", "told"),
    [
        (Topic(NAME, "second", {0: 0, 1: 0}, {0: 9, 1: 9}), "now has id second"),
        (Topic("other", ID, {0: 0, 1: 0}, {0: 9, 1: 9}), "topic other"),
        (
            Topic(NAME, ID, {0: 6, 1: 0}, {0: 9, 1: 9}),
            "flights/0 goes on at offset 5, .* has 6 to 9",
        ),
        (
            Topic(NAME, ID, {0: 0, 1: 0}, {0: 9, 1: 2}),
            "flights/1 goes on at offset 3, .* has 0 to 2",
        ),
        (Topic(NAME, ID, {0: 0, 1: 0, 2: 4}, {0: 9, 1: 9, 2: 9}), "flights/2 goes on at offset 0"),
    ],
)
def test_a_topic_that_does_not_go_on_there_stops_it(topic: Topic, told: str) -> None:
    with pytest.raises(StreamPositionError, match=told):
        begin(TABLE, AT_5_AND_3, topic)


def test_a_commit_moves_on_the_partitions_that_were_read() -> None:
    offsets = advance(TABLE, AT_5_AND_3, NAME, ID, {0: Read(5, 9, 5), 2: Read(0, 1, 2)}, {})

    assert offsets.start == {0: 5, 1: 3, 2: 0}
    assert offsets.end == {0: 10, 1: 3, 2: 2}
    assert offsets.position == 15


@pytest.mark.parametrize(
    ("read", "told"),
    [
        ({0: Read(6, 9, 4)}, "the next offset is 5, and 6 came"),
        ({0: Read(4, 9, 6)}, "the next offset is 5, and 4 came"),
        ({2: Read(1, 1, 1)}, "the next offset is 0, and 1 came"),
        ({0: Read(5, 9, 4)}, "compacted, or written in transactions"),
    ],
)
def test_a_gap_stops_it(read: dict[int, Read], told: str) -> None:
    with pytest.raises(StreamPositionError, match=told):
        advance(TABLE, AT_5_AND_3, NAME, ID, read, {})


def test_a_table_without_an_account_begins_where_the_other_one_began_or_not_at_all() -> None:
    """Its first commit did not come, and what the other has read may have left the topic since."""
    other = account({0: 2, 1: 0}, {0: 100, 1: 0})

    assert begin(TABLE, None, Topic(NAME, ID, {0: 0, 1: 0}, {0: 200, 1: 4}), other) == {0: 2, 1: 0}
    with pytest.raises(StreamPositionError, match=r"goes on at offset 2, .* has 50 to 200"):
        begin(TABLE, None, Topic(NAME, ID, {0: 50, 1: 0}, {0: 200, 1: 4}), other)
    with pytest.raises(StreamPositionError, match="now has id second"):
        begin(TABLE, None, Topic(NAME, "second", {0: 0, 1: 0}, {0: 200, 1: 4}), other)


def test_the_first_account_has_partitions_that_nothing_was_read_of() -> None:
    """All records of partition 1 had expired: it goes on at 500, where nothing is gone."""
    topic = Topic(NAME, ID, {0: 0, 1: 500}, {0: 9, 1: 500})
    offsets = advance(TABLE, None, NAME, ID, {0: Read(0, 8, 9)}, begin(TABLE, None, topic))

    assert begin(TABLE, account(offsets.start, offsets.end), topic) == {0: 9, 1: 500}


def test_a_first_commit_that_lacks_the_begin_stops_it() -> None:
    with pytest.raises(StreamPositionError, match="the next offset is 2, and 4 came"):
        advance(TABLE, None, NAME, ID, {0: Read(4, 9, 6)}, {0: 2})
