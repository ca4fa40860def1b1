"""The DAG that drains a stream, or lets it go on: it writes what is wanted, and waits until it holds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.bases.sensor import PokeReturnValue
from airflow.sdk.exceptions import AirflowSkipException

from millstream.errors import ConfigurationError, QualityGateError
from millstream_airflow import catalog
from millstream_airflow.tasks.alerts import RunNotifier
from millstream_airflow.tasks.notes import leave_note
from millstream_airflow.tasks.retries import TASK_ARGS

POKE_S = 5.0
TIMEOUT_S = 900.0
# What a stream says of itself when that holds which was asked for.
STATES = {"run": ("running",), "drain": ("drained", "parked")}
DOC = """
### Control a stream

- `drain`: the micro-batches that are under way are committed, and no other begins. The process stays, and
  shows `drained`.
- `run`: it goes on where its tables end, also one that has parked itself because too many rows break a rule.

`ask` writes the wish into the lake, where the stream's process looks for it every few seconds; `await_state`
looks until it holds, without a slot in between. It fails when the stream has stopped or has parked
itself again, and says why.
"""


def stream_control_dag() -> DAG:
    """The DAG `stream_control`, for every stream that has a contract."""
    streams = catalog.streams()
    with DAG(
        dag_id="stream_control",
        description="Drain a stream, or let it go on",
        doc_md=DOC,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["streams", "operations"],
        params={
            "stream": Param(streams[0], type="string", enum=streams, description="Which one."),
            "action": Param("drain", type="string", enum=list(STATES), description="What it is to do."),
        },
        dagrun_timeout=timedelta(hours=1),
        default_args={"owner": "data-platform", **TASK_ARGS},
        on_failure_callback=RunNotifier(),
    ) as dag:
        ask() >> await_state()
    return dag


@task(doc_md="Writes the wish into the lake; skips the run where the stream does not run.")
def ask() -> None:
    from millstream.streams import desired, watching

    stream, action = _params()
    if watching.seen_of_started(catalog.lake_root(), stream) is None:
        # A wish that stays there would hold the stream at its start.
        raise AirflowSkipException(watching.NOT_STARTED.format(stream=stream))
    desired.write(catalog.lake_root(), stream, cast(desired.Desired, action))


@task.sensor(
    poke_interval=POKE_S, timeout=TIMEOUT_S, mode="reschedule", doc_md="Until the stream is as was asked for."
)
def await_state() -> PokeReturnValue:
    from millstream.streams import desired, snapshot

    stream, action = _params()
    seen = snapshot.read(catalog.lake_root(), stream)
    if seen is not None and seen.state == "stopped":
        raise ConfigurationError(f"stream {stream} has stopped: {seen.reason}")
    # It may have run for less than the time between two looks.
    if action == "run" and desired.read(catalog.lake_root(), stream) == "park":
        reason = desired.reason(catalog.lake_root(), stream)
        raise QualityGateError(f"stream {stream} has parked itself again: {reason}")
    done = seen is not None and seen.state in STATES[action]
    if seen is not None and done:
        leave_note(get_current_context(), [f"{stream}: {seen.state}"])
    return PokeReturnValue(is_done=done)


def _params() -> tuple[str, str]:
    params: dict[str, Any] = dict(get_current_context()["params"])
    return params["stream"], params["action"]
