"""`docker compose run --rm demo`: runs the whole chain on the cluster, with live progress."""

from __future__ import annotations

import sys
import time

from millstream.errors import MillstreamError
from millstream.ml.mlflow_api import MlflowApi
from millstream.settings import Settings
from millstream_stack.clients.airflow_api import AirflowApi
from millstream_stack.cluster.airflow import API
from millstream_stack.cluster.mlflow import URL
from millstream_stack.cluster.secret_files import read
from millstream_stack.commands.demo import run_chain, verdict_line
from millstream_stack.commands.screen import console
from millstream_stack.commands.sql_output import printable

USER = "admin"


def main() -> int:
    settings, screen, began = Settings(), console(), time.monotonic()
    try:
        with (
            AirflowApi(API, USER, read("airflow_admin_password")) as airflow,
            MlflowApi(URL, USER, read("mlflow_admin_password")) as mlflow,
        ):
            # What is printed is for a browser outside.
            airflow.url, mlflow.url = settings.airflow_url, settings.mlflow_url
            succeeded = run_chain(settings, airflow, mlflow, screen)
    except MillstreamError as error:
        # It may quote the data.
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    screen.print(
        f"Airflow: {settings.airflow_url}   MLflow: {settings.mlflow_url}   (admin; passwords: secrets/)"
    )
    screen.print(
        f"{verdict_line(succeeded, time.monotonic() - began)} `make cluster-down` stops the cluster."
    )
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
