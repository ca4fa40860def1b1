"""Kafka, the stream of flights, its alerts, the demo's events. `MILLSTREAM_HOST` says where the broker is."""

from __future__ import annotations

import sys
from collections.abc import Callable

from millstream.settings import Settings
from millstream_stack.cluster import mlflow, spark
from millstream_stack.services.stream_process import (
    ALERTS_OPTIONS,
    alerts_command,
    stream_command,
    stream_environment,
    write_stream_properties,
)

DATASET = "flight_events"
DAY, DAY_S = "2013-01-15", "60"


def environment(service: str, base: dict[str, str], settings: Settings) -> dict[str, str]:
    options = ALERTS_OPTIONS if service == "stream-alerts" else ""
    # A stream scores with the champion.
    registry = mlflow.client_environment() if service == "stream-flights" else {}
    return {**spark.environment(base), **stream_environment(settings, options), **registry}


def command(service: str, settings: Settings) -> tuple[str, ...]:
    """What a service runs."""
    return COMMANDS[service](settings)


def _stream(settings: Settings) -> tuple[str, ...]:
    write_stream_properties(settings)
    return stream_command(settings, DATASET)


def _alerts(settings: Settings) -> tuple[str, ...]:
    write_stream_properties(settings)
    return alerts_command(settings, DATASET)


def _events(settings: Settings, *arguments: str) -> tuple[str, ...]:
    program = (sys.executable, "-m", "millstream_demo", "events", "--servers", settings.kafka_servers)
    return (*program, *arguments)


COMMANDS: dict[str, Callable[[Settings], tuple[str, ...]]] = {
    "kafka": lambda _: (sys.executable, "-m", "millstream_stack.services.kafka_broker"),
    "stream-flights": _stream,
    "stream-alerts": _alerts,
    "streams-setup": lambda settings: _events(settings, "--make-topic"),
    "demo-events": lambda settings: _events(settings, "--day", DAY, "--seconds", DAY_S),
}
