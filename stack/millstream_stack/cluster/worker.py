"""Airflow's Celery worker, with its tasks' libraries imported, which notes when it was last alive.

Asking a worker by Celery's own `inspect ping` costs five seconds of a core for each question.
"""

from __future__ import annotations

from pathlib import Path

from celery.signals import heartbeat_sent

from millstream_stack.services.airflow_preloaded import run_preloaded

# docker-compose.yml asks how old it is.
HEARTBEAT = Path("/tmp/celery-heartbeat")
ARGUMENTS = (
    *("celery", "worker", "--skip-serve-logs"),
    # They exchange what nobody here reads, and cost each worker the messages of all others.
    *("--without-gossip", "--without-mingle"),
)


@heartbeat_sent.connect  # type: ignore[untyped-decorator]
def note_heartbeat(**_: object) -> None:
    """The broker has taken a heartbeat: two seconds apart while the worker's loop runs."""
    HEARTBEAT.touch()


if __name__ == "__main__":
    run_preloaded(list(ARGUMENTS))
