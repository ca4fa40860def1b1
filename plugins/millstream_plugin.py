"""Registers with Airflow what `millstream_airflow` offers to its servers."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from millstream.settings import Settings
from millstream_airflow import empty_runs, pages
from millstream_airflow.schedules import SourceTimetable


class MillstreamPlugin(AirflowPlugin):
    """Our pages behind Airflow's login, links to them and to MLflow in its navigation, the timetable of
    datasets, and the alert of runs that did nothing."""

    name = "millstream"
    fastapi_apps: list[Any] = [
        {"name": "Millstream pages", "app": pages.app, "url_prefix": pages.PREFIX},
    ]
    timetables: list[Any] = [SourceTimetable]
    listeners: list[Any] = [empty_runs]
    external_views: list[Any] = [
        {"name": "Data Docs", "href": f"{pages.PREFIX}/data-docs/", "destination": "nav"},
        {"name": "Streams", "href": f"{pages.PREFIX}/streams/", "destination": "nav"},
        {"name": "MLflow", "href": Settings().mlflow_url, "destination": "nav"},
    ]
