"""What a person sees in the terminal: tables and progress lines, plain where the output is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from millstream.settings import Settings
from millstream_stack.credentials import Credentials, credentials_path
from millstream_stack.supervision.lifecycle import ServiceStatus

# A log file or CI has no width of its own; narrow columns would break names apart.
PLAIN_WIDTH = 140


def console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def duration(seconds: float) -> str:
    """Elapsed time as a person says it: 9 s, 2 min 05 s, 3 h 12 min."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def status_table(statuses: Iterable[ServiceStatus]) -> Table:
    table = Table(title="Embedded stack", title_justify="left")
    for heading in ("service", "health", "process", "pid", "uptime", "address"):
        table.add_column(
            heading, justify="right" if heading in ("pid", "uptime") else "left", overflow="fold"
        )
    for status in statuses:
        process = status.process
        table.add_row(
            status.service.title,
            "[green]healthy" if status.health.healthy else f"[red]{status.health.detail or 'not healthy'}",
            process.state.lower() if process else "-",
            str(process.pid) if process and process.pid else "-",
            duration(process.uptime_s) if process and process.pid else "-",
            status.service.url,
        )
    return table


def addresses_table(settings: Settings, credentials: Credentials) -> Table:
    """Where to go and how to log in; passwords only on a terminal, so that no log keeps them."""
    table = Table(title="Open in a browser", title_justify="left")
    for heading in ("what", "address", "login"):
        table.add_column(heading, overflow="fold")
    for title, url, user, password in (
        ("Airflow", settings.airflow_url, credentials.airflow_user, credentials.airflow_password),
        ("MLflow", settings.mlflow_url, credentials.mlflow_user, credentials.mlflow_password),
    ):
        shown = password if sys.stdout.isatty() else f"password in {credentials_path(settings)}"
        table.add_row(title, url, f"{user} / {shown}")
    table.add_row("Dashboards", settings.dashboards_url, "as in Airflow")
    table.add_row("Spark UI", settings.spark_ui_url, "-")
    return table
