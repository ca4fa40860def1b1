"""Alerts for DAG runs that ended without any task, which Airflow counts as successes.

A listener, because a DAG's own callbacks cannot tell such a run from one whose tasks were all skipped.
"""

from __future__ import annotations

import logging
from threading import Thread
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl
from sqlalchemy.orm import object_session

from millstream_airflow.tasks.alerts import alert

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

log = logging.getLogger(__name__)


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Called by the scheduler, within the session in which it ends the run.

    The alert is sent from a thread of its own. To look up its connections Airflow takes the thread's session,
    and would end the scheduler's; and a channel that is slow must not keep the scheduler waiting.
    """
    session = object_session(dag_run)
    assert session is not None
    if dag_run.get_task_instances(session=session):
        return
    reason = (
        "the run ended without any task, so nothing was done. Airflow makes no task outside the start_date "
        "and end_date of a DAG or task, by the run's logical date"
    )
    message = {
        "text": f"{dag_run.dag_id} did nothing in run {dag_run.run_id}: {reason}",
        "dag_id": dag_run.dag_id,
        "task_id": "",
        "run_id": dag_run.run_id,
        "error": reason,
        "url": "",
    }
    Thread(target=alert, args=(message, log), name="alert", daemon=True).start()
