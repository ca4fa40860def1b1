"""The job's code runs in the task, its queries on a warm Spark Connect server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millstream.errors import ConfigurationError
from millstream.landing.manifest import run_key
from millstream.settings import Settings
from millstream_airflow import catalog
from millstream_airflow.engines import Attempt, history_page, history_url

if TYPE_CHECKING:
    from airflow.sdk import Connection

# How many earlier tries of a task are looked for on the server.
EARLIER_TRIES = 5
LONGEST_TAG = 60
LONGEST_WAIT_S = 3600


class Engine:
    """Spark Connect. Of the connection's extra, `ui_url` is the address of the server's own pages, or
    `history_url` that of a history server; with `send_code` the executors run this checkout's code, and not
    what is installed where they are; `wait_seconds` is how long a server is waited for that does not answer,
    as one that is being started again."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._application = ""

    def run(
        self, job: str, arguments: dict[str, Any], attempt: Attempt, environment: Mapping[str, str]
    ) -> dict[str, Any]:
        from millstream import jobs
        from millstream.engines import sessions

        os.environ.update(environment)
        # The arguments are checked before a session is asked for.
        jobs.parse(job, arguments)
        url = f"sc://{self._connection.host}:{self._connection.port or 15002}"
        tag = run_key(attempt.run_id)[:LONGEST_TAG]
        code = catalog.code() if self._connection.extra_dejson.get("send_code") else None
        earlier = attempt.earlier(EARLIER_TRIES)
        sessions.wait_for(url, self._wait_seconds())
        with sessions.connect(url, attempt.name, earlier, tag=tag, code=code) as spark:
            if history_url(self._connection):
                # Only the server knows it.
                self._application = str(spark.conf.get("spark.app.id"))
            return jobs.execute(spark, job, arguments)

    def _wait_seconds(self) -> float:
        given = self._connection.extra_dejson.get("wait_seconds", 0)
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= LONGEST_WAIT_S:
            raise ConfigurationError(
                f"connection {self._connection.conn_id}: wait_seconds in its extra is {given!r}: expected a "
                f"number of seconds from 0 to {LONGEST_WAIT_S}"
            )
        return given

    def url(self, attempt: Attempt) -> str | None:
        from millstream.engines.sessions import session_id

        if history_url(self._connection):
            return history_page(self._connection, self._application)
        port = Settings().spark_ui_port
        ui = self._connection.extra_dejson.get("ui_url") or f"http://{self._connection.host}:{port}"
        return f"{ui}/connect/session/?id={session_id(attempt.name)}"

    def kill(self) -> None:
        """Nothing to do: a session ends what runs in it when its task ends, however it does."""
