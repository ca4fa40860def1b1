"""`make plan`: what a run would touch, and what changed contracts would do, before anything runs.

Everything is read: the DAG's own declaration (tasks, outlets, schedule), the tables' histories and, where it
answers, MLflow. Neither Spark nor Airflow's services are needed.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast, get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from millstream.contracts.contract import Contract
from millstream.contracts.periods import periods
from millstream.contracts.updates import Load
from millstream.errors import ConfigurationError, ContractError, TrackingError
from millstream.lake import history
from millstream.lake.accounts import Scope
from millstream.lake.delta import require_columns
from millstream.lake.history import History
from millstream.lake.tables import WHOLE, TableRef
from millstream.ml.mlflow_api import MlflowApi
from millstream.publishing.compatibility import Comparison, compare, touched
from millstream.publishing.decide import scope_of
from millstream.publishing.mart_changes import Rebuild
from millstream.publishing.work import published_columns
from millstream.settings import Settings
from millstream.transforms import table_of
from millstream_stack.commands.plan_marts import made_by
from millstream_stack.commands.sql_output import printable
from millstream_stack.credentials import credentials_path, load_or_create

if TYPE_CHECKING:
    from airflow.sdk import DAG, Asset

DAG_ID = re.compile(r"[a-z][a-z0-9_]*")
# One period, or the first and the last of several.
PARTITIONS = re.compile(r"([^:]+)(?::([^:]+))?")
REGISTERS = "registers a version, which gets the alias champion, challenger or none"
# Of the scopes that publishing decides (`millstream.publishing.decide.scope_of`).
WRITES: dict[Scope, str] = {
    "table": "replaces all rows",
    "partitions": "replaces these partitions",
    "rows": "merges by key",
}
# What `millstream.jobs.load_bronze.bronze_condition` says.
WRITES_BRONZE = {
    "full": "replaces all rows",
    "partition": "replaces these partitions, of whichever run",
    "watermark": "replaces this run's rows",
    "append": "replaces this run's rows",
}


@dataclass(frozen=True)
class Touch:
    """One table: what the run does to it, its present version, and the rows of each partition it touches.

    `partitions` has None for a partition that the table has not yet; it is empty for a whole table.
    """

    table: TableRef
    action: str
    version: int | None
    partitions: dict[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a run of `dag_id` would touch.

    `refusals` says of published tables why their columns do not let the run publish.
    """

    dag_id: str
    tables: list[Touch]
    suites: list[str]
    models: dict[str, str]
    contracts: list[Comparison]
    readers: dict[str, list[str]]
    refusals: dict[str, str]

    @property
    def refused(self) -> bool:
        return bool(self.refusals) or any(one.needs_version for one in self.contracts)


def show_plan(settings: Settings, dag_id: str, partitions: str, screen: Console) -> bool:
    """Prints the plan; returns whether contracts and tables would let the run write.

    Raises:
        ConfigurationError: no such DAG, it writes nothing, or has no such partition.
        ContractError: a contract is wrong.
    """
    plan = plan_of(settings, dag_id, partitions)
    _print(plan, screen)
    return not plan.refused


def plan_of(settings: Settings, dag_id: str, partitions: str = "") -> Plan:
    from airflow.sdk import AssetAlias

    dag = _dag(settings, dag_id)
    root = settings.lake_root
    written = [outlet for task in dag.tasks for outlet in getattr(task, "outlets", ())]
    tables = [TableRef.parse(one.name) for one in written if getattr(one, "group", "") == "lake"]
    models = [one.name.removeprefix("model.") for one in written if getattr(one, "group", "") == "models"]
    if "dry_run" in dag.params and any(isinstance(one, AssetAlias) for one in written):
        raise ConfigurationError(
            f"which table {dag_id} publishes is known only when it runs: trigger it with dry_run"
        )
    if not tables and not models:
        raise ConfigurationError(
            f"{dag_id} publishes no table and registers no model: there is nothing to plan"
        )
    datasets = _declared(dag, "dataset")
    contract = _contract(settings, datasets[0]) if datasets else None
    history_of = history.reader(root)
    read = _read(dag, contract)
    chosen = _partitions(dag, partitions, contract, map(history_of, read))
    rebuild = made_by(dag, root, history_of)
    chosen = list(rebuild.months or ()) if rebuild else chosen
    touches = [Touch(table, "reads", history_of(table).published_version) for table in read]
    for table in tables:
        touches += _writes(table, _load(dag, chosen, contract), chosen, contract, history_of, rebuild)
    scored = [asset.name.removeprefix("model.") for asset in _triggers(dag) if asset.group == "models"]
    # Features and models rest on contracts too: those of all tables that theirs were made from.
    contracts = (
        [contract]
        if contract
        else [_contract(settings, name) for name in _datasets(settings, read, history_of)]
    )
    compared = {one.dataset: compare(one, root) for one in contracts}
    return Plan(
        dag_id=dag_id,
        tables=touches,
        suites=[
            path
            for name in _declared(dag, "suite")
            for path in (f"dags/datasets/{name}.yaml", f"expectations/{name}.json")
            if (settings.project / path).is_file()
        ],
        models={
            **{name: f"{_champion(settings, name)}; {REGISTERS}" for name in models},
            **{name: f"{_champion(settings, name)}; scores with it" for name in scored},
        },
        contracts=list(compared.values()),
        readers={one.dataset: touched(one, root) for one in contracts if compared[one.dataset].breaking},
        # The columns of a mart may be others each time.
        refusals={} if rebuild else _refusals(map(history_of, tables), root),
    )


