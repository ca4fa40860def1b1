"""Passwords: generated, kept, and readable by their owner only."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream_stack.credentials import Credentials, credentials_path, load_or_create


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_may_read_them(settings: Settings) -> None:
    load_or_create(settings)

    assert mode(credentials_path(settings)) == 0o600
    assert mode(credentials_path(settings).parent) == 0o700


def test_they_are_kept(settings: Settings) -> None:
    assert load_or_create(settings) == load_or_create(settings)


def test_no_two_secrets_and_no_two_installations_share_one() -> None:
    first, second = (
        set(Credentials().model_dump(exclude={"airflow_user", "mlflow_user"}).values()) for _ in "ab"
    )

    assert len(first) == len(second) == 8
    assert not first & second
    assert all(len(secret) >= 32 for secret in first)


def test_a_secret_added_by_a_later_version_leaves_the_others(settings: Settings) -> None:
    before = load_or_create(settings)
    path = credentials_path(settings)
    stored = json.loads(path.read_text())
    del stored["demo_api_token"]
    path.write_text(json.dumps(stored))

    after = load_or_create(settings)

    assert after.airflow_password == before.airflow_password
    assert after.demo_api_token != before.demo_api_token
    assert json.loads(path.read_text())["demo_api_token"] == after.demo_api_token
    assert mode(path) == 0o600


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ('{"airflow_password": "hidden",}', "Invalid JSON"),
        ('{"mlflow_password": 170017}', "mlflow_password: "),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_its_secrets_are_not(
    settings: Settings, stored: str, expected: str
) -> None:
    load_or_create(settings)
    credentials_path(settings).write_text(stored)

    with pytest.raises(ConfigurationError) as refused:
        load_or_create(settings)

    assert str(credentials_path(settings)) in str(refused.value)
    assert expected in str(refused.value)
    assert not any(secret in str(refused.value) for secret in ("hidden", "170017"))
    assert credentials_path(settings).read_text() == stored
