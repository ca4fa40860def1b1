"""What each service of docker-compose.yml gets in its environment: its own secrets, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream_stack.cluster import secret_files
from millstream_stack.cluster.lake_setup import READER
from millstream_stack.cluster.launch import launched
from millstream_stack.environment import prepare_folders
from tests.stack.test_compose_file import services

# These read some of their secrets only when they run.
LATER = {
    "airflow-setup": {"airflow_admin_password", "mlflow_admin_password", "demo_api_token"},
    "demo": {"airflow_admin_password", "mlflow_admin_password"},
}
OURS = [name for name, service in services().items() if service["image"].startswith("millstream:")]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = Settings(home=tmp_path / "home")
    prepare_folders(settings)
    secret_files.write_missing(tmp_path / "all")
    (tmp_path / "mounted").mkdir()
    monkeypatch.setattr(secret_files, "MOUNTED", tmp_path / "mounted")
    # Names that only a container knows.
    monkeypatch.setattr("socket.gethostbyname", lambda name: "10.0.0.2")
    return settings


def mount(names: list[str], folder: Path) -> dict[str, str]:
    """Puts these secrets, and no others, where a container has its own."""
    for path in (folder / "mounted").iterdir():
        path.unlink()
    values = {name: (folder / "all" / name).read_text() for name in names}
    for name, value in values.items():
        (folder / "mounted" / name).write_text(value)
    return values


def secrets_of(service: str) -> list[str]:
    return [secret["source"] for secret in services()[service].get("secrets", ())]


@pytest.mark.parametrize("service", OURS)
def test_a_service_starts_with_its_secrets_and_with_none_in_its_arguments(
    service: str, settings: Settings, tmp_path: Path
) -> None:
    values = mount(secrets_of(service), tmp_path)
    command, environment = launched(services()[service]["command"][0], settings)
    assert not [name for name, value in values.items() if value in " ".join(command)]
    text = "\n".join(environment.values())
    held = {name for name, value in values.items() if value in text}
    assert held == values.keys() - LATER.get(service, set())


@pytest.mark.parametrize(
    ("service", "missing"),
    [
        (service, name)
        for service in OURS
        for name in secrets_of(service)
        if name not in LATER.get(service, set())
    ],
)
def test_without_one_of_its_secrets_a_service_names_it(
    service: str, missing: str, settings: Settings, tmp_path: Path
) -> None:
    mount([name for name in secrets_of(service) if name != missing], tmp_path)
    with pytest.raises(ConfigurationError, match=f"the secret {missing} "):
        launched(services()[service]["command"][0], settings)


def test_a_worker_knows_neither_database_nor_connections(settings: Settings, tmp_path: Path) -> None:
    mount(secrets_of("airflow-worker"), tmp_path)
    _, environment = launched("airflow-worker", settings)
    assert not [name for name in environment if name.startswith(("AIRFLOW_CONN_", "AIRFLOW__DATABASE__"))]
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].startswith("http://airflow-api-server:")


def test_airflow_s_api_server_and_dashboards_only_read_the_lake(settings: Settings, tmp_path: Path) -> None:
    users = {}
    for service in ("airflow-api-server", "airflow-worker", "dashboards"):
        mount(secrets_of(service), tmp_path)
        users[service] = launched(service, settings)[1].get("HADOOP_USER_NAME")
    assert users == {"airflow-api-server": READER, "airflow-worker": None, "dashboards": READER}


def test_another_port_of_the_machine_changes_none_in_a_container(settings: Settings, tmp_path: Path) -> None:
    """Where Compose publishes it from, and where the health check and the other services ask."""
    mount(secrets_of("airflow-api-server"), tmp_path)
    elsewhere = settings.model_copy(update={"airflow_port": 18080})
    _, environment = launched("airflow-api-server", elsewhere)
    [port] = services()["airflow-api-server"]["ports"]
    assert environment["AIRFLOW__API__PORT"] == str(port["target"])
    assert environment["AIRFLOW__API__BASE_URL"].endswith(":18080")
    asked = services()["airflow-api-server"]["healthcheck"]["test"][-1]
    assert asked.startswith(f"http://127.0.0.1:{port['target']}/")


def test_an_unknown_service_is_refused_by_name(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="'zookeeper'"):
        launched("zookeeper", settings)
