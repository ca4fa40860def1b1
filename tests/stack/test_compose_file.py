"""docker-compose.yml and the Dockerfiles, as Compose and hadolint read them: no engine is needed."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import compose
import pytest

from millstream.engines.conf import spark_conf
from millstream.settings import CHECKOUT
from millstream_stack.cluster import spark
from millstream_stack.cluster.secret_files import NAMES
from millstream_stack.commands.new.project import FOLDERS

STAND_INS = ("postgres", "valkey")
COMPOSE = Path(compose.__path__[0]) / "docker-compose"
DOCKERFILES = ("Dockerfile", *(f"tests/cluster/stand_ins/{name}/Dockerfile" for name in STAND_INS))
# What is left of 24 GB on a machine that has so much.
MEMORY = 23 * 1024**3
WORKERS_SECRETS = ["broker_password"]


@cache
def configuration() -> dict[str, Any]:
    done = subprocess.run(
        [COMPOSE, "--profile", "*", "config", "--format", "json"],
        cwd=CHECKOUT, env={"PATH": os.defpath}, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


def services() -> dict[str, dict[str, Any]]:
    return dict(configuration()["services"])


def test_the_image_holds_what_the_platform_reads_when_it_runs() -> None:
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    read = {folder.partition("/")[0] for folder in FOLDERS if (CHECKOUT / folder).is_dir()} - {"tests"}
    assert {*read, "conf", "demo", "plugins", "spark_jobs", "stack"} <= let_in


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_hadolint_has_nothing_to_say(dockerfile: str) -> None:
    done = subprocess.run(
        ["hadolint", "--no-color", dockerfile], cwd=CHECKOUT, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_service_is_bounded_and_without_privileges() -> None:
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) > 0, name
        assert "privileged" not in service, name


def test_a_machine_of_this_size_holds_all_that_it_starts() -> None:
    limits = {
        name: int(service["mem_limit"]) * service.get("deploy", {}).get("replicas", 1)
        for name, service in services().items()
        # Jobs have ended before most others start.
        if "profiles" not in service and service["restart"] == "unless-stopped"
    }
    assert sum(limits.values()) <= MEMORY, limits


def mebibytes(size: str) -> int:
    return int(size[:-1]) * {"m": 1, "g": 1024}[size[-1]]


def test_a_job_in_cluster_mode_fits_beside_what_the_connect_server_keeps() -> None:
    """Else it would wait for its executor for ever."""
    node = int(services()["nodemanager-1"]["environment"]["NODEMANAGER_MEMORY_MB"])
    server, job = spark_conf("yarn"), spark_conf("yarn", "yarn_cluster")

    def size(conf: dict[str, str], of: str) -> int:
        return sum(mebibytes(conf[f"spark.{of}{part}"]) for part in ("", "Overhead"))

    # Wherever YARN puts them: the server's executor and a driver do not fit into one node.
    assert size(server, "executor.memory") + size(job, "executor.memory") <= node
    assert size(server, "yarn.am.memory") + size(job, "driver.memory") <= node


def test_ports_are_open_on_this_machine_only() -> None:
    addresses = {port["host_ip"] for service in services().values() for port in service.get("ports", ())}
    assert addresses == {"127.0.0.1"}


def test_only_what_people_open_reaches_outside() -> None:
    outside = {name for name, network in configuration()["networks"].items() if not network.get("internal")}
    assert outside == {"edge", "spark-pages"}
    reaching = {name for name, service in services().items() if outside & service["networks"].keys()}
    assert reaching == {"airflow-api-server", "dashboards", "mlflow", "spark-history"}
    assert reaching == {name for name, service in services().items() if service.get("ports")}


def test_services_that_stay_are_asked_for_their_health() -> None:
    without = {name for name, service in services().items() if "healthcheck" not in service}
    assert without == {"airflow-setup", "lake-setup", "streams-setup", "demo", "demo-events", "backup"}


def test_each_secret_is_a_file_that_make_secrets_writes() -> None:
    assert set(configuration()["secrets"]) == set(NAMES)
    used = {secret["source"] for service in services().values() for secret in service.get("secrets", ())}
    assert used == set(NAMES)


def test_workers_get_the_broker_s_password_alone_and_reach_no_database() -> None:
    worker = services()["airflow-worker"]
    assert [secret["source"] for secret in worker["secrets"]] == WORKERS_SECRETS
    assert "database" not in worker["networks"]


def test_who_watches_sources_reaches_what_the_workers_do() -> None:
    worker, triggerer = services()["airflow-worker"], services()["airflow-triggerer"]
    assert {"sources", "hadoop"} <= triggerer["networks"].keys() & worker["networks"].keys()
    assert triggerer["volumes"] == worker["volumes"]


def test_the_network_on_which_spark_connect_listens_is_the_workers_alone() -> None:
    [network] = [name for name, on in services()["spark-connect"]["networks"].items() if on]
    assert services()["spark-connect"]["networks"][network]["aliases"] == [spark.HOST]
    on_it = {name for name, service in services().items() if network in service["networks"]}
    assert on_it == {"spark-connect", "airflow-worker"}
