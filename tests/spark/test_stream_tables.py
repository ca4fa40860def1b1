"""What a stream's tables hold, whoever commits and wherever micro-batches are cut."""

from __future__ import annotations

import operator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from millstream.contracts.contract import Contract
from millstream.errors import ContractError, SupersededError, TransformError
from millstream.lake.accounts import Account
from millstream.lake.delta import Transaction, append
from millstream.lake.storage import local_uri
from millstream.lake.tables import WHOLE
from millstream.quality.suite import Suite
from millstream.quality.suites import suite_of
from millstream.streams import commits, position
from millstream.streams.tables import Stream
from millstream.transforms import table_of
from millstream.upkeep.reconcile import compare
from millstream_demo.flight_events import events_of
from tests.support.broker import Message
from tests.support.streaming import (
    DAY,
    PARTITIONS,
    SENT,
    TOPIC_ID,
    altered,
    commit,
    messages,
    records,
    rows,
    stream,
)
from tests.support.streaming import event_ids as sent_of
from tests.support.thorough import thorough

pytestmark = pytest.mark.spark


@pytest.fixture
def lake(tmp_path: Path) -> Stream:
    return stream(local_uri(tmp_path / "lake"))


def ids(lake: Stream) -> list[str]:
    return sorted(row["event_id"] for row in rows("silver.flight_events", lake.lake_root))


def sent_ids(sent: Any) -> list[str]:
    return sorted(sent_of(sent))


