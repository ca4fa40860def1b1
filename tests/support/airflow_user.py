"""What a person does in Airflow's web UI and the stack's own commands do not."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tenacity import Retrying, retry_if_exception_message, stop_after_attempt, wait_fixed

from millstream_stack.clients.airflow_api import ATTEMPTS, PAUSE_S, AirflowApi, Run, Task


class AirflowUser(AirflowApi):
    """Backfills, clears, answers questions and follows links, as the web UI's forms and buttons do."""

    def backfill(self, dag_id: str, start: datetime, end: datetime) -> set[tuple[str, str]]:
        """Makes a run of every interval that begins from `start` to `end`.

        Returns: the keys of the runs of all backfills of this range.
        """
        body = {
            "dag_id": dag_id,
            "from_date": start.isoformat(),
            "to_date": end.isoformat(),
            "max_active_runs": 1,
            "reprocess_behavior": "none",
            "dag_run_conf": {},
        }
        # Airflow refuses, having made nothing, while another process holds its database; for backfills only.
        again = Retrying(
            retry=retry_if_exception_message(match=".*with 503: .*Database is locked"),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_fixed(PAUSE_S),
            reraise=True,
        )
        again(self._request, "POST", "/api/v2/backfills", repeatable=False, json=body)
        made = self._pages(
            f"/api/v2/dags/{dag_id}/dagRuns",
            "dag_runs",
            run_type="backfill",
            logical_date_gte=start.isoformat(),
            logical_date_lte=end.isoformat(),
        )
        return {(run["dag_id"], run["dag_run_id"]) for run in made}

    def clear_failed(self, run: Run) -> None:
        """Has a run's failed tasks, and what waits for them, done again."""
        self._clear(run, only_failed=True)

    def clear(self, run: Run) -> None:
        """Has all of a run done again."""
        self._clear(run, only_failed=False)

    def _clear(self, run: Run, only_failed: bool) -> None:
        body = {"dag_run_id": run.run_id, "only_failed": only_failed, "dry_run": False}
        self._request("POST", f"/api/v2/dags/{run.dag_id}/clearTaskInstances", repeatable=False, json=body)

    def questions(self, run: Run) -> list[dict[str, Any]]:
        """What the run's tasks have asked people, answered or not."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/hitlDetails"
        return list(self._pages(path, "hitl_details"))

    def answer(self, run: Run, task_id: str, option: str, params: dict[str, Any]) -> None:
        """Answers a task's question."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self._request("PATCH", path, json={"chosen_options": [option], "params_input": params})

    def links(self, task: Task) -> dict[str, str]:
        """The task's links to other tools, by their names."""
        path = f"/api/v2/dags/{task.dag_id}/dagRuns/{task.run_id}/taskInstances/{task.task_id}/links"
        answer = self._request("GET", path, params={"map_index": task.map_index})
        return {name: url for name, url in answer["extra_links"].items() if url}

    def connection_types(self) -> dict[str, str]:
        """What the form of a new connection offers: the types, each with the name that it shows."""
        forms = self._request("GET", "/ui/connections/hook_meta")
        return {form["connection_type"]: form["hook_name"] for form in forms}
