"""An Airflow connection reaches the folder from which a stream reads it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream.streams import access
from millstream_stack.credentials import load_or_create
from millstream_stack.environment import prepare_folders
from millstream_stack.services.declared import service_environment
from millstream_stack.services.kafka_connection import hand_on

LOGIN = {
    "bootstrap.servers": "kafka:9094",
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "SCRAM-SHA-512",
}
COLUMNS = "conn_id, conn_type, description, host, schema, login, password, port, is_encrypted, "
COLUMNS += "is_extra_encrypted, extra, team_name"


@pytest.fixture
def connections(settings: Settings) -> Engine:
    """Airflow's database, with the table that is read and no other."""
    prepare_folders(settings)
    environment = service_environment("airflow-scheduler", settings, load_or_create(settings))
    engine = create_engine(environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.begin() as database:
        database.execute(text(f"CREATE TABLE connection (id INTEGER PRIMARY KEY, {COLUMNS})"))
    return engine


def test_a_defined_connection_is_handed_on_and_one_that_is_gone_is_forgotten(
    settings: Settings, connections: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"conn_type": "kafka", "login": "reader", "password": 'se"cret', "extra": LOGIN}
    monkeypatch.setenv("AIRFLOW_CONN_EVENTS", json.dumps(given))
    assert hand_on(settings, "events")
    kept = access.of(settings.home, "events", "other:9092")
    assert kept.client == {**LOGIN, "sasl.username": "reader", "sasl.password": 'se"cret'}

    monkeypatch.delenv("AIRFLOW_CONN_EVENTS")
    assert not hand_on(settings, "events")
    assert access.of(settings.home, "events", "other:9092").servers == "other:9092"


def test_a_wrong_connection_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_folders(settings)
    given = {"conn_type": "kafka", "host": "kafka", "port": 9094, "password": "secret", "extra": {}}
    monkeypatch.setenv("AIRFLOW_CONN_EVENTS", json.dumps(given))
    with pytest.raises(ConfigurationError, match=r"^the Airflow connection events: .*no sasl.password$"):
        hand_on(settings, "events")


def test_what_airflow_cannot_read_is_not_taken_for_not_defined(
    settings: Settings, connections: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = access.folder_of(settings.home, "events")
    access.write(folder, {"bootstrap.servers": "kafka:9094"})
    monkeypatch.setenv("AIRFLOW_CONN_EVENTS", '{"conn_type": "kafka", "password": "secret", }')
    said = "^the Airflow connection events: EnvironmentVariablesBackend cannot read it .*What to do"
    with pytest.raises(ConfigurationError, match=said) as wrong:
        hand_on(settings, "events")
    assert "secret" not in str(wrong.value)

    monkeypatch.delenv("AIRFLOW_CONN_EVENTS")
    with connections.begin() as database:
        names = "conn_id, conn_type, host, password, is_encrypted, is_extra_encrypted"
        values = "'events', 'kafka', 'kafka', 'by another key', 1, 0"
        database.execute(text(f"INSERT INTO connection ({names}) VALUES ({values})"))
    with pytest.raises(ConfigurationError, match=r"^the Airflow connection events: Metastore.*InvalidToken"):
        hand_on(settings, "events")
    assert folder.exists()


@pytest.mark.parametrize(
    ("status", "written", "said"),
    [
        (1, "Traceback\nPermissionError: denied\n", "ended with status 1 and said: PermissionError: denied"),
        (-9, "", "ended with status -9 and said: nothing"),
    ],
)
def test_a_question_that_fails_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, status: int, written: str, said: str
) -> None:
    prepare_folders(settings)

    def ended(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, status, "", written)

    monkeypatch.setattr(subprocess, "run", ended)
    with pytest.raises(ConfigurationError, match=f"the connection events {said}"):
        hand_on(settings, "events")
