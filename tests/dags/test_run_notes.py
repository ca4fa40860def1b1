"""The note that the scheduler makes of a run when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.settings import CHECKOUT


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str | None]]:
    """For each DAG the note of its run, and that of the run that ends again once a person has noted."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "own").mkdir()
    script = Path(__file__).parents[1] / "support" / "noted_runs.py"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")}
    done = subprocess.run(
        [sys.executable, str(script), str(home / "own")],
        env={
            **environment,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
    )
    loaded: dict[str, list[str | None]] = json.loads(done.stdout.splitlines()[-1])
    return loaded


def test_a_run_says_what_it_published_or_why_it_did_nothing(notes: dict[str, list[str | None]]) -> None:
    assert notes["published"][0] == "silver.flights: version 3\nmonths: 2013-01"
    # Its second task was skipped with the first.
    assert notes["skipped"][0] == "nothing new at the source"
    assert notes["silent"][0] is None


def test_a_run_that_failed_names_the_task_and_what_the_others_did(notes: dict[str, list[str | None]]) -> None:
    first, *rest = (notes["failed"][0] or "").splitlines()
    assert first == "failed: build"
    assert rest[:2] == ["silver.flights: version 3", "months: 2013-01"]


def test_a_note_is_cut_to_what_airflow_keeps(notes: dict[str, list[str | None]]) -> None:
    note = notes["long"][0] or ""
    assert note.startswith("failed: build\nline ")
    assert (len(note), note[-2:]) == (1000, "\n\u2026")


def test_what_a_person_has_noted_stays(notes: dict[str, list[str | None]]) -> None:
    assert {after for _, after in notes.values()} == {"what somebody found"}
