"""Training and scoring DAGs of a model, built from its declaration.

train: check_input -> fit_candidate (one mapped task a candidate) -> register
score: check_input -> score -> quality_gate -> publish
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, AssetAny, Param, get_current_context, task

from millstream.contracts.periods import periods
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.ml.spec import ModelSpec, TimeSplit
from millstream.models import model_spec
from millstream.settings import Settings
from millstream_airflow import catalog
from millstream_airflow.periods import of_any_source
from millstream_airflow.registry import MLFLOW, champion_version, has_version
from millstream_airflow.tasks.alerts import RunNotifier
from millstream_airflow.tasks.notes import skip
from millstream_airflow.tasks.publish import StagingOperator, field, publish_staged
from millstream_airflow.tasks.retries import TASK_ARGS
from millstream_airflow.tasks.spark_job import SparkJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from millstream.lake.history import Snapshot

TRAINING_POOL = "training"

TRAIN_DOC = """
### Train `{name}`

{description}

Each candidate is tuned on the validation part and refitted; the best one is tested once, logged, read back
from the artifact store, registered, and compared with the present champion on the same test rows. It becomes
`champion` only if it is better by {margin} {metric}, else `challenger`; the registry says why. A version that
is no better than guessing gets neither alias: the 95 % interval of its {metric} has to lie above {naive:g}.

Candidates: {candidates}. Split: `{split}`. Declared in `spark_jobs/millstream/models/{name}.py`.
"""

SCORE_DOC = """
### Score with the champion of `{name}`

Writes `{predictions}` through a quality gate, with the model's and the input's versions. Started by a new
champion, by new input, or by hand. Nothing is done when these predictions are there already, or without one.
"""


class RegisterOperator(SparkJobOperator):
    """Register the best candidate and emit the model's asset event."""

    def __init__(self, *, spec_name: str, **kwargs: Any) -> None:
        outlets = [catalog.model_asset(spec_name)]
        super().__init__(job="register_model", outlets=outlets, noted=True, **kwargs)
        self.spec_name = spec_name

    def job_arguments(self, context: Context) -> dict[str, Any]:
        pages = {
            "run_url": f"{Settings().airflow_url}/{catalog.run_page(context)}",
            "data_docs_url": catalog.data_docs_url(),
        }
        return {**super().job_arguments(context), **pages}

    def execute(self, context: Context) -> dict[str, Any]:
        result = super().execute(context)
        context["outlet_events"][catalog.model_asset(self.spec_name)].extra = {
            name: result[name] for name in ("version", "alias", "reason", "champion_version")
        }
        return result


def train_dag(name: str) -> DAG:
    """The DAG `train_<name>`, triggered by the model's input table."""
    spec = model_spec(name)
    with DAG(
        dag_id=f"train_{name}",
        description=f"Train, register and compare: {spec.description}",
        doc_md=TRAIN_DOC.format(
            name=name,
            description=spec.description,
            margin=spec.margin,
            metric=spec.metric.in_words,
            naive=spec.metric.naive,
            candidates=", ".join(candidate.name for candidate in spec.candidates),
            split=spec.split,
        ),
        schedule=[catalog.table_asset(spec.input_table)],
        params={"force": Param(False, type="boolean", description="Train even when nothing has changed.")},
        **_common("training"),
    ) as dag:
        version = check_training_input(name)
        common = {"model": name, "input_version": version, "code_version": catalog.code_version()}
        fitted = SparkJobOperator.partial(
            task_id="fit_candidate",
            job="fit_candidate",
            pool=TRAINING_POOL,
            mlflow_conn_id=MLFLOW,
            arguments=common,
            map_index_template="{{ task.more_arguments['candidate'] }}",
            doc_md="Tune on the validation part, refit on train and validation. The test part stays unseen.",
        ).expand(more_arguments=[{"candidate": candidate.name} for candidate in spec.candidates])
        RegisterOperator(
            task_id="register",
            spec_name=name,
            mlflow_conn_id=MLFLOW,
            arguments={
                **common,
                "candidates": fitted.output,
            },
            doc_md="Test once, log, read back, register, compare with the champion.",
        )
    return dag


def score_dag(name: str) -> DAG:
    """The DAG `score_<name>`, triggered by a new champion or new input."""
    spec = model_spec(name)
    with DAG(
        dag_id=f"score_{name}",
        description=f"Score with the champion: {spec.description}",
        doc_md=SCORE_DOC.format(name=name, predictions=spec.predictions_table),
        schedule=AssetAny(catalog.model_asset(name), catalog.table_asset(spec.input_table)),
        params=_score_params(spec),
        **_common("scoring"),
    ) as dag:
        checked = check_scoring_input(name)
        scored = StagingOperator(
            task_id="score",
            job="score_model",
            mlflow_conn_id=MLFLOW,
            arguments={"model": name, **{key: field(checked, key) for key in CHECKED}},
            doc_md="The champion's answer for every row; staged once.",
        )
        publish_staged(
            spec.predictions_table,
            scored,
            catalog.table_asset(spec.predictions_table),
            arguments={"load": field(checked, "load"), "partition_column": spec.partition_column},
            partitions=field(checked, "partitions"),
        )
    return dag


