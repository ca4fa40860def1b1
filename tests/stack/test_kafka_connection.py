"""An Airflow connection reaches the folder from which a stream reads it."""

from __future__ import annotations

import json

import pytest

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream.streams import access
from millstream_stack.environment import prepare_folders
from millstream_stack.services.kafka_connection import hand_on

LOGIN = {
    "bootstrap.servers": "kafka:9094",
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "SCRAM-SHA-512",
}


def test_a_defined_connection_is_handed_on_and_one_that_is_gone_is_forgotten(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_folders(settings)
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
