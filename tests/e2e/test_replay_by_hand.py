"""The quarantine's DAG on the real stack: weather has one row in it, a wind of 1,048 miles per hour."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from millstream.lake import history
from millstream.lake.tables import DECISIONS, TableRef
from millstream.settings import Settings
from millstream_stack.clients.airflow_api import Run, Task
from millstream_stack.commands.demo import follow
from millstream_stack.credentials import Credentials
from tests.e2e.test_one_month import lake_rows
from tests.e2e.test_reconcile_and_maintain import reconciled
from tests.support.airflow_user import AirflowUser
from tests.support.carried import carry
from tests.support.thorough import thorough
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

WEATHER = TableRef.parse("silver.weather")
ACCEPT = {"dataset": "weather", "reason": "wind_speed_mph", "action": "accept", "dry_run": False}


@pytest.fixture(scope="module", autouse=True)
def weather(api: AirflowUser, settings: Settings) -> None:
    if history.version(WEATHER, settings.lake_root) is None:
        carry(api, "ingest_weather")


def versions(settings: Settings) -> list[int | None]:
    return [history.version(table, settings.lake_root) for table in (WEATHER, WEATHER.quarantine, DECISIONS)]


def waits_for_an_answer(tasks: list[Task], run: Run) -> bool:
    return any((task.dag_id, task.run_id) == run.key and task.state == "awaiting_input" for task in tasks)


def asked_and_answered(
    api: AirflowUser, option: str, conf: dict[str, Any] = ACCEPT
) -> tuple[list[Task], list[dict[str, Any]]]:
    """Trigger the DAG, answer its question, follow it; the tasks of everything, and what was asked."""
    moment, asked = datetime.now(UTC), []
    run = api.trigger("replay_quarantine", conf)

    def answer(runs: list[Run], tasks: list[Task]) -> None:
        for question in api.questions(run) if waits_for_an_answer(tasks, run) else []:
            if not question["response_received"]:
                asked.append(question)
                api.answer(run, "ask", option, {"note": "seen with the station"})

    runs, tasks = follow(api, moment, {run.key}, answer)
    assert [one.state for one in runs if one.key == run.key] == ["success"]
    return tasks, asked


def test_a_dry_run_changes_nothing(api: AirflowUser, settings: Settings) -> None:
    before = versions(settings)
    _, tasks = carry(api, "replay_quarantine", conf={"dataset": "weather"})
    states = {task.task_id: task.state for task in tasks if task.dag_id == "replay_quarantine"}
    assert (states["find"], states["ask"], states["plan"]) == ("success", "skipped", "success")
    assert {state for name, state in states.items() if name.startswith("replay.")} <= {"skipped"}
    (plan,) = [task for task in tasks if (task.dag_id, task.task_id) == ("replay_quarantine", "plan")]
    said = [str(line["event"]) for line in api.log(plan)]
    assert "replay: 1 quarantined rows of weather" in said
    assert "dry run: nothing was changed. It would publish again:" in said
    assert versions(settings) == before


def test_a_row_that_a_person_keeps_stays_in_quarantine(
    api: AirflowUser, settings: Settings, credentials: Credentials
) -> None:
    before = versions(settings)
    tasks, (question,) = asked_and_answered(api, "keep")
    assert (question["options"], question["defaults"]) == (["keep", "accept", "drop"], ["keep"])
    assert "wind_speed_mph" in question["body"]
    # The row itself, as the station sent it.
    assert "`wind_speed_mph=1048.36058`" in question["body"]
    states = {(task.task_id, task.state) for task in tasks}
    assert {("ask", "success"), ("record_decision", "skipped"), ("plan", "success")} <= states
    (asked,) = [task for task in tasks if task.task_id == "ask"]
    said = [str(entry["event"]) for entry in api.log(asked)]
    assert any(line.startswith(f"{credentials.airflow_user} answered keep, ") for line in said)
    assert versions(settings) == before


@pytest.mark.thorough
def test_a_row_that_still_breaks_a_rule_stays_when_it_is_replayed(
    api: AirflowUser, settings: Settings
) -> None:
    before, (kept,) = versions(settings), lake_rows(settings, str(WEATHER.quarantine))
    rows = len(lake_rows(settings, str(WEATHER)))
    _, tasks = carry(
        api, "replay_quarantine", conf={"dataset": "weather", "action": "replay", "dry_run": False}
    )
    states = {task.task_id: task.state for task in tasks if task.dag_id == "replay_quarantine"}
    # Nobody is asked about what the rules decide.
    assert (states["ask"], states["record_decision"]) == ("skipped", "skipped")
    done = ("find", "plan", "replay.transform", "replay.quality_gate", "replay.publish")
    assert {states[name] for name in done} == {"success"}
    assert versions(settings) == before
    assert lake_rows(settings, str(WEATHER.quarantine)) == [kept]
    assert len(lake_rows(settings, str(WEATHER))) == rows == 26_111


def past(settings: Settings, run: Run) -> None:
    """Have the time to answer the run's question be over, as if its twelve hours had passed."""
    database = settings.home / "airflow" / "airflow.db"
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        changed = connection.execute(
            "UPDATE task_instance SET trigger_timeout = '2000-01-01 00:00:00.000000' "
            "WHERE dag_id = ? AND run_id = ? AND task_id = 'ask' AND trigger_timeout IS NOT NULL",
            run.key,
        )
        assert changed.rowcount == 1


