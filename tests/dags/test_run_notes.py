"""The note that the scheduler makes of a run when it ends."""

from __future__ import annotations

import json

import pytest

from tests.support.airflow_home import run_in


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str | None]]:
    """For each DAG the note of its run, and that of the run that ends again once a person has noted."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "own").mkdir()
    done = run_in(home, "noted_runs.py", str(home / "own"))
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
