"""Micro-batches to bronze, quarantine and silver: whatever is given once more changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from millstream.errors import StreamPositionError
from millstream.lake import history
from millstream.lake.storage import local_uri
from millstream.quality.suite import Suite
from millstream.streams import commits
from millstream.streams.tables import Stream
from tests.support.broker import Message
from tests.support.streaming import SENT, altered, commit, records, rows, stream


@pytest.fixture
def lake(tmp_path: Path) -> Stream:
    return stream(local_uri(tmp_path / "lake"))


def ends(sent: Iterable[Message]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for *_, partition in sent:
        counts[partition] = counts.get(partition, 0) + 1
    return counts


def versions(lake: Stream) -> list[int | None]:
    tables = (lake.bronze, lake.silver, lake.silver.quarantine)
    return [history.version(table, lake.lake_root) for table in tables]


def ids(lake: Stream) -> list[str]:
    return sorted(row["event_id"] for row in rows("silver.flight_events", lake.lake_root))


def sent_ids(sent: Iterable[Message]) -> list[str]:
    return sorted(str(dict(headers)["event_id"]) for _, _, headers, _ in sent)


def test_what_is_given_once_more_changes_nothing_and_what_reaches_further_only_adds_that(
    spark: SparkSession, lake: Stream
) -> None:
    assert commit(lake, records(spark, SENT[:40])) is not None
    before = versions(lake)

    # As after the loss of a checkpoint, or of a second query.
    assert commit(lake, records(spark, SENT[:40])) is None
    assert versions(lake) == before

    # As from an old checkpoint.
    further = commit(lake, records(spark, SENT))
    assert further is not None
    assert further.read == 20
    assert further.offsets is not None
    assert further.offsets.start == ends(SENT[:40])
    assert further.offsets.end == ends(SENT)
    assert ids(lake) == sent_ids(SENT)
    assert len(rows("bronze.flight_events", lake.lake_root)) == len(SENT)


def test_a_gap_or_another_topic_stops_it_before_anything_is_committed(
    spark: SparkSession, lake: Stream
) -> None:
    commit(lake, records(spark, SENT[:40]))
    before = versions(lake)
    beyond = {partition: end + 1 for partition, end in ends(SENT[:40]).items()}

    with pytest.raises(StreamPositionError, match="the next offset is"):
        commit(lake, records(spark, SENT[40:], beyond))
    with pytest.raises(StreamPositionError, match="now has id second"):
        commit(lake, records(spark, SENT[40:], ends(SENT[:40])), "second")
    assert versions(lake) == before


def test_an_id_that_comes_again_is_left_out_or_with_other_contents_kept_apart(
    spark: SparkSession, lake: Stream
) -> None:
    again, other = SENT[0], altered(SENT[1], distance=1)
    in_one = commit(lake, records(spark, [*SENT[:3], again, other]))
    later = commit(lake, records(spark, [again, other], ends([*SENT[:3], again, other])))

    for account in (in_one, later):
        assert account is not None
        assert (account.deduplicated, account.quarantined) == (1, 1)
    assert ids(lake) == sent_ids(SENT[:3])
    kept = rows("silver.flight_events_quarantine", lake.lake_root)
    assert {row["_reasons"][0] for row in kept} == {"event_id: came before with other contents"}
    assert len({row["_source_row_id"] for row in kept}) == 2


class _CrashError(Exception):
    pass


def test_after_a_crash_between_quarantine_and_silver_each_row_is_in_one_of_them(
    spark: SparkSession, lake: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under other rules than those of the crashed attempt, and in a smaller micro-batch than its."""
    sent = [altered(SENT[0], origin="BOS"), *SENT[1:20], altered(SENT[20], origin="BOS"), *SENT[21:40]]

    def crash(*_: Any, **__: Any) -> None:
        raise _CrashError

    with monkeypatch.context() as patch:
        patch.setattr(commits, "insert", crash)
        with pytest.raises(_CrashError):
            commit(lake, records(spark, sent))
    assert len(rows("silver.flight_events_quarantine", lake.lake_root)) == 2

    lenient = json.loads(json.dumps(lake.suite.source).replace('"LGA"', '"LGA", "BOS"'))
    changed = replace(lake, suite=Suite.from_dict(lenient))
    commit(changed, records(spark, sent[:10]))
    assert len(rows("silver.flight_events_quarantine", lake.lake_root)) == 0
    commit(lake, records(spark, sent))

    quarantined = rows("silver.flight_events_quarantine", lake.lake_root)
    assert [row["event_id"] for row in quarantined] == sent_ids([SENT[20]])
    assert ids(lake) == sent_ids([*SENT[:20], *SENT[21:40]])
    accounts = history.read(lake.silver, lake.lake_root).accounts
    assert [(one.read, one.written, one.quarantined) for one in accounts] == [(30, 29, 1), (10, 10, 0)]
