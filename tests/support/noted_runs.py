"""Runs small DAGs in a database of its own, and prints the notes of their runs as JSON.

Its argument is a folder to keep the DAG file in. Scheduler and tasks are Airflow's own, in one process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow import settings
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagbag import DBDagBag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun, DagRunNote
from airflow.utils.db import initdb
from airflow.utils.sqlalchemy import prohibit_commit
from airflow.utils.state import DagRunState
from sqlalchemy import select

DAGS = """
from airflow.sdk import DAG, get_current_context, task
from millstream_airflow.tasks.notes import leave_note, skip

@task
def publish():
    leave_note(get_current_context(), ["silver.flights: version 3", "months: 2013-01"])

@task
def look():
    skip("nothing new at the source")

@task
def build(lines):
    leave_note(get_current_context(), ["line " * 9] * lines)
    raise ValueError("broken")

@task
def silent():
    pass

with DAG("published", schedule=None):
    silent() >> publish()
with DAG("skipped", schedule=None):
    look() >> publish()
with DAG("failed", schedule=None):
    publish() >> build(1)
with DAG("long", schedule=None):
    build(90)
with DAG("silent", schedule=None):
    silent()
"""
NAME = "noted"


def main(folder: Path) -> dict[str, list[str | None]]:
    """For each DAG the notes of a run, see `notes_of`."""
    initdb()
    (folder / "noted.py").write_text(DAGS)
    session = settings.Session()
    session.add(DagBundleModel(name=NAME))
    session.commit()
    bag = DagBag(str(folder), bundle_path=folder, bundle_name=NAME)
    assert bag.import_errors == {}
    sync_bag_to_db(bag, NAME, None, session=session)
    session.commit()
    return {dag_id: notes_of(dag_id, dag, session) for dag_id, dag in sorted(bag.dags.items())}


def notes_of(dag_id: str, dag: Any, session: Any) -> list[str | None]:
    """The note of a run when it ends, and of the same run that ends again after a person has noted on it."""
    run_id = dag.test().run_id
    run = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).one()
    run.dag = DBDagBag().get_latest_version_of_dag(dag_id, session=session)
    notes = []
    for person in (None, "somebody"):
        if person:
            run.dag_run_note = DagRunNote(f"what {person} found", person)
        run.state = DagRunState.RUNNING
        # As the scheduler, which forbids whoever it calls to end its session.
        with prohibit_commit(session):
            run.update_state(session=session, execute_callbacks=False)
            session.flush()
            session.refresh(run)
            notes.append(run.note)
    return notes


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