@pytest.mark.thorough
def test_a_question_that_nobody_answers_in_time_keeps_the_row(api: AirflowUser, settings: Settings) -> None:
    """Airflow's scheduler answers for that person."""
    before = versions(settings)
    moment, run, ended = datetime.now(UTC), api.trigger("replay_quarantine", ACCEPT), False

    def end(runs: list[Run], tasks: list[Task]) -> None:
        nonlocal ended
        if not ended and waits_for_an_answer(tasks, run):
            past(settings, run)
            ended = True

    runs, tasks = follow(api, moment, {run.key}, end)
    assert ended
    assert [one.state for one in runs if one.key == run.key] == ["success"]
    states = {task.task_id: task.state for task in tasks if task.dag_id == "replay_quarantine"}
    assert (states["ask"], states["record_decision"], states["plan"]) == ("success", "skipped", "success")
    (question,) = api.questions(run)
    assert (question["chosen_options"], question["responded_by_user"]) == (["keep"], None)
    assert versions(settings) == before


@pytest.mark.parametrize("number", thorough(*range(6)))
def test_a_question_that_is_answered_at_once_is_asked_once(api: AirflowUser, number: int) -> None:
    """The task's first part, which asked, may end after its second has begun."""
    moment, run = datetime.now(UTC), api.trigger("replay_quarantine", ACCEPT)
    until(lambda: waits_for_an_answer(api.tasks_since(moment), run), 300, "a question")
    api.answer(run, "ask", "keep", {"note": ""})
    runs, tasks = follow(api, moment, {run.key}, lambda runs, tasks: None)
    assert [one.state for one in runs if one.key == run.key] == ["success"]
    assert [task.try_number for task in tasks if task.task_id == "ask"] == [1]


def test_a_row_that_a_person_accepts_is_published_and_told(
    api: AirflowUser, settings: Settings, credentials: Credentials
) -> None:
    tasks, _ = asked_and_answered(api, "accept")
    states = {(task.dag_id, task.task_id): task.state for task in tasks}
    assert states["replay_quarantine", "replay.publish"] == "success"
    assert states["build_features", "publish"] == "success"

    assert lake_rows(settings, str(WEATHER.quarantine)) == []
    (row,) = [row for row in lake_rows(settings, str(WEATHER)) if (row["wind_speed_mph"] or 0) > 1000]
    (decision,) = lake_rows(settings, str(DECISIONS))
    assert (decision["source_row_id"], decision["action"]) == (row["_source_row_id"], "accept")
    assert (decision["decided_by"], decision["note"]) == (credentials.airflow_user, "seen with the station")
    account = history.read(WEATHER, settings.lake_root).accounts[0]
    assert (account.read, account.written, account.accepted) == (26_115, 26_112, 1)
    assert "agree" in reconciled(settings, api)


@pytest.mark.thorough
def test_a_decision_that_is_withdrawn_puts_the_row_back(api: AirflowUser, settings: Settings) -> None:
    if lake_rows(settings, str(WEATHER.quarantine)):
        asked_and_answered(api, "accept")
    tasks, (question,) = asked_and_answered(api, "withdraw", {**ACCEPT, "action": "withdraw"})
    assert question["options"] == ["keep", "withdraw"]
    assert "1 rows of `silver.weather` that were accepted or dropped" in question["body"]
    assert ("replay.publish", "success") in {(task.task_id, task.state) for task in tasks}

    assert [row["wind_speed_mph"] > 1000 for row in lake_rows(settings, str(WEATHER.quarantine))] == [True]
    assert not [row for row in lake_rows(settings, str(WEATHER)) if (row["wind_speed_mph"] or 0) > 1000]
    actions = {row["action"] for row in lake_rows(settings, str(DECISIONS))}
    assert actions == {"accept", "withdraw"}
    account = history.read(WEATHER, settings.lake_root).accounts[0]
    assert (account.written, account.quarantined, account.accepted) == (26_111, 1, 0)
    assert "agree" in reconciled(settings, api)


@pytest.mark.thorough
def test_a_row_that_a_person_drops_is_published_nowhere(
    api: AirflowUser, settings: Settings, credentials: Credentials
) -> None:
    (kept,) = lake_rows(settings, str(WEATHER.quarantine))
    tasks, (question,) = asked_and_answered(api, "drop", {**ACCEPT, "action": "drop"})
    assert question["options"] == ["keep", "accept", "drop"]
    assert ("replay.publish", "success") in {(task.task_id, task.state) for task in tasks}

    assert lake_rows(settings, str(WEATHER.quarantine)) == []
    rows = lake_rows(settings, str(WEATHER))
    assert len(rows) == 26_111
    assert kept["_source_row_id"] not in {row["_source_row_id"] for row in rows}
    decision = max(lake_rows(settings, str(DECISIONS)), key=lambda row: row["decided_at"])
    assert (decision["source_row_id"], decision["action"]) == (kept["_source_row_id"], "drop")
    assert decision["decided_by"] == credentials.airflow_user
    account = history.read(WEATHER, settings.lake_root).accounts[0]
    assert (account.read, account.written, account.quarantined, account.deduplicated) == (
        26_115,
        26_111,
        0,
        3,
    )
    assert (account.dropped, account.accepted) == (1, 0)
    assert "agree" in reconciled(settings, api)
