"""Spark sessions: over Connect, named so that a later attempt can find and end what an earlier one left."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from millstream.errors import ClusterError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

_NAMESPACE = uuid.UUID("6f6b0c5e-9d5a-4d0f-8f43-2d3f6a1b7c10")
# How long an interrupted operation may take to end. Measured: a Delta commit finished 40 s after its
# client was killed.
END_TIMEOUT_S = 180.0
_POLL_S = 0.2
_MODE = "SPARK_CONNECT_MODE_ENABLED"
PROBE_TIMEOUT_S = 5.0
WAIT_POLL_S = 0.5
QUERY_LOGGERS = ("DataFrameQueryContextLogger", "SQLQueryContextLogger")


def session_id(attempt: str) -> str:
    """The Connect session id of one task attempt: the same name always gives the same id (a UUID)."""
    digest = uuid.uuid5(_NAMESPACE, attempt)
    # Connect accepts version 4 only; the version bits carry no information here.
    return str(uuid.UUID(bytes=digest.bytes, version=4))


@contextmanager
def connect(
    url: str, attempt: str, earlier: list[str], tag: str, code: Path | None = None
) -> Iterator[SparkSession]:
    """A Connect session for `attempt`, after every operation of the `earlier` attempts has ended.

    Its Python workers run the library in the zip `code`, where they are not to run their machine's own.

    A client's death does not stop the server, so a retry that starts at once would write beside the
    operation that it replaces.

    Raises:
        ClusterError: the server cannot be reached, or an earlier operation does not end in time.
    """
    _require_listening(url)
    with _connect_mode():
        try:
            for name in earlier:
                end_operations(url, name)
            spark = _open(url, attempt)
            spark.addTag(tag)
            if code is not None:
                spark.addArtifacts(str(code), pyfile=True)
        except ClusterError:
            raise
        except Exception as error:
            raise _no_answer(url, error) from error
        try:
            yield spark
        except BaseException:
            # A closed session can no longer be asked what still runs in it, so end that first.
            _end(spark, attempt, END_TIMEOUT_S)
            raise
        finally:
            spark.stop()


@contextmanager
def _connect_mode() -> Iterator[None]:
    """PySpark sets this variable for good, and a later classic session in the process would be refused."""
    before = os.environ.get(_MODE)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_MODE, None)


def _as_quiet_as_made() -> None:
    """PySpark logs nothing of its Connect client unless it is asked to: it turns that logger off. Airflow
    configures logging after PySpark was imported, which turns it on again (bugs.python.org/issue44607). What
    the server refuses, and what of a closed session could not be released, would stand as errors in tasks
    that succeed. So would each exception with all of its context: who lets it pass says so.
    """
    from pyspark.logger import PySparkLogger
    from pyspark.sql.connect.logging import logger

    if "SPARK_CONNECT_LOG_LEVEL" not in os.environ:
        for quiet in (logger, *map(PySparkLogger.getLogger, QUERY_LOGGERS)):
            quiet.setLevel(logging.CRITICAL)


def end_operations(url: str, attempt: str, timeout_s: float = END_TIMEOUT_S) -> list[str]:
    """Interrupt what `attempt`'s session still runs on the server and wait until it has really ended.

    Interrupting only asks; a commit that is under way may still land, so this waits until the server
    reports no operation of that session as running. Then the session is closed: should its client still be
    alive, it can begin nothing more. A session that was closed before has nothing to end.

    Returns: ids of the operations that were interrupted.
    Raises: ClusterError when they have not ended after `timeout_s` seconds.
    """
    with _connect_mode():
        spark: Any = _open(url, attempt)
        spark.release_session_on_close = False
        try:
            interrupted = _end(spark, attempt, timeout_s)
            spark.release_session_on_close = True
        except Exception as error:
            if "SESSION_CLOSED" in str(error):
                return []
            raise
        finally:
            # Open clients call their server when the process ends, for ten minutes if it has gone; and one
            # that is closed but not stopped stays the active session, so that no later one becomes it.
            spark.stop()
        return interrupted


def _require_listening(url: str) -> None:
    """Raise ClusterError when nothing listens; PySpark itself would go on trying for ten minutes."""
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname or "", address.port or 15002), PROBE_TIMEOUT_S).close()
    except OSError as error:
        raise _no_answer(url, error) from error


def wait_for(url: str, seconds: float) -> None:
    """Returns when the server answers, or has not in so many seconds: who connects then is told.

    One on YARN that has lost its application takes minutes to come back, longer than the tries of a task.
    """
    deadline, said = time.monotonic() + seconds, False
    while time.monotonic() < deadline:
        try:
            return _require_listening(url)
        except ClusterError as error:
            if not said:
                log.warning("%s Waiting for it for up to %.0f s.", error, seconds)
            said = True
        time.sleep(WAIT_POLL_S)


def _no_answer(url: str, error: BaseException) -> ClusterError:
    return ClusterError(
        f"Spark Connect server at {url} does not answer: {_first_line(error)}. "
        "`make status` shows whether it is up; `make logs` shows why it is not."
    )


def _open(url: str, attempt: str) -> SparkSession:
    from pyspark.sql import SparkSession

    _as_quiet_as_made()
    return SparkSession.builder.remote(f"{url}/;session_id={session_id(attempt)}").create()


def _end(spark: Any, attempt: str, timeout_s: float) -> list[str]:
    interrupted = list(spark.interruptAll())
    deadline = time.monotonic() + timeout_s
    while alive := _unfinished(spark):
        if time.monotonic() > deadline:
            raise ClusterError(
                f"operations {', '.join(alive)} of the attempt {attempt} have not ended after "
                f"{timeout_s:.0f} s; restart the Spark Connect server before trying again"
            )
        time.sleep(_POLL_S)
    return interrupted


def _unfinished(spark: Any) -> list[str]:
    from pyspark.sql.connect.proto import GetStatusResponse

    # One that is TERMINATING has finished, failed or been cancelled: its thread is done, and the server keeps
    # what it would answer. For a client that died it does so for seven minutes.
    running = GetStatusResponse.OperationStatus.OPERATION_STATE_RUNNING
    return [
        operation.operation_id
        for operation in spark.client._get_operation_statuses().operation_statuses
        if operation.state == running
    ]


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
