"""Asking services whether they are well, with a bound on every question."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import cache

import httpx

TIMEOUT_S = 5.0


@cache
def _client() -> httpx.Client:
    """One client for all questions: each new one loads every certificate authority, 30 ms of a core."""
    return httpx.Client(timeout=TIMEOUT_S, trust_env=False)


@dataclass(frozen=True)
class Health:
    """The answer of one service; `detail` says what is wrong when it is not well.

    One that is `parked` is not well, but up: it does nothing until a person lets it.
    """

    healthy: bool
    detail: str = ""
    parked: bool = False


def port_answers(host: str, port: int) -> Health:
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S):
            return Health(True)
    except OSError as error:
        return Health(False, f"port {port}: {error.strerror or error}")


def http_answers(url: str) -> Health:
    try:
        status = _client().get(url).status_code
    except httpx.HTTPError as error:
        return Health(False, f"{url}: {error}")
    return Health(True) if status == httpx.codes.OK else Health(False, f"{url}: HTTP {status}")


def airflow_component(airflow_url: str, component: str) -> Health:
    """What Airflow's own monitor says of its scheduler, triggerer or DAG processor (judged by heartbeats)."""
    url = f"{airflow_url}/api/v2/monitor/health"
    try:
        status = _client().get(url).json()[component]["status"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return Health(False, f"{url}: {error}")
    return Health(
        status == "healthy", "" if status == "healthy" else f"Airflow reports {status or 'no heartbeat'}"
    )
