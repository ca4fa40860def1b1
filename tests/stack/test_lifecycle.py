"""Up and down, as far as it can be told without starting the services (tests/e2e starts them)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream_stack import __main__ as command_line
from millstream_stack.credentials import credentials_path, load_or_create
from millstream_stack.environment import prepare_folders
from millstream_stack.supervision.lifecycle import down, last_lines, remove_data, running_settings, status, up


@pytest.fixture
def reports() -> list[str]:
    return []


def test_a_taken_port_stops_the_start_before_anything_runs(settings: Settings, reports: list[str]) -> None:
    with (
        socket.create_server(("127.0.0.1", settings.airflow_port)),
        pytest.raises(ConfigurationError, match="choose another port with MILLSTREAM_AIRFLOW_PORT"),
    ):
        up(settings, reports.append)

    assert [one.process for one in status(settings)] == [None] * 8
    assert not (settings.home / "airflow" / "airflow.db").exists()


def test_down_without_a_stack_says_so(settings: Settings, reports: list[str]) -> None:
    down(settings, reports.append)

    assert reports == ["the stack was not running"]


def test_an_answer_from_somebody_else_is_not_taken_for_our_service(settings: Settings) -> None:
    prepare_folders(settings)
    with socket.create_server(("127.0.0.1", settings.connect_port)):
        [spark] = [one for one in status(settings) if one.service.name == "spark-connect"]

    assert not spark.health.healthy
    assert spark.health.detail == "not started"


def test_status_asks_where_the_running_stack_listens(settings: Settings) -> None:
    prepare_folders(settings)
    (settings.home / "stack" / "settings.json").write_text(settings.model_dump_json())

    assert running_settings(Settings(root=settings.root, home=settings.home)) == settings


def test_the_record_of_a_stack_in_another_place_says_nothing(settings: Settings) -> None:
    """Of a checkout that was copied, or moved, as it ran."""
    prepare_folders(settings)
    for other in ({"home": settings.home / "elsewhere"}, {"root": settings.root / "elsewhere"}):
        record = settings.model_copy(update={**other, "airflow_port": 1})
        (settings.home / "stack" / "settings.json").write_text(record.model_dump_json())

        assert running_settings(settings) == settings


def test_clean_removes_data_and_logins_and_nothing_else(settings: Settings) -> None:
    load_or_create(settings)
    prepare_folders(settings)
    for kept in ("jars/delta.jar", "bootstrap/java_home", "somebody's/own.file"):
        (settings.home / kept).parent.mkdir(parents=True, exist_ok=True)
        (settings.home / kept).write_text("kept")
    (settings.home / "lake" / "silver").mkdir(parents=True)

    remove_data(settings)

    assert not credentials_path(settings).exists()
    assert sorted(path.name for path in settings.home.iterdir()) == [
        "bootstrap",
        "cache",
        "jars",
        "somebody's",
    ]


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {number}\n" for number in range(20_000)))

    assert last_lines(log, 2) == "line 19998\nline 19999"
    assert last_lines(tmp_path / "none.log", 2) == ""


def test_a_wrong_setting_is_one_line_not_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILLSTREAM_AIRFLOW_PORT", "http")

    assert command_line.main(["status"]) == 2

    error = capsys.readouterr().err
    expected = (
        "error: MILLSTREAM_AIRFLOW_PORT is 'http' (environment or .env): Input should be a valid integer"
    )
    assert error.startswith(expected)
    assert len(error.splitlines()) == 1


def test_an_unknown_service_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["logs", "hive"]) == 2

    assert "no service 'hive'; there are: spark-connect, mlflow, demo-sources" in capsys.readouterr().err
