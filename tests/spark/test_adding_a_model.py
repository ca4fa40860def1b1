"""A model is five files: its declaration, the table of its predictions, a suite, and two DAG files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from pyspark.sql import SparkSession

from millstream import jobs, models, transforms
from millstream_airflow import catalog
from tests.support.mlflow_server import tracking_server

MODEL = "loud_notes"
TABLE = f"{MODEL}_predictions"
FILES = {
    f"spark_jobs/millstream/models/{MODEL}.py": '''"""Is a note loud?"""

from millstream.ml.spec import Candidate, GroupSplit, ModelSpec, TextFeatures

SPEC = ModelSpec(
    name="loud_notes",
    description="Is a note loud?",
    input_table="silver.notes",
    label="int(loud)",
    row_id="note",
    key=("note",),
    features=TextFeatures(column="words", dimensions=64),
    split=GroupSplit(column="shelf", validate_percent=25, test_percent=25),
    candidates=(Candidate("logistic", "logistic_regression", ({"regParam": 0.01, "maxIter": 5},)),),
)
''',
    f"spark_jobs/millstream/transforms/{TABLE}.py": '''"""Whether each note is loud."""

from pyspark.sql.types import StructType

from millstream.transforms import ANSWER, column

SCHEMA = StructType([column("note", "string", "Which note", key=True), *ANSWER])
KEY = ("note",)
CHECKS: dict[str, str] = {}
''',
    f"expectations/{TABLE}.json": json.dumps(
        {
            "name": TABLE,
            "expectations": [
                {
                    "type": "expect_column_values_to_be_unique",
                    "kwargs": {"column": "note"},
                    "severity": "critical",
                }
            ],
            "meta": {"table": f"gold.{TABLE}"},
        }
    ),
    f"dags/train_{MODEL}.py": f"""from millstream_airflow.pipelines.models import train_dag

dag = train_dag("{MODEL}")
""",
    f"dags/score_{MODEL}.py": f"""from millstream_airflow.pipelines.models import score_dag

dag = score_dag("{MODEL}")
""",
}
NOTES = 400


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with these files alone, in which declarations, transforms and suites are looked for too."""
    for path, content in FILES.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    monkeypatch.setenv("MILLSTREAM_ROOT", str(tmp_path))
    for package in (models, transforms):
        folder = str(tmp_path / "spark_jobs" / package.__name__.replace(".", "/"))
        monkeypatch.setattr(package, "__path__", [*package.__path__, folder])
    yield tmp_path
    for module in (f"millstream.models.{MODEL}", f"millstream.transforms.{TABLE}"):
        sys.modules.pop(module, None)


def test_airflow_knows_its_dags_and_its_table(checkout: Path) -> None:
    assert len(FILES) <= 5
    bag = DagBag(str(checkout / "dags"))
    assert bag.import_errors == {}
    tasks = {name: {task.task_id for task in dag.tasks} for name, dag in bag.dags.items()}
    assert tasks == {
        f"train_{MODEL}": {"check_training_input", "fit_candidate", "register"},
        f"score_{MODEL}": {"check_scoring_input", "score", "quality_gate", "publish"},
    }
    assert f"gold.{TABLE}" in catalog.published_tables()


@pytest.mark.spark
@pytest.mark.mlflow
def test_it_is_trained_and_its_predictions_are_published(
    spark: SparkSession, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("notes")
    lake = f"file://{folder}"
    notes = spark.range(NOTES).selectExpr(
        "string(id) AS note",
        "id % 2 = 0 AS loud",
        "concat(if(id % 2 = 0, 'shout ', 'whisper '), 'word', id % 7) AS words",
        "string(id % 40) AS shelf",
    )
    notes.write.format("delta").save(f"{lake}/silver/notes")

    def job(name: str, **arguments: Any) -> dict[str, Any]:
        return jobs.execute(spark, name, {"lake_root": lake, "run": "first", **arguments})

    with tracking_server(folder):
        common = {"model": MODEL, "input_version": 0}
        fitted = job("fit_candidate", **common, code_version="test", candidate="logistic")
        registered = job("register_model", **common, code_version="test", candidates=[fitted])
        scored = job("score_model", **common, model_version=registered["version"])
    suite = catalog.suite(TABLE)
    judged = {
        "table": f"gold.{TABLE}",
        "staged_uri": scored["staged_uri"],
        "staged_version": scored["staged_version"],
        "suite": suite,
    }
    job("quality_gate", **judged)
    published = job(
        "publish", **judged, sequence=1, rows_read=scored["rows"], load="full", code_version="test"
    )

    assert (registered["alias"], published["written"]) == ("champion", NOTES)
    answers = spark.read.format("delta").load(f"{lake}/gold/{TABLE}").select("note", "predicted")
    assert {row["note"]: row["predicted"] for row in answers.collect()} == {
        str(note): note % 2 == 0 for note in range(NOTES)
    }
