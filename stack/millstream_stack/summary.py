"""What the demo ends with: every table's account, every candidate's metrics, the champions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from millstream import ledger
from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream_stack.credentials import Credentials

TABLE_ZONES = ("silver.", "gold.")
MODEL_PREFIX = "model."


def summarise(
    settings: Settings, credentials: Credentials, assets: Iterable[dict[str, Any]], screen: Console
) -> bool:
    """Prints the summary; returns whether every asset Airflow knows has something to show for it."""
    names = sorted(asset["name"] for asset in assets)
    tables = [name for name in names if name.startswith(TABLE_ZONES)]
    return print_tables(settings.lake_root, tables, screen)


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
        "adds up",
        "verdict",
    ):
        table.add_column(heading, justify="left" if heading in ("table", "verdict") else "right")
    complete = True
    for name in names:
        accounts = ledger.latest_by_partition(_reference(name), lake_root)
        if not accounts:
            table.add_row(name, "-", "", "", "", "", "", "[red]nothing published")
            complete = False
            continue
        entry = max((found for found, _ in accounts.values()), key=lambda found: found.version or 0)
        counts = [one for _, one in accounts.values()]
        read, written, quarantined, deduplicated = (
            sum(getattr(one, field) for one in counts)
            for field in ("read", "written", "quarantined", "deduplicated")
        )
        adds_up = read == written + quarantined + deduplicated
        complete &= adds_up
        table.add_row(
            name, str(entry.version), f"{read:,}", f"{written:,}", f"{quarantined:,}", f"{deduplicated:,}",
            "[green]yes" if adds_up else "[red]no", _verdict(entry.verdict),
        )  # fmt: skip
    screen.print(table)
    return complete


def _reference(name: str) -> TableRef:
    zone, _, table = name.partition(".")
    return TableRef(zone=zone, name=table)


def _verdict(verdict: dict[str, Any]) -> str:
    return str(verdict)