def _dag(settings: Settings, dag_id: str) -> DAG:
    folder = settings.project / "dags"
    path = folder / f"{dag_id}.py"
    if not DAG_ID.fullmatch(dag_id) or not path.is_file():
        there = ", ".join(sorted(one.stem for one in folder.glob("*.py")))
        raise ConfigurationError(f"no such DAG: {dag_id!r}; there are {there}")
    dag: DAG = runpy.run_path(str(path))["dag"]
    return dag


def _contract(settings: Settings, dataset: str) -> Contract:
    return Contract.load_file(settings.project / "dags" / "datasets" / f"{dataset}.yaml")


def _declared(dag: DAG, attribute: str) -> list[str]:
    """What the DAG's Spark tasks name as their dataset, or as their suite."""
    return sorted({name for task in dag.tasks if (name := getattr(task, attribute, None))})


def _triggers(dag: DAG) -> list[Asset]:
    condition = getattr(dag.timetable, "asset_condition", None)
    return list(condition.objects) if condition else []


def _read(dag: DAG, contract: Contract | None) -> list[TableRef]:
    """Tables that the run reads: its tasks' inlets and what triggers the DAG; an ingest looks references up
    in them."""
    if contract is None:
        inlets = [asset for task in dag.tasks for asset in getattr(task, "inlets", ())]
        names = {asset.name: None for asset in [*inlets, *_triggers(dag)] if asset.group == "lake"}
        return [TableRef.parse(name) for name in names]
    looked_up = {table for _, table, _ in table_of(contract.dataset, contract).references.values()}
    return [TableRef.parse(name) for name in sorted(looked_up)]


def _partitions(dag: DAG, asked: str, contract: Contract | None, read: Iterable[History]) -> list[str]:
    """The partitions asked for. Raises ConfigurationError when the DAG cannot have them."""
    if not asked:
        return []
    if "start" not in dag.params:
        raise ConfigurationError(f"{dag.dag_id} is not run by partition: leave PARTITION out")
    match = PARTITIONS.fullmatch(asked)
    start, end = (match[1], match[2] or match[1]) if match else (asked, asked)
    wanted = periods(start, end)
    if contract is not None and contract.partition is not None:
        available = contract.periods_at(datetime.now(UTC))
        unknown = [name for name in wanted if name not in available]
        known = f"the {contract.partition.grain}s of {contract.dataset} are {available[0]} to {available[-1]}"
    else:
        present = {str(one.table): one.latest_by_partition() for one in read}
        periods_read = sorted({name for accounts in present.values() for name in accounts})
        unknown = [name for name in wanted if name not in periods_read]
        known = f"{', '.join(present)} has {', '.join(periods_read) or 'none'}"
    if unknown:
        raise ConfigurationError(f"{dag.dag_id}: no such partition: {', '.join(unknown)}; {known}")
    return wanted


def _load(dag: DAG, chosen: list[str], contract: Contract | None) -> Load:
    """How the published table is written; a scoring decides that by the partitions it is asked for."""
    if contract is not None:
        return contract.load
    publish: Any = dag.get_task("publish")
    declared = publish.arguments["load"]
    if declared in get_args(Load):
        return cast(Load, declared)
    return "partition" if chosen else "full"