CHECKED = ("input_version", "model_version", "partitions")


@task(doc_md="Version of the input table; skips when the model was already trained on it by this code.")
def check_training_input(name: str) -> int:
    from millstream.lake import history

    spec = model_spec(name)
    read = history.read(TableRef.parse(spec.input_table), catalog.lake_root())
    version = read.published_version
    if version is None:
        skip(f"{spec.input_table} has not been published yet")
    latest = _latest_training(name)
    same_rows = read.unchanged_since(latest.get("input_version"))
    same = same_rows and latest.get("code_version") == catalog.code_version()
    # The lake may have seen another registry, and a version may be deleted there.
    if same and not get_current_context()["params"]["force"] and has_version(name, latest["version"]):
        skip(f"version {latest['version']} was already trained on {spec.input_table} v{version} by this code")
    dag_run = get_current_context().get("dag_run")
    # What somebody triggers is tried, and ends with an error that says what to do.
    by_event = dag_run is not None and dag_run.run_type == "asset_triggered"
    if by_event and (missing := _missing_parts(spec, read.now)):
        skip(f"{spec.input_table} has no rows for {', '.join(missing)} yet, of its {spec.split}")
    return version


def _missing_parts(spec: ModelSpec, table: Snapshot | None) -> list[str]:
    """The parts of a split by time for which the table has no row at all."""
    from millstream.lake import history

    if table is None or not isinstance(spec.split, TimeSplit):
        return []
    try:
        return spec.split.parts_without(table.value_counts(spec.split.column).keys())
    except history.log_error():
        # Written with what only Spark reads: the fit counts them.
        return []


@task(multiple_outputs=True, doc_md="Champion and input version; skips when there is nothing to do.")
def check_scoring_input(name: str) -> dict[str, Any]:
    from millstream.lake import history

    spec = model_spec(name)
    params = get_current_context()["params"]
    version = history.read(TableRef.parse(spec.input_table), catalog.lake_root()).published_version
    if version is None:
        skip(f"{spec.input_table} has not been published yet")
    champion = champion_version(name)
    if champion is None:
        skip(_why_no_champion(name))
    start, end = params.get("start"), params.get("end")
    partitions = periods(str(start or end), str(end or start)) if start or end else []
    table = TableRef.parse(spec.predictions_table)
    if not partitions and not params["force"] and _is_scored(spec, table, champion):
        skip(f"{table} was already made from these rows by this model, {champion}")
    return {
        "input_version": version,
        "model_version": champion,
        "partitions": partitions,
        "load": "partition" if partitions else "full",
    }


def _latest_training(name: str) -> dict[str, Any]:
    """The stored outcome of the newest training of model `name`; empty before the first one."""
    path = f"models/{name}/latest.json"
    storage = Storage(catalog.lake_root())
    return json.loads(storage.read(path)) if storage.exists(path) else {}


def _why_no_champion(name: str) -> str:
    latest = _latest_training(name)
    if latest and latest["alias"] is None:
        newest, reason = latest["version"], latest["reason"]
        return f"model {name} has no champion: version {newest} was not promoted: {reason}"
    return f"model {name} has no champion yet: run train_{name}"


def _is_scored(spec: ModelSpec, table: TableRef, champion: int) -> bool:
    """Whether every partition of the predictions was made from the input's present rows by this version."""
    from millstream.lake import history

    root = catalog.lake_root()
    scored = history.read(table, root).latest_by_partition()
    made_from = [entry.inputs for entry, _ in scored.values()]
    read = history.read(TableRef.parse(spec.input_table), root)
    if spec.partition_column:
        present = read.latest_by_partition()
        if any(counts.written and name not in scored for name, (_, counts) in present.items()):
            return False
    return bool(made_from) and all(
        inputs.get(f"model.{spec.name}") == champion and read.unchanged_since(inputs.get(spec.input_table))
        for inputs in made_from
    )


def _score_params(spec: ModelSpec) -> dict[str, Param]:
    params = {"force": Param(False, type="boolean", description="Score even when nothing has changed.")}
    if spec.partition_column:
        for key, which in (("start", "First"), ("end", "Last")):
            params[key] = of_any_source(
                f"{which} month to score. Only one of the two chosen: that month alone. Neither: all months.",
                datetime.now(UTC),
            )
    return params


def _common(tag: str) -> dict[str, Any]:
    return {
        "catchup": False,
        "max_active_runs": 1,
        "tags": ["model", tag],
        "dagrun_timeout": timedelta(hours=2),
        "default_args": {"owner": "ml-platform", **TASK_ARGS},
        "on_failure_callback": RunNotifier(),
    }
