"""Ports: are they free, and who holds them when they are not."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

import psutil

from millstream.errors import ConfigurationError
from millstream.settings import Settings


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that linger after a stop do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def holder(port: int) -> str | None:
    """Who listens on `port`, for a person to read; None when this user may not know."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        address: Any = connection.laddr  # an empty tuple for a socket that has none
        if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
            return _describe(connection.pid)
    return None


def _describe(pid: int) -> str:
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return f"process {pid}"
    return f"process {pid} ({command[:100]})"


def require_free(settings: Settings, fields: Iterable[str]) -> None:
    """Checks the ports of the named settings.

    Raises:
        ConfigurationError: names every taken port, its holder where it is known, and the variable to change.
    """
    problems = []
    for field in fields:
        port = getattr(settings, field)
        if not is_free(settings.host, port):
            who = holder(port) or "another process"
            problems.append(
                f"port {port} is held by {who}; stop it, or choose another port with "
                f"MILLSTREAM_{field.upper()} (in the environment or in .env)"
            )
    if problems:
        raise ConfigurationError("\n".join(problems))
