"""XGBoost's trees, fitted in one task or in barrier tasks, over Spark Connect as in a classic session.

A fitted model lies in the files of `xgboost.spark`, without pickle, so that MLflow loads it where this
package is not. That library's own fit, save, load and transform (3.2, the last for Python 3.11) ask for a
SparkContext, which Connect does not have. From 3.3 on, which needs Python 3.12, they run over Connect:
https://github.com/dmlc/xgboost/pull/11970. Then most of this module can go.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.ml import Model
from pyspark.ml.functions import vector_to_array
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLWritable, MLWriter
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from xgboost.spark import (
    SparkXGBClassifier,
    SparkXGBClassifierModel,
    SparkXGBRegressor,
    SparkXGBRegressorModel,
)

from millstream.ml.dataset import LABEL
from millstream.ml.scoring import PREDICTION, SCORE
from millstream.ml.spec import Candidate, ModelSpec, Objective, Params

# Of the texts that a task returns a booster in.
CHUNK = 1 << 24
_LOSSES: dict[Objective, str] = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
}


class BoostedTrees:
    """An estimator: `params` by the names of XGBoost's scikit-learn interface.

    It answers, by its objective, with `score` (binary), with `probability` and `class_column`, or with
    `prediction`.
    """

    def __init__(
        self, spec: ModelSpec, candidate: Candidate, params: Params, features: str, class_column: str
    ) -> None:
        self._spec, self._workers = spec, candidate.workers
        self._features, self._class_column = features, class_column
        self._params = {**params, "objective": _LOSSES[spec.objective], "random_state": spec.seed}

    def fit(self, rows: DataFrame) -> Boosted:
        """Trees of the columns `features` and `label`; rows are taken in the order of their partitions."""
        params: dict[str, Any] = {**self._params, "nthread": 1}
        rounds = int(params.pop("n_estimators", 100))
        if self._spec.classes:
            params["num_class"] = len(self._spec.classes)
        place = F.monotonically_increasing_id()
        matrix = (
            rows.select(
                vector_to_array(F.col(self._features), "float32").alias("x"), LABEL, place.alias("place")
            )
            .repartition(self._workers, "place")
            .sortWithinPartitions("place")
        )
        # Spark refuses barrier tasks where it adds and removes executors as needed; one task needs no other.
        together = self._workers > 1
        train = _training(params, rounds, together)
        trained = matrix.mapInPandas(train, "booster string", barrier=together).collect()
        return Boosted(self._model("".join(row["booster"] for row in trained)))

    def _model(self, booster: str) -> Any:
        common: dict[str, Any] = {"features_col": self._features, "label_col": LABEL, **self._params}
        if self._spec.classes:
            # It takes its loss from the classes of the label.
            del common["objective"]
            estimator: Any = SparkXGBClassifier(prediction_col=self._class_column, **common)
            model: Any = SparkXGBClassifierModel(_loaded(SparkXGBClassifierModel, booster))
        else:
            column = SCORE if self._spec.objective == "binary" else PREDICTION
            estimator = SparkXGBRegressor(prediction_col=column, **common)
            model = SparkXGBRegressorModel(_loaded(SparkXGBRegressorModel, booster))
        return estimator._copyValues(model)


class Boosted(Model, MLWritable):
    """A fitted stage; `inner` is that of `xgboost.spark` which others load from its files."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self._resetUid(inner.uid)

    @staticmethod
    def load(path: str, spark: SparkSession) -> Boosted:
        metadata = DefaultParamsReader.loadMetadata(path, spark)
        kinds = {
            f"{kind.__module__}.{kind.__name__}": kind
            for kind in (SparkXGBClassifierModel, SparkXGBRegressorModel)
        }
        kind = kinds[metadata["class"]]
        inner = kind()
        DefaultParamsReader.getAndSetParams(inner, metadata)
        inner._resetUid(metadata["uid"])
        lines = spark.read.text(os.path.join(path, "model")).collect()
        inner._xgb_sklearn_model = _loaded(kind, "".join(line[0] for line in lines))
        return Boosted(inner)

    def write(self) -> MLWriter:
        return _Writer(self.inner)

    def importances(self, features: int) -> npt.NDArray[np.float64]:
        """The mean gain of each feature's splits, of all gains."""
        gains = self.inner.get_feature_importances("gain")
        values = np.array([float(gains.get(f"f{place}", 0.0)) for place in range(features)])
        return np.asarray(values / (values.sum() or 1.0))

    def _transform(self, dataset: DataFrame) -> DataFrame:
        trees, predict = self.inner._xgb_sklearn_model, self.inner._get_predict_func()

        def answers(batches: Iterator[pd.Series[Any]]) -> Iterator[Any]:
            for batch in batches:
                yield predict(trees, np.stack([*batch]), None)

        # Given here, because the annotations are texts that PySpark does not resolve.
        is_single, schema = self.inner._out_schema()
        answer: Any = pd.Series if is_single else pd.DataFrame
        answers.__annotations__ = {"batches": Iterator[pd.Series], "return": Iterator[answer]}
        as_column: Any = pandas_udf(answers, schema)  # type: ignore[call-overload]
        vector = vector_to_array(F.col(self.inner.getOrDefault("featuresCol")), "float32")
        answered: DataFrame = self.inner._post_transform(dataset, as_column(vector))
        return answered