def _writes(
    table: TableRef,
    load: Load,
    chosen: list[str],
    contract: Contract | None,
    history_of: Callable[[TableRef], History],
    rebuild: Rebuild | None,
) -> list[Touch]:
    published = history_of(table)
    if rebuild is not None and rebuild.months == ():
        return [Touch(table, f"leaves as it is: {rebuild.why}", published.version)]
    accounts = published.latest_by_partition()
    rows = {name: counts.written for name, (_, counts) in accounts.items() if name != WHOLE}
    scope = scope_of(load, published)
    partitions: dict[str, int | None] = {}
    if scope == "partitions":
        partitions = {name: rows.get(name) for name in chosen}
    elif scope == "table":
        partitions = dict(rows)
    why = f": {rebuild.why}" if rebuild else ""
    touches = [Touch(table, f"{WRITES[scope]}{why}", published.version, partitions)]
    if contract is not None:
        bronze = TableRef(zone="bronze", name=table.name)
        touches.insert(0, Touch(bronze, WRITES_BRONZE[load], history_of(bronze).version))
    touches.append(Touch(table.quarantine, "replaces its broken rows", history_of(table.quarantine).version))
    if contract is not None and contract.history is not None:
        touches.append(Touch(table.history, "adds versions", history_of(table.history).version))
    return touches


def _refusals(published: Iterable[History], root: str) -> dict[str, str]:
    """What publish would say of the tables whose columns its transforms no longer make so."""
    found = {}
    for one in published:
        try:
            require_columns(one.table.uri(root), published_columns(table_of(one.table.name)), one.now)
        except ContractError as error:
            found[str(one.table)] = str(error)
    return found


def _datasets(
    settings: Settings, read: list[TableRef], history_of: Callable[[TableRef], History]
) -> list[str]:
    """The datasets that `read` are, or were made from, as the tables' accounts tell."""
    found: set[str] = set()
    open_ = list(map(str, read))
    while open_:
        name = open_.pop()
        if name in found or name.startswith("model."):
            continue
        found.add(name)
        account = next(iter(history_of(TableRef.parse(name)).accounts), None)
        open_ += account.inputs if account else ()
    there = (path.stem for path in (settings.project / "dags" / "datasets").glob("*.yaml"))
    return sorted(name for name in there if f"silver.{name}" in found)


def _champion(settings: Settings, model: str) -> str:
    if not credentials_path(settings).is_file():
        return "champion unknown: the stack has never been started"
    login = load_or_create(settings)
    try:
        with MlflowApi(settings.mlflow_url, login.mlflow_user, login.mlflow_password) as api:
            champion = api.champion(model)
    except TrackingError:
        return f"champion unknown: MLflow at {settings.mlflow_url} does not answer"
    return f"champion is version {champion.version}" if champion else "there is no champion yet"


def _print(plan: Plan, screen: Console) -> None:
    tables = Table(title=f"Tables of {plan.dag_id}", title_justify="left")
    for heading in ("table", "the run", "version now", "partitions: rows now"):
        tables.add_column(heading, overflow="fold")
    for touch in plan.tables:
        version = "not there yet" if touch.version is None else str(touch.version)
        tables.add_row(str(touch.table), touch.action, version, _partitions_text(touch))
    screen.print(tables)
    for table, why in plan.refusals.items():
        screen.print(f"[red]{table}: refused: {escape(printable(why))}")
    for suite in plan.suites:
        screen.print(f"judged by {suite}")
    for model, text in plan.models.items():
        screen.print(f"model {model}: {text}")
    contracts = Table(title="Contracts against the tables' histories", title_justify="left")
    for heading in ("contract", "version", "published under", "changes", "effect"):
        contracts.add_column(heading, overflow="fold")
    for one in plan.contracts:
        dataset = one.table.partition(".")[2]
        changes = "\n".join(change.text for change in one.changes) or "none"
        recorded = "-" if one.recorded_version is None else str(one.recorded_version)
        effect = _effect(one, one.table in plan.refusals)
        contracts.add_row(dataset, str(one.version), recorded, changes, effect)
    screen.print(contracts)
    for dataset, names in plan.readers.items():
        screen.print(f"{dataset}: its change touches {', '.join(names)}")


def _partitions_text(touch: Touch) -> str:
    return "\n".join(
        f"{name}: {'new' if rows is None else f'{rows:,}'}" for name, rows in sorted(touch.partitions.items())
    )


def _effect(one: Comparison, table_refused: bool) -> str:
    if one.needs_version is not None:
        return f"[red]breaking: refused; needs version {one.needs_version}"
    if table_refused:
        return "[red]refused: the table's columns, see above"
    if one.recorded_version is None:
        return "[green]nothing to compare with"
    if one.breaking:
        return "[yellow]breaking, allowed by its higher version"
    return "[green]compatible" if one.changes else "[green]unchanged"
