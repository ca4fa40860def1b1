"""Copies fitted pipelines between the lake, where Spark reads and writes, and MLflow's artifact store.

Spark cannot reach the artifact store, which is behind HTTP and a login, and a Connect client has no file
system of the cluster. So the task copies the files one by one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.pipeline import PipelineSharedReadWrite
from pyspark.sql import SparkSession

from millstream.lake.storage import Storage, local_uri
from millstream.ml import digest

# What the id of a stage of `xgboost.spark` begins with. Its import takes a second, and waits for one.
XGBOOST_STAGE = "SparkXGB"
# Its distribution: that for macOS has another name.
XGBOOST = "xgboost" if sys.platform == "darwin" else "xgboost-cpu"
# Requirements to load the model; listed here, because inferring them would load the model again.
ENVIRONMENT = ("mlflow", "pyspark", "pandas", "numpy")
OF_XGBOOST = (XGBOOST, "scikit-learn")


def load(uri: str) -> PipelineModel:
    """The pipeline in the folder `uri`, over Connect as in a classic session."""
    from pyspark.ml.util import DefaultParamsReader

    spark = SparkSession.active()
    uids = DefaultParamsReader.loadMetadata(uri, spark)["paramMap"]["stageUids"]
    if not any(uid.startswith(XGBOOST_STAGE) for uid in uids):
        return PipelineModel.load(uri)
    from millstream.ml.boosted import Boosted

    stages: list[Transformer] = []
    for place, uid in enumerate(uids):
        path = PipelineSharedReadWrite.getStagePath(uid, place, len(uids), f"{uri}/stages")
        is_boosted = uid.startswith(XGBOOST_STAGE)
        stages.append(
            Boosted.load(path, spark) if is_boosted else DefaultParamsReader.loadParamsInstance(path, spark)
        )
    return PipelineModel(stages)


def log(model: PipelineModel, model_uri: str, example: pd.DataFrame, name: str, answer: float | str) -> str:
    """Log a pipeline of the lake to the active run, in MLflow's own Spark flavour.

    `mlflow.spark.log_model` would write it again through the driver's JVM, which a Connect client does not
    have; this takes the saved files. `example` gives the signature, together with an `answer` of the type
    that `prediction` has.

    Returns: the URI of the logged model.
    """
    from mlflow.models import Model, infer_signature

    flavour = SimpleNamespace(__name__="mlflow.spark", save_model=_save)
    logged = Model.log(
        artifact_path=None,
        name=name,
        flavor=flavour,
        model=model,
        model_uri=model_uri,
        signature=infer_signature(example, pd.DataFrame({"prediction": [answer]})),
        input_example=example,
        # MLflow would load it in a Spark session of its own; `read_back` looks at it before it is registered.
        validate_serving_input=False,
    )
    return str(logged.model_uri)


def _save(
    *,
    path: str,
    mlflow_model: Any,
    model: PipelineModel,
    model_uri: str,
    signature: Any,
    input_example: pd.DataFrame,
    validate_serving_input: bool,
) -> None:
    """MLflow's interface of a flavour: the whole logged model in the local folder `path`."""
    from mlflow import spark as flavour

    copy(model_uri, local_uri(Path(path, digest.PIPELINE)))
    has_trees = any(stage.uid.startswith(XGBOOST_STAGE) for stage in model.stages)
    environment = (*ENVIRONMENT, *(OF_XGBOOST if has_trees else ()))
    flavour._save_model_metadata(
        path,
        model,
        mlflow_model,
        conda_env=None,
        code_paths=None,
        signature=signature,
        input_example=input_example,
        pip_requirements=[f"{name}=={version(name)}" for name in environment],
    )


def copy(source: str, target: str) -> None:
    """Replace the folder `target` by a copy of `source`; both are URIs."""
    (parent, name), (into, folder) = source.rsplit("/", 1), target.rsplit("/", 1)
    storage, copies = Storage(parent), Storage(into)
    copies.remove(folder)
    for file in storage.files(name):
        copies.write(f"{folder}/{file.path.removeprefix(f'{name}/')}", storage.read(file.path))


@contextmanager
def read_back(mlflow: Any, uri: str, folder: str) -> Iterator[tuple[PipelineModel, str]]:
    """A logged model as stored in the artifact store, and its digest.

    `folder` is a URI in the lake, for a copy that lasts as long as the context.
    """
    parent, name = folder.rsplit("/", 1)
    try:
        with tempfile.TemporaryDirectory(prefix="mlflow-") as scratch:
            fetched = local_uri(mlflow.artifacts.download_artifacts(uri, dst_path=scratch))
            copy(f"{fetched}/{digest.PIPELINE}", folder)
        yield load(folder), digest.tree_digest(Storage(parent), name)
    finally:
        Storage(parent).remove(name)


def registered_folder(model: str, version: int | str) -> str:
    """Where `in_lake` keeps a registered version, relative to the lake root."""
    return f"models/{model}/registered/{version}"


def in_lake(mlflow: Any, registered: Any, lake_root: str) -> str:
    """URI of a registered version (MLflow's ModelVersion) in the lake, copied there if necessary.

    Raises: ArtifactDigestError unless it is what was registered.
    """
    storage = Storage(lake_root)
    folder = registered_folder(registered.name, registered.version)
    uri = f"{lake_root.rstrip('/')}/{folder}"
    if not storage.files(folder) or digest.tree_digest(storage, folder) != registered.tags.get(digest.TAG):
        with tempfile.TemporaryDirectory(prefix="mlflow-") as scratch:
            copy(f"{digest.fetch(mlflow, registered, scratch)}/{digest.PIPELINE}", uri)
    return uri
