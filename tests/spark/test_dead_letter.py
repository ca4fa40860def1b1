"""Copies of broken records in a real topic: as they came, with where they are from and why."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from millstream.lake.storage import local_uri
from millstream.streams import dead_letter
from millstream.streams.access import without_login
from millstream.streams.commits import Committer, silver_rows
from tests.streams.test_bad_records import broken
from tests.support.broker import started
from tests.support.streaming import PARTITIONS, TOPIC, TOPIC_ID, day_messages, rows, stream

pytestmark = pytest.mark.timeout(900)

COPIES = "copies"


# tests/streams/test_bad_records.py has the copies of a stream that runs.
@pytest.mark.thorough
def test_a_copy_is_the_record_as_it_came_and_says_why(spark: SparkSession, tmp_path: Path) -> None:
    root, day = local_uri(tmp_path / "lake"), day_messages()
    variants = [message for message, _ in broken(day[100])]
    good = [(*message[:3], 1) for message in day[:3]]
    with started(tmp_path / "kafka") as broker:
        for topic in (TOPIC, COPIES):
            broker.create(topic)
        broker.send(TOPIC, [*variants, *good])
        received = spark.read.format("kafka").option("kafka.bootstrap.servers", broker.servers)
        records = received.option("subscribe", TOPIC).option("includeHeaders", "true").load()
        copy = partial(dead_letter.copy, access=without_login(broker.servers), topic=COPIES)
        lake = stream(root)
        committer = Committer(lake, lambda: TOPIC_ID, copy)
        account = committer.silver(silver_rows(records, lake), dict.fromkeys(range(PARTITIONS), 0))
        found = broker.received(COPIES)

    assert account is not None
    assert (account.written, account.quarantined) == (len(good), len(variants))
    kept = {row["_source_row_id"]: row["_reasons"] for row in rows("silver.flight_events_quarantine", root)}
    copies = {dict(one.headers() or [])[dead_letter.SOURCE_HEADER].decode(): one for one in found}
    assert len(found) == len(copies)
    assert copies.keys() == kept.keys() == {f"{TOPIC}/0#{place}" for place in range(len(variants))}
    for place, (key, value, headers, _) in enumerate(variants):
        one = copies[f"{TOPIC}/0#{place}"]
        assert (one.key(), one.value()) == (key and key.encode(), value)
        *as_received, _, (name, reasons) = one.headers() or []
        assert as_received == [(header, str(text).encode()) for header, text in headers]
        assert (name, json.loads(reasons)) == (dead_letter.REASONS_HEADER, kept[f"{TOPIC}/0#{place}"])
