"""The live view made anew from archived bronze, and from a real topic whose beginning is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession

from millstream.errors import ConfigurationError, ReconciliationError
from millstream.lake import history
from millstream.lake.storage import local_uri
from millstream.lake.tables import TableRef
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT
from millstream.streams import served
from millstream.streams.access import without_login
from millstream.streams.served import SPEED
from millstream.streams.tables import Stream
from millstream.streams.topic import Topics
from millstream.streams.views import keep_up_speed_view, served_rows
from tests.support import airport_delays
from tests.support.airport_delays import expected, figures, rows_of
from tests.support.broker import Message, RunningBroker, started
from tests.support.streaming import (
    DATASET,
    PARTITIONS,
    TOPIC,
    commit,
    day_messages,
    records,
    stream,
)

pytestmark = pytest.mark.timeout(600)

SENT = day_messages()[:240]
PARTS = (SENT[:80], [*SENT[80:160], *SENT[:9]], SENT[160:])
SECOND = TableRef(zone="gold", name="airport_delays_speed_2")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with started(tmp_path_factory.mktemp("kafka")) as server:
        yield server


class Topic:
    """A real topic, and a stream that has read it part by part."""

    def __init__(self, spark: SparkSession, broker: RunningBroker, lake: Stream) -> None:
        self.spark, self.broker, self.lake = spark, broker, lake
        broker.create(TOPIC)
        self.id = Topics(without_login(broker.servers)).id_of(TOPIC)
        self.ends = dict.fromkeys(range(PARTITIONS), 0)

    def read(self, part: list[Message]) -> None:
        self.broker.send(TOPIC, part)
        assert commit(self.lake, records(self.spark, part, self.ends), self.id) is not None
        for *_, partition in part:
            self.ends[partition] += 1

    def forget(self, ends: dict[int, int]) -> None:
        """As retention does: what lies below these offsets is gone."""
        admin = AdminClient({"bootstrap.servers": self.broker.servers})
        for answer in admin.delete_records(
            [TopicPartition(TOPIC, one, end) for one, end in ends.items()]
        ).values():
            answer.result(30)


@pytest.fixture
def topic(spark: SparkSession, broker: RunningBroker, tmp_path: Path) -> Iterator[Topic]:
    yield Topic(spark, broker, stream(local_uri(tmp_path / "lake")))
    broker.delete(TOPIC)


def replay(topic: Topic, **arguments: Any) -> dict[str, Any]:
    servers = arguments.pop("servers", topic.broker.servers)
    return airport_delays.replay(topic.spark, topic.lake, servers, **arguments)


@pytest.mark.thorough
def test_a_replay_takes_what_bronze_has_and_then_kafka_and_the_stream_goes_on_with_it(topic: Topic) -> None:
    spark, lake = topic.spark, topic.lake
    topic.read(PARTS[0])
    archived, ends = history.version(lake.bronze, lake.lake_root), dict(topic.ends)
    keep_up_speed_view(spark, lake)
    topic.read(PARTS[1])
    keep_up_speed_view(spark, lake)
    topic.forget(ends)

    result = replay(topic, archived=archived)
    groups = rows_of(spark, lake, SPEED).count()
    assert result["groups"] == {"live": groups, "rebuilt": groups}
    assert result["from_kafka"] == {str(one): end for one, end in ends.items()}
    assert served.speed_view(lake.lake_root) == SECOND == TableRef.parse(result["table"])
    assert figures(served_rows(spark, lake.lake_root)) == expected(spark, lake)

    old = history.version(SPEED, lake.lake_root)
    topic.read(PARTS[2])
    assert keep_up_speed_view(spark, lake) is not None
    assert figures(served_rows(spark, lake.lake_root)) == figures(rows_of(spark, lake, SECOND))
    assert figures(served_rows(spark, lake.lake_root)) == expected(spark, lake)
    assert history.version(SPEED, lake.lake_root) == old


@pytest.mark.thorough
def test_a_view_by_other_rules_does_not_become_the_live_one(topic: Topic) -> None:
    spark, lake = topic.spark, topic.lake
    topic.read(PARTS[0])
    keep_up_speed_view(spark, lake)
    suite = suite_in(CHECKOUT, DATASET)
    (airports,) = [one for one in suite["expectations"] if "EWR" in one["kwargs"].get("value_set", ())]
    airports["kwargs"]["value_set"].remove("LGA")

    with pytest.raises(ReconciliationError, match=r"airport_delays_speed stays the live one:\n- group LGA/"):
        replay(topic, suite=suite)
    assert served.speed_view(lake.lake_root) == SPEED
    lost = figures(rows_of(spark, lake, SPEED)).keys() - figures(rows_of(spark, lake, SECOND)).keys()
    assert {airport for airport, *_ in lost} == {"LGA"}

    # The same run, cleared, with the rules put right.
    result = replay(topic)
    assert result["groups"]["live"] == result["groups"]["rebuilt"]
    assert served.speed_view(lake.lake_root) == SECOND
    assert replay(topic, run="r2")["table"] == f"{SPEED}_3"


@pytest.mark.thorough
def test_what_bronze_lacks_needs_the_same_topic(topic: Topic) -> None:
    topic.read(PARTS[0])
    archived = history.version(topic.lake.bronze, topic.lake.lake_root)
    topic.read(PARTS[1])
    keep_up_speed_view(topic.spark, topic.lake)
    with pytest.raises(ConfigurationError, match="the rest is Kafka's, whose address is not known"):
        replay(topic, archived=archived, servers="")
    topic.broker.delete(TOPIC)
    topic.broker.create(TOPIC)
    with pytest.raises(ConfigurationError, match="it was made anew"):
        replay(topic, archived=archived)
    assert replay(topic)["from_kafka"] == {}, "all that is needed is in bronze"
