"""Hands on to a stream's process what an Airflow connection says of Kafka.

    python -m millstream_stack.services.kafka_connection <connection>

in Airflow's environment, which ends with it. Exit status: 0 the connection is defined; 20 it is not, and the
stack's own broker is meant; 21 it cannot be right, or cannot be read.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream.streams import access
from millstream_stack.credentials import load_or_create

# Python ends with 1 or 2 by itself.
DEFINED, NOT_DEFINED, WRONG = 0, 20, 21


def hand_on(settings: Settings, connection: str) -> bool:
    """Whether `connection` is defined; a stream that is started now uses it.

    Raises: ConfigurationError: it cannot be right, or Airflow cannot say; what is kept of it stays.
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
        *_, last = ["nothing", *done.stderr.strip().splitlines()]
        if done.returncode == WRONG:
            raise ConfigurationError(last)
        raise ConfigurationError(
            f"asking Airflow for the connection {connection} ended with status {done.returncode} and said: "
            f"{last}"
        )
    return done.returncode == DEFINED


def settings_of(connection: Any) -> dict[str, str]:
    """librdkafka's settings: the connection's extra, as of Airflow's provider for Kafka; host, login and
    password stand for what is not in it."""
    host = f"{connection.host}:{connection.port}" if connection.port else connection.host
    fields = {access.SERVERS: host, access.USER: connection.login, access.PASSWORD: connection.password}
    given: dict[str, str] = connection.extra_dejson
    return {name: value for name, value in fields.items() if value} | given


def settings_from_airflow(connection: str) -> dict[str, str] | None:
    """What the first of Airflow's secrets backends that has `connection` says; None if none has it.

    Airflow itself takes an error of a backend for the answer that it has no such connection.
    """
    from airflow.configuration import ensure_secrets_loaded

    for backend in ensure_secrets_loaded():
        try:
            if found := backend.get_connection(conn_id=connection):
                return settings_of(found)
        except NotImplementedError:
            # It has variables alone.
            continue
        except Exception as error:
            # Its words may have the password.
            raise ConfigurationError(
                f"{type(backend).__name__} cannot read it ({type(error).__name__}). What to do: write it "
                "anew, in the form that Airflow knows and under its present Fernet key, or mend the backend"
            ) from error
    return None


def main(name: str) -> int:
    folder = access.folder_of(Settings().home, name)
    try:
        given = settings_from_airflow(name)
        if given is None:
            access.forget(folder)
            return NOT_DEFINED
        access.write(folder, given)
    except ConfigurationError as error:
        print(f"the Airflow connection {name}: {error}", file=sys.stderr)
        return WRONG
    return DEFINED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
