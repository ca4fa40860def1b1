"""Predictions of a stream for tests: models in a real registry, and the tables that features come from."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.lake import history
from millstream.lake.accounts import Account, PartitionCounts
from millstream.lake.delta import Transaction, append
from millstream.lake.storage import Storage, local_uri
from millstream.lake.tables import WHOLE, TableRef
from millstream.ml import digest, stored, tracking
from millstream.ml.dataset import LABEL, labelled
from millstream.ml.pipelines import answers, encoders, estimator, inputs
from millstream.ml.scoring import set_threshold
from millstream.streams.scoring import INPUTS, SPEC, TABLE, Scoring
from millstream.streams.snapshot import Predictions
from millstream.streams.tables import Stream
from millstream.transforms.arrival_delay_features import KEY
from millstream_demo.flight_events import Event
from tests.support.reference_silver import DATASETS, silver_rows
from tests.support.route_statistics import by_spark
from tests.support.streaming import PARTITIONS, commit, messages, records, stream

THRESHOLD = 0.3


def delivered(spark: SparkSession, day: date) -> dict[str, DataFrame]:
    """What features are made from, by name without the zone, once `day` and the day before have been
    delivered; in memory."""
    days = (day.day - 1, day.day)
    found = {name: silver_rows(spark, name, day.month, days).persist() for name in DATASETS}
    return {**found, "route_delay_statistics": by_spark(found["flights"]).persist()}


def publish_before(tables: dict[str, DataFrame], day: date, root: str) -> None:
    """The tables, and of the flights those before `day`."""
    for name in INPUTS:
        rows = tables[TableRef.parse(name).name]
        if name == "silver.flights":
            rows = rows.where(F.col("flight_date") < F.lit(day))
        counts = PartitionCounts(read=1, written=1, quarantined=0, deduplicated=0, content_hash="0")
        account = Account(
            table=name,
            run="r1",
            partitions={WHOLE: counts},
            verdict={},
            suite_version="1",
            code_version="test",
        )
        append(rows, TableRef.parse(name).uri(root), Transaction("test", 1, account.model_dump_json()))


def two_models(batch: DataFrame) -> tuple[PipelineModel, PipelineModel]:
    """Two that answer differently."""
    candidate = SPEC.candidate("logistic_regression")
    rows = inputs(labelled(batch, SPEC), SPEC, LABEL).persist()
    encoder = Pipeline(stages=encoders(SPEC, candidate)).fit(rows)
    encoded = encoder.transform(rows).persist()

    def model(penalty: float) -> PipelineModel:
        last = estimator(SPEC, candidate, {"regParam": penalty, "maxIter": 3}).fit(encoded)
        made = PipelineModel([*encoder.stages, last, *answers(SPEC, candidate)])
        set_threshold(made, THRESHOLD)
        return made

    return model(0.001), model(0.1)


class Registry:
    """The model registry of one test, with this lake."""

    def __init__(self, root: str, batch: DataFrame) -> None:
        self._root = root
        self._example = inputs(batch, SPEC).limit(1).toPandas()

    def register(self, model: PipelineModel, name: str) -> int:
        """Log and register, with the digest; the version."""
        mlflow, uri = tracking.connect(SPEC.name), f"{self._root}/models/{name}"
        model.write().overwrite().save(uri)
        with mlflow.start_run():
            logged = stored.log(model, uri, self._example, SPEC.name, 0.0)
        tags = {digest.TAG: digest.tree_digest(Storage(f"{self._root}/models"), name)}
        return int(mlflow.register_model(logged, SPEC.name, tags=tags).version)


def promote(version: int) -> None:
    MlflowClient().set_registered_model_alias(SPEC.name, tracking.CHAMPION, str(version))


class Live:
    """One stream with its tables; `scoring` as its process has it."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark = spark
        self.stream: Stream = stream(local_uri(folder / "lake"))
        self.root = self.stream.lake_root
        self.shown = Predictions()
        self.scoring = self.new()
        self._next = dict.fromkeys(range(PARTITIONS), 0)

    def new(self) -> Scoring:
        def show(predictions: Predictions) -> None:
            self.shown = predictions

        return Scoring(self.spark, self.stream, show)

    def come(self, events: list[Event]) -> None:
        sent = messages(events)
        assert commit(self.stream, records(self.spark, sent, self._next)) is not None
        for *_, partition in sent:
            self._next[partition] += 1

    def rows(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        found = self.spark.read.format("delta").load(TABLE.uri(self.root)).collect()
        named = {tuple(row[name] for name in KEY): row.asDict() for row in found}
        assert len(named) == len(found)
        return named

    def accounts(self) -> list[Account]:
        return history.read(TABLE, self.root).accounts
