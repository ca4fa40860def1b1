"""What reaches a process: everything inside the checkout, no telemetry, and only the secrets it needs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from millstream.settings import Settings
from millstream_stack.credentials import Credentials, load_or_create
from millstream_stack.environment import airflow_connections, base_environment, code_version
from millstream_stack.services.declared import service_environment, services

PLACES = (
    "HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "MPLCONFIGDIR",
    "UV_CACHE_DIR", "PIP_CACHE_DIR", "SPARK_LOCAL_DIRS", "AIRFLOW_HOME",
)  # fmt: skip
SECRETS = {name for name in Credentials.model_fields if not name.endswith("_user")}


@pytest.fixture
def credentials(settings: Settings) -> Credentials:
    return load_or_create(settings)


def secrets_in(environment: dict[str, str], credentials: Credentials) -> set[str]:
    text = "\n".join(environment.values())
    return {name for name in SECRETS if getattr(credentials, name) in text}


@pytest.mark.parametrize("variable", PLACES)
def test_homes_caches_and_temporary_files_are_inside(settings: Settings, variable: str) -> None:
    assert Path(base_environment(settings)[variable]).is_relative_to(settings.home)


def test_nothing_is_reported_to_anyone(settings: Settings) -> None:
    environment = base_environment(settings)

    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["DO_NOT_TRACK"] == "true"
    assert environment["GX_ANALYTICS_ENABLED"] == "false"
    assert environment["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "false"


def test_a_callers_python_settings_are_dropped(settings: Settings) -> None:
    environment = base_environment(
        settings, {"PYTHONPATH": "/x", "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/bin"}
    )

    assert "PYTHONPATH" not in environment
    assert "PYTHONDONTWRITEBYTECODE" not in environment


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["127.0.0.1", "localhost", "::1"]),
        ({"no_proxy": "intern.example, localhost"}, ["intern.example", "localhost", "127.0.0.1", "::1"]),
        ({"NO_PROXY": "intern.example"}, ["intern.example", "127.0.0.1", "localhost", "::1"]),
    ],
)
def test_a_proxy_of_the_caller_sees_nothing_of_the_stacks_own_traffic(
    settings: Settings, given: dict[str, str], expected: list[str]
) -> None:
    proxied = {"http_proxy": "http://proxy.example:3128", "https_proxy": "http://proxy.example:3128"}
    environment = base_environment(settings, {**proxied, **given})

    assert environment["no_proxy"].split(",") == environment["NO_PROXY"].split(",") == expected
    # Sources may be behind it.
    assert environment["http_proxy"] == proxied["http_proxy"]


def test_the_checkouts_programs_come_first_and_once(settings: Settings) -> None:
    once = base_environment(settings, {"PATH": "/usr/bin"})
    twice = base_environment(settings, once)

    assert once["PATH"].startswith(f"{settings.root}/.venv/bin:")
    assert once["PATH"].endswith(":/usr/bin")
    assert twice["PATH"] == once["PATH"]


def test_git_keeps_its_users_settings(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("")

    environment = base_environment(settings, {"HOME": str(tmp_path)})

    assert environment["GIT_CONFIG_GLOBAL"] == str(tmp_path / ".gitconfig")


def test_the_base_environment_carries_no_secret(settings: Settings, credentials: Credentials) -> None:
    assert secrets_in(base_environment(settings, {}), credentials) == set()


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("spark-connect", {"mlflow_password"}),
        ("demo-sources", {"mlflow_password", "demo_api_token"}),
        ("dashboards", set()),
        ("mlflow", {"mlflow_password", "mlflow_flask_secret"}),
        (
            "airflow-scheduler",
            {
                "mlflow_password",
                "demo_api_token",
                "airflow_jwt_secret",
                "airflow_api_secret",
                "airflow_fernet_key",
            },
        ),
    ],
)
def test_a_service_gets_the_secrets_it_needs_and_no_others(
    settings: Settings, credentials: Credentials, service: str, expected: set[str]
) -> None:
    assert secrets_in(service_environment(service, settings, credentials), credentials) == expected


def test_no_command_line_carries_a_secret(settings: Settings, credentials: Credentials) -> None:
    for service in services(settings):
        assert secrets_in({"argv": " ".join(service.command)}, credentials) == set()


def test_the_connections_name_the_embedded_services(settings: Settings, credentials: Credentials) -> None:
    connections = {
        name.removeprefix("AIRFLOW_CONN_").lower(): json.loads(value)
        for name, value in airflow_connections(settings, credentials).items()
    }

    assert set(connections) == {
        "spark_connect", "spark_default", "mapreduce_default", "mlflow_default",
        "demo_drop", "demo_weather_api", "demo_sql",
    }  # fmt: skip
    assert connections["spark_connect"]["port"] == settings.connect_port
    assert connections["mlflow_default"]["password"] == credentials.mlflow_password
    assert connections["demo_weather_api"]["password"] == credentials.demo_api_token
    assert connections["demo_drop"]["extra"]["path"] == f"{settings.home}/demo/drop"
    assert connections["demo_sql"]["host"] == f"{settings.home}/demo/source.db"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_code_version_is_the_commit_and_whether_files_differ_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Temporary folders lie inside the checkout, whose repository is not meant here.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_version(tmp_path) == "unknown"
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")

    assert code_version(tmp_path) == commit
    (tmp_path / "file").write_text("two")
    assert code_version(tmp_path) == f"{commit}-dirty"


def test_what_the_caller_gives_to_airflow_wins_and_reaches_airflow_only(
    settings: Settings, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"AIRFLOW_CONN_SPARK_DEFAULT": "spark://yarn", "AIRFLOW_VAR_KEY": "a secret of the caller's"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    for service in services(settings):
        environment = service_environment(service.name, settings, credentials)
        expected = given if service.name.startswith("airflow-") else {}
        assert {name: environment[name] for name in given if name in environment} == expected
