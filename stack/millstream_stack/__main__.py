"""`python -m millstream_stack up|down|status|logs|exec …`: what the make targets call."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from millstream.errors import MillstreamError
from millstream.settings import Settings
from millstream_stack.commands.screen import addresses_table, console, status_table
from millstream_stack.commands.sql_output import printable
from millstream_stack.credentials import load_or_create
from millstream_stack.environment import base_environment, prepare_folders
from millstream_stack.services.declared import services
from millstream_stack.supervision.lifecycle import down, last_lines, remove_data, running_settings, status, up

SQL_USAGE = (
    'Read-only. To query: make sql Q="select count(*) from silver.flights" (FORMAT=csv, json or parquet)'
)

NEW_USAGE = (
    "say what is new and where it comes from: make new DATASET=orders FROM=/data/orders.csv, "
    "FROM=connection:table; make new MART=sales FROM=silver.orders, or without FROM for marts/sales.sql; "
    "make new MODEL=big FROM=silver.orders LABEL='amount > 900'"
)

# What must be said of each, and what may be.
NEW_NEEDS = {"dataset": ("origin",), "mart": (), "model": ("origin", "label")}
NEW_TAKES = {"dataset": {"key", "names", "all"}, "mart": {"key"}, "model": {"label", "text"}}


def run_up(settings: Settings, _: argparse.Namespace) -> int:
    screen = console()
    up(settings, screen.print)
    screen.print(addresses_table(settings, load_or_create(settings)))
    return 0


def run_down(settings: Settings, _: argparse.Namespace) -> int:
    down(settings, console().print)
    return 0


def run_status(settings: Settings, _: argparse.Namespace) -> int:
    """Exit status 0 only when every service is healthy, so that scripts can ask too."""
    prepare_folders(settings)
    settings = running_settings(settings)
    states = status(settings)
    screen = console()
    screen.print(status_table(states))
    screen.print(addresses_table(settings, load_or_create(settings)))
    return 0 if all(state.health.healthy for state in states) else 1


def run_logs(settings: Settings, arguments: argparse.Namespace) -> int:
    names = [service.name for service in services(settings)]
    wanted = names if arguments.service is None else [arguments.service]
    if unknown := set(wanted) - set(names):
        print(f"no service {unknown.pop()!r}; there are: {', '.join(names)}", file=sys.stderr)
        return 2
    for name in wanted:
        path = settings.home / "logs" / f"{name}.log"
        print(f"==> {path}\n{last_lines(path, arguments.lines)}\n")
    return 0


def run_demo_chain(settings: Settings, _: argparse.Namespace) -> int:
    from millstream_stack.commands.demo import run_demo

    return run_demo(settings)


def run_streams_up(settings: Settings, _: argparse.Namespace) -> int:
    from millstream_stack.commands.streams import streams_up

    return streams_up(settings)


def run_demo_streams(settings: Settings, _: argparse.Namespace) -> int:
    from millstream_stack.commands import streams

    return streams.run_demo_streams(settings)


def run_sql(settings: Settings, arguments: argparse.Namespace) -> int:
    """Without a query all tables; notes go to standard error, so that programs can read the answer."""
    from millstream_stack.commands.sql import run_query
    from millstream_stack.commands.sql_output import format_named
    from millstream_stack.commands.sql_tables import list_tables

    form, settings = format_named(arguments.format), running_settings(settings)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Programs read UTF-8; a terminal that cannot show a character gets it as Python's escape sequence.
        encoding = None if form == "table" else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")
    try:
        if arguments.query.strip():
            run_query(settings, arguments.query, console(), form)
        else:
            list_tables(settings.lake_root, console(), form)
            if form == "table":
                print(SQL_USAGE, file=sys.stderr)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has enough, as `head` has. Python would complain once more when it closes the output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def run_expectations(settings: Settings, arguments: argparse.Namespace) -> int:
    from millstream_stack.commands.expectations import propose_suite

    if not arguments.dataset.strip():
        print("name a dataset: make expectations DATASET=flights", file=sys.stderr)
        return 2
    propose_suite(running_settings(settings), arguments.dataset, console())
    return 0


def run_new(settings: Settings, arguments: argparse.Namespace) -> int:
    """Writes the declarations of what is named, and overwrites nothing."""
    from millstream_stack.commands.new.dataset import new_dataset
    from millstream_stack.commands.new.mart import new_mart
    from millstream_stack.commands.new.model import new_model

    given = [name for name in NEW_NEEDS if getattr(arguments, name)]
    if len(given) != 1 or not all(getattr(arguments, name) for name in NEW_NEEDS[given[0]]):
        print(NEW_USAGE, file=sys.stderr)
        return 2
    (what,) = given
    others = {name for names in NEW_TAKES.values() for name in names} - NEW_TAKES[what]
    if strange := sorted(name.upper() for name in others if getattr(arguments, name)):
        print(f"a {what} takes no {', '.join(strange)}: leave it out. Nothing was written", file=sys.stderr)
        return 2
    if arguments.mart:
        new_mart(settings, arguments.mart, arguments.origin, console(), arguments.key)
    elif arguments.model:
        new_model(settings, arguments.model, arguments.origin, arguments.label, arguments.text, console())
    else:
        new_dataset(
            settings,
            arguments.dataset,
            arguments.origin,
            console(),
            bool(arguments.all),
            key=arguments.key,
            columns=arguments.names,
        )
    return 0


def run_new_project(settings: Settings, arguments: argparse.Namespace) -> int:
    from millstream_stack.commands.new.project import new_project

    if not arguments.folder:
        print("say where: make new-project DIR=~/lake", file=sys.stderr)
        return 2
    new_project(settings, Path(arguments.folder), console())
    return 0


def run_reconcile(settings: Settings, _: argparse.Namespace) -> int:
    """Exit status 1 when a difference needs a person."""
    from millstream_stack.clients.airflow_api import AirflowApi
    from millstream_stack.commands.reconcile import reconcile

    settings = running_settings(settings)
    credentials = load_or_create(settings)
    with AirflowApi(settings.airflow_url, credentials.airflow_user, credentials.airflow_password) as api:
        return 0 if reconcile(settings, api, console()) else 1


def run_plan(settings: Settings, arguments: argparse.Namespace) -> int:
    """Exit status 1 when a contract would be refused."""
    from millstream_stack.commands.plan import show_plan

    if not arguments.dag:
        print("name a DAG: make plan DAG=ingest_flights PARTITION=2013-01", file=sys.stderr)
        return 2
    return 0 if show_plan(running_settings(settings), arguments.dag, arguments.partition, console()) else 1


def run_clean(settings: Settings, _: argparse.Namespace) -> int:
    down(settings, console().print)
    remove_data(settings)
    return 0


def run_exec(settings: Settings, arguments: argparse.Namespace) -> int:
    """Becomes any command, in the checkout's environment."""
    prepare_folders(settings)
    os.execvpe(arguments.command[0], arguments.command, base_environment(settings))


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="millstream_stack", description=__doc__)
    commands = root.add_subparsers(dest="name", required=True)

    def command(
        name: str, run: Callable[[Settings, argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text)
        added.set_defaults(run=run)
        return added

    command("up", run_up, "start the embedded stack and wait until it is healthy")
    command("down", run_down, "stop it")
    command("status", run_status, "show every service's health, process and address")
    command("demo", run_demo_chain, "run the whole chain on the reference data, with live progress")
    command("streams-up", run_streams_up, "start the stack with Kafka, the stream and the demo's events")
    command("demo-streams", run_demo_streams, "send a day of flights through Kafka to silver")
    sql = command("sql", run_sql, "query lake tables by name, read-only; without a query list them all")
    sql.add_argument("query", nargs="?", default="")
    sql.add_argument("--format", default="", help="csv, json or parquet; a table without it")
    expectations = command(
        "expectations", run_expectations, "propose an expectation suite from the rows of a dataset or a mart"
    )
    expectations.add_argument("dataset", nargs="?", default="")
    new = command("new", run_new, "write a dataset's contract and DAG file, from a look at its data")
    new.add_argument("--dataset", default="")
    new.add_argument("--mart", default="")
    new.add_argument("--model", default="")
    new.add_argument("--label", default="", help="of a model: SQL, what it is to learn")
    new.add_argument("--key", default="", help="of a dataset or mart: the columns of its key")
    new.add_argument("--names", default="", help="of a file without a line of names: its columns")
    new.add_argument("--text", default="", help="of a model: columns whose words it reads")
    new.add_argument(
        "--from", dest="origin", default="", help="a file or connection:table; of a mart a table"
    )
    new.add_argument("--all", default="", help="anything: look at every row, not only at the first ones")
    project = command("new-project", run_new_project, "make a folder for datasets, marts and models")
    project.add_argument("folder", nargs="?", default="")
    command(
        "reconcile", run_reconcile, "compare landing, tables, ledger and asset events; repair lost events"
    )
    plan = command(
        "plan", run_plan, "show what a run of a DAG would touch, and what changed contracts would do"
    )
    plan.add_argument("dag", nargs="?", default="")
    plan.add_argument("partition", nargs="?", default="", help="a month, or first:last")
    command("clean", run_clean, "stop the stack and remove its data; what was installed stays")
    logs = command("logs", run_logs, "show the end of the services' logs")
    logs.add_argument("service", nargs="?")
    logs.add_argument("--lines", type=int, default=40)
    execute = command("exec", run_exec, "run a command in the checkout's environment")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    return root


def _setting(problem: ErrorDetails) -> str:
    """What is wrong with a setting, by the name of its variable."""
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    variable = "MILLSTREAM_" + "_".join(str(part) for part in problem["loc"]).upper()
    return f"{variable} is {problem['input']!r} (environment or .env): {message}"


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(Settings(), arguments))
    except ValidationError as error:
        for problem in error.errors():
            print(f"error: {_setting(problem)}", file=sys.stderr)
        return 2
    except MillstreamError as error:
        # It may quote the data.
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
