"""A taken port: the message names it, who holds it, and the variable to change."""

from __future__ import annotations

import os
import socket

import pytest

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream_stack.supervision.ports import holder, is_free, require_free


def test_free_ports_pass(settings: Settings) -> None:
    require_free(settings, ["airflow_port", "mlflow_port"])


def test_a_taken_port_is_an_error_that_says_what_to_do(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.mlflow_port)):
        with pytest.raises(ConfigurationError) as caught:
            require_free(settings, ["airflow_port", "mlflow_port"])

        assert holder(settings.mlflow_port) is not None
    message = str(caught.value)
    assert f"port {settings.mlflow_port} is held by process {os.getpid()} (" in message
    assert "choose another port with MILLSTREAM_MLFLOW_PORT" in message
    assert "AIRFLOW" not in message


def test_every_taken_port_is_named_at_once(settings: Settings) -> None:
    with (
        socket.create_server(("127.0.0.1", settings.mlflow_port)),
        socket.create_server(("127.0.0.1", settings.sources_port)),
        pytest.raises(ConfigurationError, match=r"MLFLOW_PORT(.|\n)*SOURCES_PORT"),
    ):
        require_free(settings, ["mlflow_port", "sources_port"])


def test_a_port_is_free_again_once_its_holder_has_gone(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.mlflow_port)):
        assert not is_free("127.0.0.1", settings.mlflow_port)

    assert is_free("127.0.0.1", settings.mlflow_port)
