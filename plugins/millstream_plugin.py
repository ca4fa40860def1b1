"""Registers with Airflow what `millstream_airflow` offers to its web server."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from millstream.settings import Settings
from millstream_airflow import pages


class MillstreamPlugin(AirflowPlugin):
    """Our pages behind Airflow's login, and links to them and to MLflow in its navigation."""

    name = "millstream"
    fastapi_apps: ClassVar[list[Any]] = [
        {"name": "Millstream pages", "app": pages.app, "url_prefix": pages.PREFIX},
    ]
    external_views: ClassVar[list[Any]] = [
        {"name": "Data Docs", "href": f"{pages.PREFIX}/data-docs/", "destination": "nav"},
        {"name": "MLflow", "href": Settings().mlflow_url, "destination": "nav"},
    ]