def contents(lake: Stream) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of silver and of quarantine, without which commit brought them."""
    kept = rows("silver.flight_events_quarantine", lake.lake_root)
    plain = [{name: value for name, value in row.items() if name != "_run"} for row in kept]
    by_row = operator.itemgetter("_source_row_id")
    return sorted(rows("silver.flight_events", lake.lake_root), key=by_row), sorted(plain, key=by_row)


@pytest.mark.thorough
def test_what_the_tables_hold_does_not_depend_on_where_micro_batches_are_cut(
    spark: SparkSession, tmp_path: Path
) -> None:
    """A row that breaks a rule, then the good one of the same id, then that again, then another of it."""
    good = next(message for message in SENT if message[3] == 0)
    broken, other = altered(good, flight=0), altered(good, flight=7)
    sent = [broken, good, good, other, broken, *(message for message in SENT[:20] if message[3] == 0)]
    held = []
    for ends in ((len(sent),), (1, 2, 3, 4, len(sent))):
        lake = stream(local_uri(tmp_path / str(len(ends))))
        for end in ends:
            commit(lake, records(spark, sent[:end]))
        held.append(contents(lake))

    assert len(held[0][0]) == len({dict(headers)["event_id"] for _, _, headers, _ in sent})
    assert [row["_source_row_id"][-2:] for row in held[0][1]] == ["#0", "#3", "#4"]
    assert held[0] == held[1]


def test_whether_an_event_came_before_is_looked_up_only_in_files_that_may_have_it(
    spark: SparkSession, lake: Stream
) -> None:
    """Else each micro-batch would take longer than the last one: files of other days may even be away."""
    first, second = (messages(events_of(DAY + timedelta(days=number)))[:20] for number in (0, 1))
    begin = dict.fromkeys(range(PARTITIONS), 0)

    def came(sent: list[Message]) -> Account:
        account = commit(lake, records(spark, sent, begin))
        assert account is not None
        for *_, partition in sent:
            begin[partition] += 1
        return account

    came(first)
    for path in Path(lake.silver.uri(lake.lake_root).removeprefix("file://")).glob("*.parquet"):
        path.unlink()
    came(second)
    broken = altered(first[0], carrier=None)
    counts = came([broken, *second[:5]]).partitions[WHOLE]
    assert (counts.written, counts.quarantined, counts.deduplicated) == (0, 1, 5)
    with pytest.raises(Exception, match="FAILED_READ_FILE"):
        came(first[:1])


def with_contract(lake: Stream, **changes: Any) -> Stream:
    return replace(lake, contract=Contract.from_dict({**lake.contract.model_dump(), **changes}, "changed"))


def plain(lake: Stream, *more: dict[str, Any]) -> Stream:
    """Another dataset of the same topic: no transform, no view, the suite that follows from its contract."""
    data = lake.contract.model_dump()
    data["source"]["views"] = ()
    data |= {"dataset": "plain_events", "columns": [*data["columns"], *more]}
    contract = Contract.from_dict(data, "changed")
    suite = Suite.from_dict(suite_of(contract, table_of("plain_events", contract)))
    return Stream(contract, suite, lake.lake_root, "test")


def test_a_contract_gets_a_column_and_loses_none_while_the_stream_is_down(
    spark: SparkSession, lake: Stream
) -> None:
    sent = [altered(message, gate="B7") for message in SENT]
    before, after = plain(lake), plain(lake, {"name": "gate", "type": "string"})
    commit(before, records(spark, sent[:20]))
    commit(after, records(spark, sent))

    gates = {row["_source_row_id"]: row["gate"] for row in rows("silver.plain_events", lake.lake_root)}
    assert sorted(gates.values(), key=str) == ["B7"] * 40 + [None] * 20
    with pytest.raises(ContractError, match="no longer makes so: gate string"):
        commit(before, records(spark, [*sent, altered(SENT[0], flight=8)]))


def test_a_row_that_breaks_a_check_of_the_table_goes_to_quarantine(spark: SparkSession, lake: Stream) -> None:
    checked = with_contract(lake, checks={"short": "distance_mi < 3000"})
    far = altered(SENT[0], distance=4000)
    commit(checked, records(spark, [far, *SENT[1:20]]))

    (kept,) = rows("silver.flight_events_quarantine", lake.lake_root)
    assert kept["_reasons"] == ["CHECK short: distance_mi < 3000"]
    account = lake.newest(lake.silver)
    assert account is not None
    (share,) = account.verdict["warnings"]
    assert (share["label"], share["share"], share["broken"], share["success"]) == (
        *("CHECK short: distance_mi < 3000", 1 / 20, 1, False),
    )
    with pytest.raises(TransformError, match="published already"):
        commit(with_contract(lake, checks={"short": "distance_mi < 100"}), records(spark, SENT))


@pytest.mark.parametrize(("table", "broken"), [("silver", 4), *thorough(("bronze", 0), ("silver", 0))])
def test_two_queries_that_go_on_from_one_account_commit_once(
    spark: SparkSession, lake: Stream, monkeypatch: pytest.MonkeyPatch, table: str, broken: int
) -> None:
    """A has read its account and pauses, longer than its lock holds; B commits a part of the same."""
    kept = [altered(message, flight=0) for message in SENT[20 : 20 + broken]]
    sent = [*SENT[:20], *kept, *SENT[20 + broken :]]
    commit(lake, records(spark, sent[:10]))
    monkeypatch.setattr(commits, "turn", lambda *_: nullcontext())
    advance, paused = position.advance, []

    def pause(*given: Any) -> Any:
        if not paused:
            paused.append(given)
            commit(lake, records(spark, sent[:40]))
        return advance(*given)

    monkeypatch.setattr(position, "advance", pause)
    received = records(spark, sent)
    made = commits.bronze_rows(received) if table == "bronze" else commits.silver_rows(received, lake)
    with pytest.raises(SupersededError):
        getattr(commits.Committer(lake, lambda: TOPIC_ID), table)(made, {})
    assert paused
    commit(lake, records(spark, sent))

    places = [(row["partition"], row["offset"]) for row in rows("bronze.flight_events", lake.lake_root)]
    assert len(places) == len(set(places)) == len(sent)
    assert ids(lake) == sent_ids([*SENT[:20], *SENT[20 + broken :]])
    if broken:
        found = rows("silver.flight_events_quarantine", lake.lake_root)
        assert sorted(row["event_id"] for row in found) == sent_ids(kept)


def test_the_daily_comparison_agrees_after_two_micro_batches_and_sees_a_row_too_many(
    spark: SparkSession, lake: Stream
) -> None:
    sent = [altered(SENT[0], flight=0), *SENT[1:30], altered(SENT[30], flight=0), *SENT[31:40]]
    for last in (20, 40):
        commit(lake, records(spark, sent[:last]))

    def differences() -> list[str]:
        return [str(one) for one in compare(lake.lake_root, {}, {}, datetime.now(UTC))]

    assert differences() == []
    uri = lake.silver.uri(lake.lake_root)
    held = spark.read.format("delta").load(uri)
    newest = lake.newest(lake.silver)
    assert newest is not None
    append(held.limit(1), uri, Transaction("another", 1, newest.model_dump_json()))
    assert differences() == ["silver.flight_events: has 39 rows, its accounts say 38"]
