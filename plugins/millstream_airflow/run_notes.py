"""The note of every DAG run that has ended: what its tasks say of it, and which of them failed.

A listener, because a task has no way to write a note, and because what comes last of a run is not known
before it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.listeners import hookimpl
from airflow.models.xcom import XComModel
from airflow.utils.state import TaskInstanceState
from sqlalchemy.orm import object_session

from millstream_airflow.tasks.notes import KEY

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

# Of a note, by Airflow's database.
LONGEST = 1000
CUT = "\n\u2026"


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    _write(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    _write(dag_run)


def _write(dag_run: DagRun) -> None:
    """Within the session in which the run ends. What a person has written stays."""
    session = object_session(dag_run)
    assert session is not None
    written = dag_run.dag_run_note
    if written is not None and written.user_id is not None:
        return
    text = "\n".join([*_failed(dag_run, session), *_said(dag_run, session)])
    if text and text != dag_run.note:
        dag_run.note = text if len(text) <= LONGEST else text[: LONGEST - len(CUT)] + CUT


def _failed(dag_run: DagRun, session: Session) -> list[str]:
    tasks = dag_run.get_task_instances(state=[TaskInstanceState.FAILED], session=session)
    names = sorted({task.task_id for task in tasks})
    return [f"failed: {', '.join(names)}"] if names else []


def _said(dag_run: DagRun, session: Session) -> list[str]:
    """The lines of the tasks, in the order in which they were left; mapped tasks may say the same."""
    query = XComModel.get_many(run_id=dag_run.run_id, dag_ids=dag_run.dag_id, key=KEY)
    entries = session.scalars(query.order_by(None).order_by(XComModel.timestamp)).all()
    values = [XComModel.deserialize_value(entry) for entry in entries]
    # An XCom can be edited by hand.
    return list(dict.fromkeys(value for value in values if isinstance(value, str) and value))
