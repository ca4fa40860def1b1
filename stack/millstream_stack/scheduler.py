"""Airflow's scheduler with the tasks' libraries already imported.

LocalExecutor forks every task from the scheduler, so what is imported here costs each task nothing (measured,
seconds of one core for each task: Great Expectations 6, PySpark's Connect client 3, Airflow's task runner 2).
The platform's own modules are dropped again: a task always imports them as they are on disk.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys

# What our modules import only inside functions, and what Airflow imports only in a task's process.
LAZY = (
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.openlineage.plugins.openlineage",
    "airflow.providers.openlineage.plugins.listener",
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
)
OWN = ("millstream", "millstream_airflow")

log = logging.getLogger(__name__)


def preload() -> None:
    """Imports third-party libraries for the tasks; a module that does not load is the task's own error."""
    for name in (*LAZY, *_own_modules()):
        try:
            importlib.import_module(name)
        except Exception as error:
            log.warning("%s is not preloaded: %s", name, error)
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]


def _own_modules() -> list[str]:
    found = []
    for name in OWN:
        package = importlib.import_module(name)
        found += [module.name for module in pkgutil.walk_packages(package.__path__, f"{name}.")]
    return found


def main() -> None:
    preload()
    from airflow.__main__ import main as airflow

    sys.argv = ["airflow", *sys.argv[1:]]
    airflow()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
