"""Registers with Airflow what `millstream_airflow` offers to its servers."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from millstream.settings import Settings
from millstream_airflow import empty_runs, pages, run_notes
from millstream_airflow.schedules import SourceTimetable


class MillstreamPlugin(AirflowPlugin):
    """Our pages behind Airflow's login, links to them and to MLflow in its navigation, the timetable of
    datasets, the notes of runs, and the alert of those that did nothing."""

    name = "millstream"
    fastapi_apps: list[Any] = [
        {"name": "Millstream pages", "app": pages.app, "url_prefix": pages.PREFIX},
    ]
    timetables: list[Any] = [SourceTimetable]
    listeners: list[Any] = [empty_runs, run_notes]
    external_views: list[Any] = [
        {"name": "Data Docs", "href": f"{pages.PREFIX}/data-docs/", "destination": "nav"},
        {"name": "Streams", "href": f"{pages.PREFIX}/streams/", "destination": "nav"},
        {"name": "Dashboards", "href": f"{Settings().dashboards_url}/", "destination": "nav"},
        {"name": "MLflow", "href": f"{Settings().mlflow_url}/#/models", "destination": "nav"},
    ]
