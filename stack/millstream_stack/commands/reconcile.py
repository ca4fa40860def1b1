"""`make reconcile`: what the DAG `reconcile` does, by hand and over Airflow's REST API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from millstream.contracts.contract import Contract
from millstream.settings import Settings
from millstream.upkeep.reconcile import Difference, Event, compare
from millstream_stack.clients.airflow_api import AirflowApi

ASKS = {"none": "nothing", "event": "[yellow]an event", "person": "[red]a person"}


def reconcile(settings: Settings, api: AirflowApi, screen: Console) -> bool:
    """Prints every difference and tells again what readers were not told; True when no person is needed."""
    assets = {asset["name"]: asset["id"] for asset in api.assets() if asset["group"] == "lake"}
    events = {
        name: [Event.of(event["extra"], event["source_run_id"]) for event in api.asset_events(number)]
        for name, number in assets.items()
    }
    found = compare(settings.lake_root, _deadlines(settings), events, datetime.now(UTC))
    _print(found, screen)
    for lost in (one for one in found if one.remedy == "event"):
        api.tell(assets[lost.subject], lost.extra or {})
        screen.print(f"[green]told the readers of {lost.subject} again")
    return not any(one.remedy == "person" for one in found)


def _deadlines(settings: Settings) -> dict[str, timedelta]:
    contracts = map(Contract.load_file, sorted((settings.project / "dags" / "datasets").glob("*.yaml")))
    return {one.dataset: timedelta(minutes=one.deadline_minutes) for one in contracts}


def _print(found: list[Difference], screen: Console) -> None:
    if not found:
        screen.print("[green]landing, tables, ledger and asset events agree")
        return
    table = Table()
    for heading in ("what", "difference", "asks for"):
        table.add_column(heading, overflow="fold")
    for one in found:
        table.add_row(one.subject, one.text, ASKS[one.remedy])
    screen.print(table)
