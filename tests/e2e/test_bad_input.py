"""A delivery that cannot be read, as the person in the web UI meets it: message, unchanged table, cure."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream_stack.commands.demo import error_lines, follow
from tests.support.airflow_user import AirflowUser
from tests.support.carried import newest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

AIRPORTS = TableRef.parse("silver.airports")


def test_a_broken_file_is_named_on_its_task_and_clearing_heals(api: AirflowUser, settings: Settings) -> None:
    newest(api, "ingest_airports")
    before = history.version(AIRPORTS, settings.lake_root)
    assert before is not None
    source = settings.home / "demo" / "drop" / "airports" / "airports.xml"
    whole = source.read_bytes()
    moment = datetime.now(UTC)
    source.write_bytes(whole[: len(whole) // 2])
    try:
        triggered = {api.trigger("ingest_airports", {}).key}
        (run,), tasks = follow(api, moment, triggered, lambda runs, tasks: None)
    finally:
        source.write_bytes(whole)

    assert run.state == "failed"
    (culprit,) = [task for task in tasks if task.state == "failed"]
    lines = error_lines(api.log(culprit))
    assert lines[1] == "What to do:"
    shown = " ".join(line.strip() for line in lines)
    assert "airports.xml is not well-formed XML" in shown
    assert lines[2] == "  ask the source's owner for the file again, then clear the task"
    assert "Nothing was landed." in shown
    assert culprit.try_number == 1, "what cannot be read now cannot be read a minute later"
    assert history.version(AIRPORTS, settings.lake_root) == before

    api.clear_failed(run)
    runs, tasks = follow(api, moment, triggered, lambda runs, tasks: None)
    assert {one.key: one.state for one in runs}[run.key] == "success"
    published = [
        task.state for task in tasks if (task.dag_id, task.task_id) == ("ingest_airports", "publish")
    ]
    assert published == ["success"]
    assert history.version(AIRPORTS, settings.lake_root) == before
