"""Hands on to a stream's process what an Airflow connection says of Kafka.

    python -m millstream_stack.services.kafka_connection <connection>

in Airflow's environment, which ends with it. Exit status: 0 the connection is defined; 1 it is not, and the
stack's own broker is meant; 2 it cannot be right.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream.streams import access
from millstream_stack.credentials import load_or_create

DEFINED, NOT_DEFINED, WRONG = 0, 1, 2


def hand_on(settings: Settings, connection: str) -> bool:
    """Whether `connection` is defined; a stream that is started now uses it.

    Raises: ConfigurationError: it cannot be right.
    """
    from millstream_stack.services.declared import service_environment

    done = subprocess.run(
        [sys.executable, "-m", __name__, connection],
        env=service_environment("airflow-scheduler", settings, load_or_create(settings)),
        cwd=settings.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (DEFINED, NOT_DEFINED):
        raise ConfigurationError(done.stderr.strip().splitlines()[-1])
    return done.returncode == DEFINED


def settings_of(connection: Any) -> dict[str, str]:
    """librdkafka's settings: the connection's extra, as of Airflow's provider for Kafka; host, login and
    password stand for what is not in it."""
    host = f"{connection.host}:{connection.port}" if connection.port else connection.host
    fields = {access.SERVERS: host, access.USER: connection.login, access.PASSWORD: connection.password}
    given: dict[str, str] = connection.extra_dejson
    return {name: value for name, value in fields.items() if value} | given


def main(name: str) -> int:
    from airflow.models.connection import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    folder = access.folder_of(Settings().home, name)
    try:
        connection = Connection.get_connection_from_secrets(name)
    except AirflowNotFoundException:
        access.forget(folder)
        return NOT_DEFINED
    try:
        access.write(folder, settings_of(connection))
    except ConfigurationError as error:
        print(f"the Airflow connection {name}: {error}", file=sys.stderr)
        return WRONG
    return DEFINED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
