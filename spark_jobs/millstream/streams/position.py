"""Where a table's stream goes on: decided from its newest account and from what was read, without Spark.

The newest account is the truth, not the checkpoint of Spark: what lies below its end was committed and is
skipped, and what does not go on there stops the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from millstream.errors import ConfigurationError, StreamPositionError
from millstream.lake import history
from millstream.lake.accounts import Account
from millstream.lake.history import History
from millstream.lake.offsets import Offsets
from millstream.lake.tables import TableRef
from millstream.streams.topic import Topic


@dataclass(frozen=True)
class Read:
    """What was read of one partition: its first and last offset, and how many records."""

    first: int
    last: int
    records: int


def ends(account: Account | None) -> dict[int, int]:
    """Of each partition the next offset to read, by a table's newest account; empty where there is none."""
    return dict(account.offsets.end) if account is not None and account.offsets is not None else {}


def offsets_at(table: TableRef, lake_root: str, version: int) -> Offsets:
    """How far of its topic `table` had read at `version`.

    Raises: ConfigurationError: no account of a stream stood in it then.
    """
    commits = history.read(table, lake_root).commits
    then = History(table, tuple(commit for commit in commits if commit.version <= version))
    for account in then.standing:
        if account.offsets is not None:
            return account.offsets
    raise ConfigurationError(f"{table}: no stream had committed to it at version {version}")


def require_same_topic(table: str, account: Account | None, topic: str, topic_id: str) -> None:
    """Raise StreamPositionError when the account is of another topic, or of an earlier one of this name."""
    if account is None or account.offsets is None:
        return
    recorded = account.offsets
    if (recorded.topic, recorded.topic_id) != (topic, topic_id):
        raise StreamPositionError(
            f"{table} has read topic {recorded.topic} with id {recorded.topic_id}, and topic {topic} now has "
            f"id {topic_id}: it was made anew, or is another one. Nothing was committed. What to do: see "
            "why; to read it from its beginning, move the stream's tables away"
        )


def begin(table: str, account: Account | None, topic: Topic, other: Account | None = None) -> dict[int, int]:
    """Of each partition the offset to start at.

    `other` is the first account of the stream's other table: one that has no account yet begins where that
    began, although the topic may have lost records since.
    Raises: StreamPositionError when the topic is another one, or does not have what comes next.
    """
    require_same_topic(table, account, topic.name, topic.id)
    if account is None:
        require_same_topic(table, other, topic.name, topic.id)
    if account is not None and account.offsets is not None:
        known = account.offsets.end
    elif other is not None and other.offsets is not None:
        known = other.offsets.start
    else:
        return dict(topic.begin)
    starts = {partition: known.get(partition, 0) for partition in topic.begin}
    for partition, offset in starts.items():
        if not topic.begin[partition] <= offset <= topic.end[partition]:
            raise StreamPositionError(
                f"{table}: {topic.name}/{partition} goes on at offset {offset}, and the topic has "
                f"{topic.begin[partition]} to {topic.end[partition]}: records are gone. Nothing was "
                "committed. What to do: get them back, or accept the loss by moving the stream's tables away"
            )
    return starts


def advance(
    table: str,
    account: Account | None,
    topic: str,
    topic_id: str,
    read: Mapping[int, Read],
    begun: Mapping[int, int],
) -> Offsets:
    """The offsets after a commit of what was `read`, which begins where the account ends.

    The first account of a table has all partitions, also those that nothing was read of: `begun` are the
    offsets at which the table's stream began.

    Raises: StreamPositionError when records are missing before it or in it.
    """
    start = ends(account) or dict(begun)
    for partition, records in read.items():
        expected = start.get(partition, 0)
        if records.first != expected:
            raise StreamPositionError(
                f"{table}: {topic}/{partition}: the next offset is {expected}, and {records.first} came. "
                "Nothing was committed. What to do: see whether retention has removed what lies between"
            )
        if records.last - records.first + 1 != records.records:
            raise StreamPositionError(
                f"{table}: {topic}/{partition}: {records.records} records have the offsets {records.first} "
                f"to {records.last}: the topic is compacted, or written in transactions, and what is missing "
                "cannot be told from what is lost. Nothing was committed"
            )
    end = {**start, **{partition: records.last + 1 for partition, records in read.items()}}
    firsts = {partition: records.first for partition, records in read.items()}
    return Offsets(topic=topic, topic_id=topic_id, start={**firsts, **start}, end=end)
