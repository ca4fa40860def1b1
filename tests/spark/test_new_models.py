"""Models that `make new` writes are trained, registered, and their predictions published, as they are."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from millstream import jobs
from millstream.models import model_spec
from millstream.settings import Settings
from millstream_airflow import catalog
from millstream_stack.commands.new.model import new_model
from tests.support.mlflow_server import tracking_server
from tests.support.new_models import project_of_notes, publish_notes

pytestmark = [pytest.mark.spark, pytest.mark.mlflow, pytest.mark.thorough]

NOTES = 600


@pytest.mark.parametrize(
    ("label", "text", "objective", "right"),
    [
        ("shelf", "words", "multiclass", "t.predicted = n.shelf OR n.shelf = 'lost'"),
        ("volume", "", "regression", "abs(t.predicted - n.volume) < 10"),
        ("state", "words", "binary", "t.predicted = (n.note % 3 = 0)"),
    ],
)
def test_what_is_written_is_trained_and_answers(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    label: str,
    text: str,
    objective: str,
    right: str,
) -> None:
    lake = f"file://{tmp_path}/lake"
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", lake)
    publish_notes(lake, NOTES)

    def job(name: str, **arguments: Any) -> dict[str, Any]:
        return jobs.execute(spark, name, {"lake_root": lake, "run": "first", **arguments})

    with project_of_notes(tmp_path / "own", monkeypatch, "loud"), tracking_server(tmp_path):
        new_model(Settings(), "loud", "silver.notes", label, text, Console(quiet=True))
        importlib.invalidate_caches()
        spec = model_spec("loud")
        assert spec.objective == objective
        common = {"model": "loud", "input_version": 0}
        candidate = spec.candidates[0].name
        fitted = job("fit_candidate", **common, code_version="test", candidate=candidate)
        registered = job("register_model", **common, code_version="test", candidates=[fitted])
        scored = job("score_model", **common, model_version=registered["version"])
        judged = {
            "table": spec.predictions_table,
            "staged_uri": scored["staged_uri"],
            "staged_version": scored["staged_version"],
            "suite": catalog.suite("loud_predictions"),
        }
        job("quality_gate", **judged)
        more = {"rows_read": scored["rows"], "load": "full", "code_version": "test"}
        published = job("publish", **judged, sequence=1, **more)
    assert (registered["alias"], published["written"]) == ("champion", NOTES)
    for name in ("silver/notes", "gold/loud_predictions"):
        spark.read.format("delta").load(f"{lake}/{name}").createOrReplaceTempView(name.partition("/")[2])
    wrong = spark.sql(
        f"SELECT * FROM loud_predictions t JOIN notes n USING (note) WHERE NOT coalesce({right}, false)"
    )
    assert wrong.count() == 0
