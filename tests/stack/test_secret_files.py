"""`make secrets`: files of mode 0600, real values, no two installations with the same."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.errors import ConfigurationError
from millstream.settings import CHECKOUT
from millstream_stack.cluster.secret_files import BROKER_USERS, GENERATED, NAMES, read, write_missing


def test_every_secret_is_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert write_missing(folder) == list(NAMES)
    assert {path.name for path in folder.iterdir()} == set(NAMES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len({read(name, folder) for name in NAMES}) == len(NAMES)


def test_what_is_there_stays_and_what_is_missing_is_written(tmp_path: Path) -> None:
    write_missing(tmp_path)
    before = {name: (tmp_path / name).read_text() for name in NAMES}
    (tmp_path / "mlflow_flask_secret").unlink()
    assert write_missing(tmp_path) == ["mlflow_flask_secret"]
    after = {name: (tmp_path / name).read_text() for name in NAMES}
    assert [name for name in NAMES if before[name] != after[name]] == ["mlflow_flask_secret"]


def test_the_broker_knows_only_the_digest_of_the_present_password(tmp_path: Path) -> None:
    write_missing(tmp_path)
    (tmp_path / "broker_password").unlink()
    assert write_missing(tmp_path) == ["broker_password", BROKER_USERS]
    password = read("broker_password", tmp_path)
    users = (tmp_path / BROKER_USERS).read_text()
    assert f" #{hashlib.sha256(password.encode()).hexdigest()} " in users
    assert password not in users


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("wrong", ["", "short", "change-me-before-you-start-it-please"])
def test_a_placeholder_is_refused_by_its_name(tmp_path: Path, name: str, wrong: str) -> None:
    write_missing(tmp_path)
    (tmp_path / name).write_text(wrong)
    with pytest.raises(ConfigurationError, match=f"the secret {name} .*make secrets"):
        read(name, tmp_path)
    with pytest.raises(ConfigurationError, match=f"the secret {name} "):
        write_missing(tmp_path)


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the secret demo_api_token cannot be read .*make secrets"):
        read("demo_api_token", tmp_path)


def test_it_runs_with_any_python(tmp_path: Path) -> None:
    """`-S` leaves out what is installed: a machine with Docker has only Python itself."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "millstream_stack.cluster.secret_files", str(tmp_path / "secrets")],
        env={"PATH": os.defpath, "PYTHONPATH": f"{CHECKOUT}/spark_jobs:{CHECKOUT}/stack"},
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not any(read(name, tmp_path / "secrets") in done.stdout for name in NAMES)
