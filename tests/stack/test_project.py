"""A project of one's own: only what is in it is there, and its own checks hold for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from millstream.errors import ConfigurationError
from millstream.settings import CHECKOUT, Settings
from millstream_demo.reference import reference_file
from millstream_stack.commands.new.project import new_project
from millstream_stack.credentials import Credentials
from millstream_stack.environment import stack_environment
from tests.support.thorough import thorough

SCREEN = Console(quiet=True)
TRANSFORM = """from pyspark.sql import functions as F

from millstream.transforms import column

SCHEMA = ("tailnum", "seats", column("is_large", "boolean", "More than 200 seats"))


def transform(rows):
    return rows.withColumn("is_large", F.col("seats") > 200)
"""
MART = "SELECT is_large, count(*) AS fleet FROM silver.fleet GROUP BY is_large"
MART_DAG = """from millstream_airflow.pipelines.marts import mart_dag

dag = mart_dag("fleet_by_size")
"""
SHOWN = """
from millstream.models import models
from millstream.features import feature_tables
from millstream.transforms import table_of
from millstream_airflow import catalog
print(catalog.datasets(), models(), feature_tables(), catalog.published_tables())
print(table_of("fleet").schema.names)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    new_project(Settings(), folder, SCREEN)
    return folder


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MILLSTREAM_PROJECT": str(project)}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment, cwd=CHECKOUT, check=False
    )


def checks(project: Path) -> subprocess.CompletedProcess[str]:
    return run(
        project,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(project),
        str(project / "tests"),
    )


def test_what_is_declared_in_a_project_is_there_and_nothing_else(project: Path) -> None:
    assert checks(project).returncode == 0
    made = run(
        project,
        "-m",
        "millstream_stack",
        "new",
        "--dataset",
        "fleet",
        "--from",
        str(reference_file("planes.csv")),
    )
    assert made.returncode == 0, made.stderr
    (project / "transforms" / "fleet.py").write_text(TRANSFORM)
    (project / "marts" / "fleet_by_size.sql").write_text(MART)
    (project / "dags" / "mart_fleet_by_size.py").write_text(MART_DAG)
    shown = run(project, "-c", SHOWN)
    assert shown.stdout.splitlines() == [
        "['fleet'] [] [] ['silver.fleet', 'gold.fleet_by_size']",
        "['tailnum', 'seats', 'is_large']",
    ], shown.stderr
    passed = checks(project)
    assert passed.returncode == 0, passed.stdout
    assert "10 passed" in passed.stdout
    assert (project / ".git").is_dir()


@pytest.mark.parametrize(
    ("path", "content", "why"),
    [
        ("dags/datasets/orders.yaml", "columns: 1\n", "test_every_dataset_and_mart_has_a_dag"),
        ("dags/broken.py", "from airflow.sdk import dag\n1 / 0\n", "test_every_dag_loads"),
        ("expectations/nothing.json", "{}", "test_every_file_belongs_to_a_table"),
        *thorough(("transforms/nothing.py", "", "test_every_file_belongs_to_a_table")),
    ],
)
def test_its_checks_fail_for_what_is_wrong(project: Path, path: str, content: str, why: str) -> None:
    (project / path).write_text(content)
    failed = checks(project)
    assert failed.returncode == 1
    assert f"::{why}" in failed.stdout


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ConfigurationError, match="is not empty: nothing was written"):
        new_project(Settings(), tmp_path, SCREEN)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_version_of_the_code_names_both_checkouts(project: Path) -> None:
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.com")
    for command in (("add", "-A"), (*identity, "commit", "-qm", "first")):
        subprocess.run(["git", "-C", str(project), *command], check=True)
    own = subprocess.run(
        ["git", "-C", str(project), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    environment = stack_environment(Settings(project=project), Credentials())
    assert environment["MILLSTREAM_CODE_VERSION"].endswith(f"+{own.stdout.strip()}")
    assert environment["MILLSTREAM_PROJECT"] == str(project)
    assert "+" not in stack_environment(Settings(), Credentials())["MILLSTREAM_CODE_VERSION"]
