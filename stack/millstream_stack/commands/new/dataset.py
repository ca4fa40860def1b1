"""`make new DATASET=orders FROM=/data/orders.csv`: contract and DAG file, from a look at the data."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import httpx
from rich.console import Console

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream.sources import HttpEndpoint
from millstream.sources.places import Folder
from millstream.sources.web import Web
from millstream_stack.commands.new import looks
from millstream_stack.commands.new.contracts import DAG, contract_text
from millstream_stack.commands.new.files import names_in, require_absent, require_name, write
from millstream_stack.commands.new.looks import Look
from millstream_stack.commands.new.places import at_place
from millstream_stack.credentials import load_or_create
from millstream_stack.environment import airflow_connections

# connection:table, with a schema in front of the table or without.
ADDRESS = re.compile(r"https?://", re.IGNORECASE)
# connection:path, a pattern or not, below the folder that the connection leads to.
PLACE = re.compile(r"(?P<connection>[a-z][a-z0-9_]*):(?P<path>.*)")
TABLE = re.compile(r"(?P<connection>[a-z][a-z0-9_]*):(?P<table>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)")


def new_dataset(
    settings: Settings,
    dataset: str,
    origin: str,
    screen: Console,
    every_row: bool = False,
    key: str = "",
    columns: str = "",
) -> None:
    """Write `dags/datasets/<dataset>.yaml` and `dags/ingest_<dataset>.py`.

    `origin` is a file, a folder, a pattern or an address, or `connection:path`, or `connection:table`. Of
    files some rows of the newest are looked at; for its key all, if asked.
    `key` and `columns`, names with commas, say what is known: the key, and the names of a file without a line
    of them.

    Raises: ConfigurationError when a file is there already, or `origin` cannot be looked at; SourceDataError
        when it cannot be read.
    """
    files = {
        settings.project / "dags" / "datasets" / f"{require_name(dataset)}.yaml": "",
        settings.project / "dags" / f"ingest_{dataset}.py": DAG.format(dataset=dataset),
    }
    require_absent(files)
    look = _look(settings, dataset, origin, every_row, names_in(key), names_in(columns))
    contract = next(iter(files))
    files[contract] = contract_text(dataset, look, names_in(key))
    write(files, settings.project, screen)
    screen.print("Read the contract and correct it, above all its key; its comments say what is not sure.")
    for note in look.notes:
        screen.print(f"Note: {note}", markup=False, soft_wrap=True)


def _look(
    settings: Settings, dataset: str, origin: str, every_row: bool, key: list[str], columns: list[str]
) -> Look:
    connections = {**airflow_connections(settings, load_or_create(settings)), **_given(os.environ)}
    if (there := PLACE.fullmatch(origin)) and _leads_to_files(connections, there["connection"]):
        os.environ.update(connections)
        from millstream_airflow.connections.files import resolved

        limit = None if every_row else looks.SAMPLE_ROWS
        return at_place(resolved(there["connection"]), there["connection"], there["path"], limit, columns)
    if table := TABLE.fullmatch(origin):
        if columns or every_row:
            what = "names its columns itself: leave out NAMES" if columns else "knows its key: leave out ALL"
            raise ConfigurationError(f"{origin}: a table of a database {what}")
        from sqlalchemy.exc import SQLAlchemyError

        from millstream.sources.sql_table import reason
        from millstream_stack.commands.new.databases import at_table

        os.environ.update(connections)
        # Airflow is imported here, because it reads its connections from the environment.
        from millstream_airflow.connections import database

        try:
            return at_table(database(table["connection"]), table["connection"], table["table"], key)
        except SQLAlchemyError as error:
            raise ConfigurationError(
                f"connection {table['connection']}: its database does not answer, or refuses: "
                f"{reason(error)}. Check both"
            ) from error
    limit = None if every_row else looks.SAMPLE_ROWS
    own = f"{dataset}_files"
    if ADDRESS.match(origin):
        return _at_address(origin, own, limit, columns)
    path = Path(origin)
    if path.is_file():
        return looks.at_file(path, _folders(connections), own, limit, columns)
    return _at_pattern(path, _folders(connections), own, limit, columns)


def _at_address(origin: str, connection: str, limit: int | None, columns: list[str]) -> Look:
    """A look at a download."""
    address = httpx.URL(origin)
    if address.userinfo or address.query:
        raise ConfigurationError(
            f"{address.copy_with(userinfo=b'', query=None)}: login and parameters go into a connection of "
            "type http; then FROM is connection:path"
        )
    base, name = str(address.copy_with(path="/")).rstrip("/"), address.path.lstrip("/")
    look = at_place(Web(HttpEndpoint(base), connection), connection, name, limit, columns)
    described = json.dumps({"conn_type": "http", "host": base})
    return replace(look, notes=(looks.to_define(connection, described), *look.notes))


def _at_pattern(
    path: Path, folders: Mapping[str, Path], connection: str, limit: int | None, columns: list[str]
) -> Look:
    """A look at a folder of this machine, or at files by a pattern."""
    fixed = Path(*takewhile(lambda part: "*" not in part, path.absolute().parts))
    if not fixed.is_dir():
        raise ConfigurationError(f"{path} is neither a file nor a folder, and no connection:table")
    rest = path.absolute().relative_to(fixed).as_posix()
    fixed = fixed.resolve()
    known, folder = next(
        ((name, one.resolve()) for name, one in folders.items() if fixed.is_relative_to(one.resolve())),
        (connection, fixed),
    )
    below = "/".join(part for part in (fixed.relative_to(folder).as_posix(), rest) if part != ".")
    look = at_place(Folder(folder, known), known, below, limit, columns)
    notes = [] if known in folders else [looks.to_define(known, looks.of_folder(folder))]
    return replace(look, notes=(*notes, *look.notes))


def _leads_to_files(connections: Mapping[str, str], name: str) -> bool:
    """Whether a connection is of a type whose files contracts read."""
    from millstream_airflow.connections.files import PROVIDED

    value = connections.get(f"AIRFLOW_CONN_{name.upper()}", "")
    try:
        kind = str(json.loads(value)["conn_type"])
    except (ValueError, KeyError, TypeError):
        kind = value.partition(":")[0]
    return kind in {"fs", "aws", "hdfs", "webhdfs", "http", *PROVIDED}


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("AIRFLOW_CONN_")}


def _folders(connections: Mapping[str, str]) -> dict[str, Path]:
    """The folders that connections of type `fs` lead to."""
    folders = {}
    for name, value in connections.items():
        try:
            read = json.loads(value)
        except ValueError:
            continue
        extra = read.get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
        if read.get("conn_type") == "fs" and extra.get("path"):
            folders[name.removeprefix("AIRFLOW_CONN_").lower()] = Path(extra["path"])
    return folders
