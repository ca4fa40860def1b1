"""`python -m millstream_stack.cluster.launch <service>`: becomes that service of docker-compose.yml.

The environment is made here, so that no secret stands in the configuration of a container.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream_stack.cluster import airflow, hadoop, mlflow, spark, streams
from millstream_stack.cluster.lake_setup import READER
from millstream_stack.cluster.secret_files import read
from millstream_stack.environment import base_environment, prepare_folders
from millstream_stack.services.airflow_setup import write_webserver_config

# Programs that end by themselves, as modules of this package with their arguments.
JOBS = {
    "lake-setup": ("lake_setup",),
    "demo": ("demo",),
    "backup": ("backup", "backup"),
    "restore": ("backup", "restore"),
}


def launched(service: str, settings: Settings) -> tuple[tuple[str, ...], dict[str, str]]:
    """Command and environment of a service.

    Raises: ConfigurationError when a secret of the service is missing, or when there is no such service.
    """
    family, _, name = service.partition("-")
    environment = base_environment(settings)
    if family == "airflow":
        variables = airflow.environment(name, settings)
        if name == "api-server":
            write_webserver_config(Path(variables["AIRFLOW__FAB__CONFIG_FILE"]))
        return airflow.command(name), environment | variables
    if service == "mlflow":
        return mlflow.command(), environment | mlflow.environment(settings)
    if service == "dashboards":
        arguments = ("--host", "0.0.0.0", "--port", "2718", "--airflow", airflow.API)
        command = (sys.executable, "-m", "millstream_stack.dashboards.server", *arguments)
        # It has nothing to write in the lake.
        return command, environment | {"HADOOP_USER_NAME": READER}
    if service in ("spark-connect", "spark-history"):
        return spark.launched(name, environment, settings)
    if service == "demo-sources":
        arguments = ("--host", "0.0.0.0", "--port", "8099", "--data", str(settings.home / "demo"))
        token = {"MILLSTREAM_DEMO_API_TOKEN": read("demo_api_token")}
        return (sys.executable, "-m", "millstream_demo", "serve", *arguments), environment | token
    if service in hadoop.CLASSES:
        return hadoop.command(service, settings), environment | hadoop.environment(settings)
    if service in streams.COMMANDS:
        return streams.command(service, settings), streams.environment(service, environment, settings)
    if service in JOBS:
        module, *more = JOBS[service]
        return (sys.executable, "-m", f"millstream_stack.cluster.{module}", *more), environment
    raise ConfigurationError(f"docker-compose.yml asks for {service!r}, which this image does not have")


def main(service: str) -> None:
    settings = Settings()
    prepare_folders(settings)
    try:
        command, environment = launched(service, settings)
    except ConfigurationError as error:
        sys.exit(f"error: {error}")
    os.chdir(settings.home)
    if service == "namenode":
        hadoop.format_empty(command, environment)
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    main(sys.argv[1])
