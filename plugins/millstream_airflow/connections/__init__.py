"""Makes the extractor of a contract's Airflow connection: one module a kind of source, by its name.

Each has a function `resolved` that reads the connection, by the hooks of Airflow's providers.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from pydantic import ValidationError
from sqlalchemy import Engine

from millstream import sources
from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError
from millstream.sources import Extractor

HOW_TO_INSTALL = (
    "Add it to the dependencies in pyproject.toml, lock it as "
    "docs/adr/0011-one-locked-environment.md says, run `make`, and start the stack again"
)


def extractor_for(contract: Contract) -> Extractor:
    """The extractor of a contract's source, connected as its Airflow connection says.

    Raises ConfigurationError when the connection is not defined or is of another kind than the source.
    """
    if not contract.source.read_by_runs:
        raise ConfigurationError(f"{contract.dataset}: a topic is read by a stream, not by tasks of a DAG")
    kind, connection = contract.source.kind, contract.source.connection
    with _defined(connection):
        resolved = importlib.import_module(f"{__name__}.{kind}").resolved(connection)
    extractor: Extractor = sources.of_kind(kind).EXTRACTOR(contract, resolved)
    return extractor


def database(connection: str) -> Engine:
    """The database of a connection. Raises ConfigurationError when it is not defined, or leads to none."""
    with _defined(connection):
        engine: Engine = importlib.import_module(f"{__name__}.sql").resolved(connection)
    return engine


def definition(contract: Contract) -> str:
    """The connection of a contract's source as it is now, with its secrets: to be compared, never shown.

    Raises ConfigurationError when it is not defined.
    """
    with _defined(contract.source.connection):
        return str(BaseHook.get_connection(contract.source.connection).get_uri())


def slice_of(contract: Contract, piece: dict[str, Any]) -> Any:
    """One of the slices that the extractor planned, from its JSON form.

    Raises ConfigurationError when it is not valid, because an XCom was edited.
    """
    try:
        return sources.of_kind(contract.source.kind).SLICE.model_validate(piece)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()
        )
        raise ConfigurationError(
            f"{contract.dataset}: not a slice that plan returned: {wrong}. Nothing was fetched. Clear the "
            "plan task of this run"
        ) from error


@contextmanager
def _defined(connection: str) -> Iterator[None]:
    try:
        yield
    except AirflowNotFoundException as error:
        raise ConfigurationError(
            f"connection {connection} is not defined: add it under Admin > Connections, or as the "
            f"environment variable AIRFLOW_CONN_{connection.upper()}"
        ) from error
