"""MLflow's server on PostgreSQL: tracking, registry and logins; it hands out artifacts itself."""

from __future__ import annotations

import sys
from pathlib import Path

from millstream.settings import Settings
from millstream_stack.cluster.secret_files import read
from millstream_stack.services.mlflow_setup import write_configuration

PORT = 5000
URL = f"http://mlflow:{PORT}"


def database_uri() -> str:
    return f"postgresql+psycopg2://mlflow:{read('mlflow_database_password')}@postgres:5432/mlflow"


def command() -> tuple[str, ...]:
    return (sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1")


def environment(settings: Settings) -> dict[str, str]:
    """Everything by the environment: an argument would show the database's password to all processes."""
    folder = settings.home / "mlflow"
    uri = database_uri()
    write_configuration(folder, "admin", uri)
    return {
        "MLFLOW_HOST": "0.0.0.0",
        "MLFLOW_PORT": str(PORT),
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_ARTIFACTS_DESTINATION": f"file://{artifacts(settings)}",
        # What browsers and workers call it.
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"mlflow:{PORT},127.0.0.1:*,localhost:*",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic_auth.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": read("mlflow_admin_password"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": read("mlflow_flask_secret"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def client_environment() -> dict[str, str]:
    """What a service needs to ask the registry."""
    return {
        "MLFLOW_TRACKING_URI": URL,
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": read("mlflow_admin_password"),
    }


def artifacts(settings: Settings) -> Path:
    return settings.home / "artifacts"