class _Writer(MLWriter):
    """The files that `xgboost.spark` reads: parameters as JSON, and the trees as XGBoost's own JSON."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self._inner = inner

    def saveImpl(self, path: str) -> None:
        spark: Any = self.sparkSession
        DefaultParamsWriter.saveMetadata(self._inner, path, spark)
        trees = self._inner.get_booster().save_raw("json").decode()
        pieces = [(place, trees[place : place + CHUNK]) for place in range(0, len(trees), CHUNK)]
        rows = spark.createDataFrame(pieces, "place bigint, value string").repartition(1)
        rows.sortWithinPartitions("place").select("value").write.text(os.path.join(path, "model"))


def _loaded(kind: Any, booster: str) -> Any:
    trees = kind._xgb_cls()(n_jobs=1)
    trees.load_model(bytearray(booster.encode()))
    return trees


def _training(params: dict[str, Any], rounds: int, together: bool) -> Any:
    """What each task does: it trains on its rows, or `together` with the others, and the first returns the
    trees."""

    def train(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        import xgboost
        from pyspark import TaskContext

        frames = list(batches)
        x = np.concatenate([np.stack([*frame["x"]]) for frame in frames])
        label = np.concatenate([frame[LABEL].to_numpy() for frame in frames])
        with meeting() if together else nullcontext():
            booster = xgboost.train(params, xgboost.QuantileDMatrix(x, label, nthread=1), rounds)
        task = TaskContext.get()
        if task is not None and task.partitionId() == 0:
            trees = booster.save_raw("json").decode()
            pieces = [trees[place : place + CHUNK] for place in range(0, len(trees), CHUNK)]
            yield pd.DataFrame({"booster": pieces})

    @contextmanager
    def meeting() -> Iterator[None]:
        """Barrier tasks add up what they find; the first one tells the others where its tracker is."""
        from pyspark import BarrierTaskContext
        from xgboost.collective import CommunicatorContext
        from xgboost.tracker import RabitTracker

        task = BarrierTaskContext.get()
        peers, where = task.getTaskInfos(), {}
        if task.partitionId() == 0:
            host = peers[0].address.rpartition(":")[0]
            tracker = RabitTracker(n_workers=len(peers), host_ip=host, sortby="task")
            tracker.start()
            where = tracker.worker_args()
        where = json.loads(task.allGather(json.dumps(where))[0])
        with CommunicatorContext(dmlc_task_id=str(task.partitionId()), **where):
            yield

    return train
