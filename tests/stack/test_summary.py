"""The demo's closing summary: accounts from real Delta commits, models from MLflow's answers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake
from rich.console import Console

from millstream.errors import TrackingError
from millstream.ml.mlflow_api import MlflowApi, ModelRun
from millstream_stack.commands.summary import newest_candidates, of_streams, print_models, print_tables


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), width=200)


def shown(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def cells(screen: Console, first: str) -> list[str]:
    """The cells of the one table row that starts with `first`."""
    [row] = [line for line in shown(screen).splitlines() if line.startswith(f"│ {first} ")]
    return [cell.strip() for cell in row.strip("│").split("│")]


def publish(
    lake: Path, table: str, counts: dict[str, int], warnings: tuple[dict[str, Any], ...] = ()
) -> None:
    """One commit as a publish leaves it, with its account."""
    account = {
        "kind": "millstream.publish",
        "table": table,
        "run": "manual__1",
        "partitions": {"all": {**counts, "content_hash": "1"}},
        "verdict": {"passed": True, "reason": "", "warnings": list(warnings)},
        "suite_version": "1",
        "code_version": "abc",
    }
    zone, _, name = table.partition(".")
    write_deltalake(
        lake / zone / name, pa.table({"carrier": ["9E"]}), mode="overwrite",
        commit_properties=CommitProperties(custom_metadata={"userMetadata": json.dumps(account)}),
    )  # fmt: skip


def test_every_table_shows_its_account(tmp_path: Path, screen: Console) -> None:
    counts = {"read": 26_115, "written": 25_990, "quarantined": 112, "deduplicated": 3, "dropped": 10}
    within, beyond = ({"label": "gusts", "share": 0.8, "success": kept} for kept in (True, False))
    publish(tmp_path, "silver.weather", counts, (within, beyond))
    publish(tmp_path, "silver.planes", counts, (within,))

    assert print_tables(f"file://{tmp_path}", ["silver.weather", "silver.planes"], screen)
    assert cells(screen, "silver.weather") == [
        "silver.weather", "0", "26,115", "25,990", "112", "3", "10", "yes", "passed with warnings (1)",
    ]  # fmt: skip
    assert cells(screen, "silver.planes")[-1] == "passed"


def test_rows_that_are_not_accounted_for_are_a_failure(tmp_path: Path, screen: Console) -> None:
    publish(tmp_path, "silver.weather", {"read": 10, "written": 8, "quarantined": 1, "deduplicated": 0})

    assert not print_tables(f"file://{tmp_path}", ["silver.weather"], screen)
    assert cells(screen, "silver.weather")[7] == "no"


def test_a_table_that_was_never_published_is_a_failure(tmp_path: Path, screen: Console) -> None:
    publish(tmp_path, "silver.weather", {"read": 1, "written": 1, "quarantined": 0, "deduplicated": 0})

    assert not print_tables(f"file://{tmp_path}", ["gold.features", "silver.weather"], screen)
    assert cells(screen, "gold.features")[-1] == "nothing published"


def model_run(candidate: str, training: str, status: str = "FINISHED", **metrics: float) -> ModelRun:
    tags = {"millstream.training": training, "candidate": candidate}
    return ModelRun(f"{candidate}-{training}", f"{candidate} {training}", status, metrics, tags)


def test_only_the_newest_training_counts_and_each_candidate_once() -> None:
    trial = ModelRun("t", "random_forest trial 1", "FINISHED", {}, {})
    newest = [
        trial,
        model_run("random_forest", "second", validation_auc_roc=0.7),
        model_run("decision_tree", "second", validation_auc_roc=0.6),
        model_run("random_forest", "second", validation_auc_roc=0.1),
    ]
    failed = model_run("logistic_regression", "second", "FAILED")
    earlier = model_run("random_forest", "first", validation_auc_roc=0.9)

    found = newest_candidates([failed, *newest, earlier])

    assert {name: run.metrics for name, run in found.items()} == {
        "decision_tree": {"validation_auc_roc": 0.6},
        "random_forest": {"validation_auc_roc": 0.7},
    }


def answer_of_run(run_id: str, candidate: str, metrics: dict[str, float]) -> dict[str, Any]:
    return {
        "info": {"run_id": run_id, "run_name": candidate, "status": "FINISHED"},
        "data": {
            "metrics": [{"key": name, "value": value} for name, value in metrics.items()],
            "tags": [
                {"key": "millstream.training", "value": "manual__1"},
                {"key": "candidate", "value": candidate},
            ],
        },
    }


RUNS = [
    answer_of_run("3", "logistic_regression", {"validation_auc_roc": 0.7}),
    answer_of_run("4", "gradient_boosted_trees", {"validation_auc_roc": 0.7}),
    answer_of_run("1", "random_forest", {"validation_auc_roc": 0.71, "test_auc_roc": 0.7012}),
    answer_of_run("2", "decision_tree", {"validation_auc_roc": 0.65, "fit_seconds": 9.0}),
]


def mlflow(champion: httpx.Response, runs: list[dict[str, Any]] = RUNS) -> MlflowApi:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"].startswith("Basic ")
        method = request.url.path.removeprefix("/api/2.0/mlflow/")
        answers = {
            "registered-models/alias": champion,
            "runs/get": httpx.Response(200, json={"run": RUNS[2]}),
            "experiments/get-by-name": httpx.Response(200, json={"experiment": {"experiment_id": "7"}}),
            "runs/search": httpx.Response(200, json={"runs": runs}),
        }
        return answers[method]

    return MlflowApi("http://mlflow", "admin", "secret", transport=httpx.MockTransport(answer))


def test_candidates_and_champion_are_shown(screen: Console) -> None:
    version = {"version": "3", "run_id": "1", "description": "better by 0.012 AUC-ROC than version 2"}
    api = mlflow(httpx.Response(200, json={"model_version": version}))

    assert print_models(api, ["arrival_delay"], screen)

    assert cells(screen, "random_forest") == ["random_forest", "0.7100", "", "", "", "0.7012", "", "", ""]
    assert cells(screen, "decision_tree") == ["decision_tree", "0.6500", *[""] * 7]
    assert "arrival_delay: the champion is version 3" in shown(screen)
    assert "http://mlflow/#/models/arrival_delay/versions/3" in shown(screen)
    assert "better by 0.012 AUC-ROC than version 2" in shown(screen)


@pytest.mark.parametrize(
    "missing",
    [
        httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST"}),
        httpx.Response(
            400,
            json={
                "error_code": "INVALID_PARAMETER_VALUE",
                "message": "Registered model alias champion not found.",
            },
        ),
    ],
)
def test_a_model_without_a_champion_is_a_failure(screen: Console, missing: httpx.Response) -> None:
    assert not print_models(mlflow(missing), ["arrival_delay"], screen)
    assert "arrival_delay has no champion" in shown(screen)


def test_why_a_model_has_no_champion_is_shown(screen: Console) -> None:
    decision = "not promoted: test AUC-ROC 0.4996, 95 % interval 0.4950 to 0.5040, does not lie above 0.5"
    registered = answer_of_run("5", "decision_tree", {"validation_auc_roc": 0.5})
    registered["data"]["tags"].append({"key": "millstream.decision", "value": decision})
    missing = httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST"})

    assert not print_models(mlflow(missing, [registered]), ["arrival_delay"], screen)
    assert decision in shown(screen)


def test_a_candidate_that_the_newest_training_lacks_is_a_failure(screen: Console) -> None:
    champion = httpx.Response(200, json={"model_version": {"version": "3", "run_id": "1"}})
    assert not print_models(mlflow(champion, RUNS[1:]), ["arrival_delay"], screen)
    assert cells(screen, "logistic_regression") == ["logistic_regression", "missing", *[""] * 7]


def test_a_refused_login_is_not_taken_for_a_missing_champion(screen: Console) -> None:
    with pytest.raises(TrackingError, match="401"):
        print_models(mlflow(httpx.Response(401)), ["arrival_delay"], screen)


def test_what_streams_write_is_not_asked_for() -> None:
    """Airflow knows these assets, and `make demo` starts no stream."""
    assert of_streams() == {"silver.flight_events", "gold.airport_delays_batch"}
