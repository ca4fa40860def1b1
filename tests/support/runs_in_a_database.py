"""Makes runs of every DAG in a database of its own, as Airflow's server and scheduler make them.

No task is carried out. Prints what became of each run as JSON; `test_runs_by_hand` looks at it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow import settings
from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.backfill import _get_info_list
from airflow.models.dagbag import DBDagBag
from airflow.models.dagbundle import DagBundleModel
from airflow.sdk import timezone
from airflow.utils.db import initdb
from airflow.utils.sqlalchemy import prohibit_commit
from airflow.utils.types import DagRunTriggeredByType, DagRunType

# A form's own value is now; people may choose any other, and scripts often send none.
MOMENTS = {"now": datetime.now(UTC), "none": None, "early": "2012-05-05", "within": "2013-05-15"}
REQUIRED = {"replay_quarantine": {"dataset": "flights"}}


def main(folders: list[str]) -> dict[str, Any]:
    """For each DAG: its runs by hand by the moment they were made for, when it starts by itself, and the
    intervals of a backfill."""
    initdb()
    # As in the scheduler, which also forbids whoever it calls to end its session.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    session = settings.Session()
    made = {}
    for number, folder in enumerate(folders):
        name = f"dags-{number}"
        session.add(DagBundleModel(name=name))
        session.commit()
        bag = DagBag(folder, bundle_path=Path(folder), bundle_name=name)
        assert bag.import_errors == {}
        sync_bag_to_db(bag, name, None, session=session)
        session.commit()
        made |= {dag_id: of_dag(dag_id, session) for dag_id in bag.dag_ids}
    for thread in threading.enumerate():
        if thread.name == "alert":
            thread.join(timeout=60)
            assert not thread.is_alive()
    session.rollback()
    return made


def of_dag(dag_id: str, session: Any) -> dict[str, Any]:
    # As the servers know it: out of the database.
    dag = DBDagBag().get_latest_version_of_dag(dag_id, session=session)
    assert dag is not None
    runs = {name: by_rest(dag, at, session) for name, at in MOMENTS.items()}
    scheduled = dag.next_dagrun_info(last_automated_run_info=None)
    return {
        "by_hand": {**runs, "command": by_command(dag_id, session)},
        "starts_at": scheduled and str(scheduled.run_after),
        "backfilled": backfilled(dag),
    }


def by_rest(dag: Any, at: datetime | str | None, session: Any) -> dict[str, Any]:
    """A run as the web UI and REST clients ask for it."""
    moment = timezone.parse(at) if isinstance(at, str) else at
    body = TriggerDAGRunPostBody(logical_date=moment, conf=REQUIRED.get(dag.dag_id, {}))
    asked = body.validate_context(dag)
    run = dag.create_dagrun(
        run_id=asked["run_id"],
        logical_date=asked["logical_date"],
        data_interval=asked["data_interval"],
        run_after=asked["run_after"],
        conf=asked["conf"],
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.UI,
        state="running",
        session=session,
    )
    return described(run, dag, session)


def by_command(dag_id: str, session: Any) -> dict[str, Any]:
    """A run as `airflow dags trigger` makes it."""
    run = trigger_dag(
        dag_id=dag_id,
        triggered_by=DagRunTriggeredByType.CLI,
        conf=REQUIRED.get(dag_id, {}),
        session=session,
    )
    assert run is not None
    return described(run, run.dag, session)


def described(run: Any, dag: Any, session: Any) -> dict[str, Any]:
    """How many tasks a new run has, its interval, and its state after the scheduler has looked at it."""
    run.dag = dag
    tasks = len(run.get_task_instances(session=session))
    if not tasks:
        with prohibit_commit(session):
            run.update_state(session=session, execute_callbacks=False)
            session.flush()
            # What stands in the database; nobody may have ended the session meanwhile.
            session.refresh(run)
    start = run.data_interval_start
    return {"tasks": tasks, "interval": start and str(start.date()), "state": str(run.state)}


def backfilled(dag: Any) -> list[str]:
    """The first days of the intervals that a backfill of the years 2010 to 2015 makes runs of."""
    if not dag.timetable.periodic or not dag.timetable.can_be_scheduled:
        return []
    infos = _get_info_list(
        from_date=datetime(2010, 1, 1, tzinfo=UTC),
        to_date=datetime(2015, 1, 1, tzinfo=UTC),
        reverse=False,
        dag=dag,
    )
    return [str(info.data_interval.start.date()) for info in infos if info.data_interval]


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
