"""Airflow's scheduler, worker or DAG processor, with the libraries of the processes they fork imported.

What is imported here costs a task, or a reading of a DAG file, nothing. Measured, in seconds of one core:
Great Expectations 6, PySpark's Connect client 3, Airflow's task runner 2 for each task; 0.1 for each file.
The platform's own modules are dropped again: they are always imported as they are on disk.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Libraries:
    """What our packages import, and what they or Airflow import only inside functions."""

    packages: tuple[str, ...]
    lazy: tuple[str, ...]


OPENLINEAGE = (
    "airflow.providers.openlineage.plugins.openlineage",
    "airflow.providers.openlineage.plugins.listener",
)
# Every task is forked from the process that has these.
TASKS = Libraries(
    packages=("millstream", "millstream_airflow"),
    lazy=(
        *OPENLINEAGE,
        "airflow.sdk.execution_time.supervisor",
        "airflow.sdk.execution_time.task_runner",
        "deltalake",
        "great_expectations",
        "great_expectations.execution_engine.sparkdf_execution_engine",
        "great_expectations.expectations.core",
        "httpx",
        "mlflow",
        "pandas",
        "pyarrow.parquet",
        "pyspark.ml.classification",
        "pyspark.ml.evaluation",
        "pyspark.ml.feature",
        "pyspark.sql.connect.dataframe",
        "pyspark.sql.connect.functions",
        "pyspark.sql.connect.proto",
        "pyspark.sql.connect.session",
        "sqlalchemy",
    ),
)
# By Airflow's command.
PRELOADED = {
    # With LocalExecutor.
    "scheduler": TASKS,
    # The worker.
    "celery": TASKS,
    # It forks a process for each reading of a DAG file.
    "dag-processor": Libraries(
        packages=("millstream_airflow",),
        lazy=(*OPENLINEAGE, "airflow.sdk.execution_time.task_runner"),
    ),
}
OWN = ("millstream", "millstream_airflow")

log = logging.getLogger(__name__)


def preload(command: str) -> None:
    """Imports third-party libraries; a module that does not load is its user's own error."""
    wanted = PRELOADED[command]
    for name in (*wanted.lazy, *(module for package in wanted.packages for module in _modules(package))):
        try:
            importlib.import_module(name)
        except Exception as error:
            log.warning("%s is not preloaded: %s", name, error)
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]


def _modules(package: str) -> list[str]:
    path = importlib.import_module(package).__path__
    return [module.name for module in pkgutil.walk_packages(path, f"{package}.")]


def run_preloaded(arguments: list[str]) -> None:
    """Become Airflow's command line with these arguments."""
    preload(arguments[0])
    from airflow.__main__ import main as airflow

    sys.argv = ["airflow", *arguments]
    airflow()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    run_preloaded(sys.argv[1:])
