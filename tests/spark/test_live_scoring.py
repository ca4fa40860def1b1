"""Flights that a stream brings are scored once, by the champion, whatever fails between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.errors import ConfigurationError, SupersededError
from millstream.ml.predictions import predictions
from millstream.streams import scoring
from millstream.streams.scoring import SPEC
from millstream.transforms.arrival_delay_features import KEY, features
from millstream_demo.flight_events import Event, events_of
from tests.support.live_scoring import Live, Registry, delivered, promote, publish_before, two_models
from tests.support.mlflow_server import MlflowServer, tracking_server

# MLflow's server, Spark and some fits, on a machine that may be busy.
pytestmark = [pytest.mark.spark, pytest.mark.mlflow, pytest.mark.timeout(900)]

DAY = date(2013, 1, 4)
# Until when each part of the day's events reaches.
NOON, EVENING = datetime(2013, 1, 4, 17, tzinfo=UTC), datetime(2013, 1, 4, 21, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with tracking_server(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture(scope="module")
def tables(spark: SparkSession) -> Iterator[dict[str, DataFrame]]:
    found = delivered(spark, DAY)
    yield found
    for table in found.values():
        table.unpersist()


@pytest.fixture(scope="module")
def batch(tables: dict[str, DataFrame]) -> Iterator[DataFrame]:
    made = features(tables).persist()
    yield made
    made.unpersist()


@pytest.fixture(scope="module")
def fitted(batch: DataFrame) -> tuple[PipelineModel, PipelineModel]:
    return two_models(batch)


@pytest.fixture
def live(spark: SparkSession, tables: dict[str, DataFrame], tmp_path: Path) -> Live:
    made = Live(spark, tmp_path)
    publish_before(tables, DAY, made.root)
    return made


def part(since: datetime | None, until: datetime) -> list[Event]:
    return [
        event
        for event in events_of(DAY)
        if (since is None or since <= event.event_time) and event.event_time < until
    ]


def answered(
    batch: DataFrame, model: PipelineModel, version: int, keys: Iterable[tuple[Any, ...]]
) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """What batch scoring says of these flights."""
    scored = predictions(batch, SPEC, model, version).collect()
    found = {tuple(row[name] for name in KEY): (row["probability"], row["predicted"]) for row in scored}
    return {key: found[key] for key in keys}


def said(rows: dict[tuple[Any, ...], dict[str, Any]]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    return {key: (row["probability"], row["predicted"]) for key, row in rows.items()}


@pytest.mark.thorough
def test_a_promotion_is_taken_up_and_without_mlflow_the_last_champion_goes_on(
    live: Live,
    batch: DataFrame,
    fitted: tuple[PipelineModel, PipelineModel],
    server: MlflowServer,
) -> None:
    live.come(part(None, NOON))
    live.scoring.attempt()
    assert "model arrival_delay has no champion yet. What to do: run train_arrival_delay" in live.shown.reason

    registry = Registry(live.root, batch)
    first, second = (registry.register(model, f"m{place}") for place, model in enumerate(fitted))
    promote(first)
    account = live.scoring.score()
    rows = live.rows()
    assert account is not None
    assert (account.written, account.inputs["model.arrival_delay"]) == (len(rows), first)
    assert {row["model_version"] for row in rows.values()} == {first}
    assert {row["cutoff_utc"].replace(tzinfo=UTC) <= NOON for row in rows.values()} == {True}
    assert len(rows) > 200
    assert said(rows) == answered(batch, fitted[0], first, rows)
    assert live.scoring.score() is None

    promote(second)
    live.come(part(NOON, EVENING))
    assert live.scoring.score() is not None
    later = {key: row for key, row in live.rows().items() if key not in rows}
    assert {row["model_version"] for row in later.values()} == {second}
    assert said(later) == answered(batch, fitted[1], second, later)
    assert {key: live.rows()[key] for key in rows} == rows

    server.stop()
    try:
        live.come(part(EVENING, datetime(2013, 1, 5, 0, tzinfo=UTC)))
        # A process that starts meanwhile.
        live.scoring = live.new()
        account = live.scoring.score()
        assert account is not None
        assert account.inputs["model.arrival_delay"] == second
        assert f"goes on with version {second}: MLflow at" in live.shown.reason
    finally:
        server.start()
    assert sum(one.written for one in live.accounts()) == len(live.rows())
    landed = sum(one.landed for one in live.shown.outcomes)
    assert 0 < landed < sum(one.predicted for one in live.shown.outcomes) == len(live.rows())


class _KilledError(Exception):
    pass


@pytest.mark.thorough
def test_two_queries_and_a_death_before_the_commit_lose_and_double_nothing(
    live: Live,
    batch: DataFrame,
    fitted: tuple[PipelineModel, PipelineModel],
    server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A has read its account and pauses, longer than its lock holds; B commits the same flights, and more."""
    promote(Registry(live.root, batch).register(fitted[0], "m"))
    live.come(part(None, NOON))
    insert, other = scoring.insert, live.new()

    def die(*_: Any) -> None:
        raise _KilledError

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "insert", die)
        with pytest.raises(_KilledError):
            live.scoring.score()
    assert live.rows() == {}

    def pause(*given: Any) -> None:
        monkeypatch.setattr(scoring, "insert", insert)
        live.come(part(NOON, EVENING))
        assert other.score() is not None
        insert(*given)

    monkeypatch.setattr(scoring, "turn", lambda *_: nullcontext())
    monkeypatch.setattr(scoring, "insert", pause)
    with pytest.raises(SupersededError):
        live.scoring.score()
    assert live.scoring.score() is None

    rows = live.rows()
    due = batch.where((F.col("flight_date") == F.lit(DAY)) & (F.unix_seconds("cutoff_utc") <= _clock(live)))
    assert rows.keys() == {tuple(row[name] for name in KEY) for row in due.select(*KEY).collect()}
    (account,) = live.accounts()
    assert account.written == len(rows)


def _clock(live: Live) -> int:
    (watermark,) = {account.watermark for account in live.accounts()}
    assert watermark is not None
    return int(datetime.fromisoformat(watermark).timestamp())


def test_what_is_missing_is_said(spark: SparkSession, tmp_path: Path) -> None:
    live = Live(spark, tmp_path)
    assert live.scoring.score() is None
    live.come(part(None, datetime(2013, 1, 4, 11, tzinfo=UTC)))
    live.scoring.attempt()
    assert "predictions need silver.flights, silver.weather, " in live.shown.reason
    with pytest.raises(ConfigurationError, match="What to do: run the DAGs"):
        live.scoring.score()
