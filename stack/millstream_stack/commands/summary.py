"""What the demo ends with: every table's account, every candidate's metrics, the champions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from millstream.features import feature_table, feature_tables
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.ml.mlflow_api import MlflowApi, ModelRun
from millstream.ml.spec import Objective
from millstream.ml.tracking import DECISION_TAG
from millstream.models import model_spec
from millstream.quality.verdict import word

TABLE_ZONES = ("silver.", "gold.")
MODEL_PREFIX = "model."
# Tags that a training sets on the run of each of its candidates.
TRAINING_TAG = "millstream.training"
CANDIDATE_TAG = "candidate"
# The ones that a person compares first; MLflow has them all.
SHOWN_METRICS: dict[Objective, tuple[str, ...]] = {
    "binary": ("auc_roc", "auc_pr", "log_loss", "calibration_error"),
    "multiclass": ("auc_roc", "accuracy", "f1_macro", "log_loss"),
    "regression": ("r2", "rmse", "mae", "bias"),
}


def summarise(lake_root: str, mlflow: MlflowApi, assets: Iterable[dict[str, Any]], screen: Console) -> bool:
    """Prints the summary; returns whether every asset Airflow knows has something to show for it."""
    names = sorted(asset["name"] for asset in assets)
    tables = [name for name in names if name.startswith(TABLE_ZONES) and name not in of_streams()]
    complete = print_tables(lake_root, tables, screen)
    models = [name.removeprefix(MODEL_PREFIX) for name in names if name.startswith(MODEL_PREFIX)]
    return print_models(mlflow, models, screen) and complete


def of_streams() -> set[str]:
    """The tables that streams write, and what is made of them: they are not of this run."""
    declared = [table for table in map(feature_table, feature_tables()) if table.position_column is not None]
    return {name for table in declared for name in (str(table.table), *table.inputs)}


def print_models(api: MlflowApi, models: list[str], screen: Console) -> bool:
    """For each model the candidates of its newest training and its champion; False when one is missing."""
    complete = True
    for model in models:
        runs = newest_candidates(api.runs(model))
        declared = [candidate.name for candidate in model_spec(model).candidates]
        screen.print(_candidates_table(model, runs, declared))
        champion = api.champion(model)
        complete = complete and champion is not None and set(declared) <= set(runs)
        if champion is None:
            screen.print(f"[red]{model} has no champion")
            for decision in filter(None, (run.tags.get(DECISION_TAG) for run in runs.values())):
                screen.print(decision, markup=False)
            continue
        address = f"{api.url}/#/models/{model}/versions/{champion.version}"
        screen.print(
            f"[green]{model}: the champion is version {champion.version}[/]  {address}", soft_wrap=True
        )
        # The first paragraph says why; tables follow, for MLflow's own page.
        screen.print(champion.description.partition("\n\n")[0], markup=False)
    return complete


def newest_candidates(runs: Iterable[ModelRun]) -> dict[str, ModelRun]:
    """The candidates of the newest training by name, one run each; `runs` come newest first."""
    finished = [run for run in runs if TRAINING_TAG in run.tags and run.status == "FINISHED"]
    newest: dict[str, ModelRun] = {}
    for run in finished:
        if run.tags[TRAINING_TAG] == finished[0].tags[TRAINING_TAG]:
            # A retried fit leaves an older run of the same candidate.
            newest.setdefault(run.tags.get(CANDIDATE_TAG, run.name), run)
    return newest


def _candidates_table(model: str, runs: dict[str, ModelRun], declared: list[str]) -> Table:
    """A row for each candidate. Only the best is scored on the test part: the others lack its metrics."""
    table = Table(title=f"Candidates of {model}", title_justify="left")
    table.add_column("candidate", no_wrap=True)
    shown = SHOWN_METRICS[model_spec(model).objective]
    for part in ("validation", "test"):
        for metric in shown:
            table.add_column(f"{part}\n{metric.replace('_', ' ')}", justify="right")
    for name in sorted({*runs, *declared}):
        if name not in runs:
            table.add_row(name, "[red]missing")
            continue
        figures = (
            runs[name].metrics.get(f"{part}_{metric}") for part in ("validation", "test") for metric in shown
        )
        values = ("" if value is None else f"{value:.4f}" for value in figures)
        table.add_row(name, *values)
    return table


def print_tables(lake_root: str, names: list[str], screen: Console) -> bool:
    """A row for each table, from its commits' accounts; False when one is missing or does not add up."""
    table = Table(title="Tables", title_justify="left")
    for heading in (
        "table",
        "version",
        "read",
        "written",
        "quarantined",
        "deduplicated",
        "dropped",
        "adds up",
        "verdict",
    ):
        table.add_column(heading, justify="left" if heading in ("table", "verdict") else "right")
    complete = True
    for name in names:
        accounts = history.read(_reference(name), lake_root).latest_by_partition()
        if not accounts:
            table.add_row(name, "-", "", "", "", "", "", "", "[red]nothing published")
            complete = False
            continue
        entry = max((account for account, _ in accounts.values()), key=lambda account: account.version or 0)
        counts = [counted for _, counted in accounts.values()]
        read, *fates = (
            sum(getattr(counted, field) for counted in counts)
            for field in ("read", "written", "quarantined", "deduplicated", "dropped")
        )
        adds_up = read == sum(counted.accounted for counted in counts)
        complete &= adds_up
        table.add_row(
            *(name, str(entry.version)),
            *(f"{number:,}" for number in (read, *fates)),
            *("[green]yes" if adds_up else "[red]no", _verdict(entry.verdict)),
        )
    screen.print(table)
    return complete


def _reference(name: str) -> TableRef:
    zone, _, table = name.partition(".")
    return TableRef(zone=zone, name=table)


def _verdict(verdict: dict[str, Any]) -> str:
    """The verdict's word, and how many rules warned; a failed one never reaches a table."""
    if not verdict.get("passed"):
        return f"[red]{verdict.get('reason') or 'no verdict'}"
    beyond = [rule for rule in verdict.get("warnings") or [] if not rule.get("success")]
    return f"[green]{word(True, len(beyond))}" + (f"[/] ({len(beyond)})" if beyond else "")
