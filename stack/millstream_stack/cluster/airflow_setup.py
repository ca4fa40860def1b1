"""Prepares Airflow's database of the cluster: tables, the login, the pools and the connections.

Connections are in the database, where only Airflow's API reads them, so no worker has one in its environment.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from millstream.settings import Settings
from millstream_stack.cluster import hadoop, spark
from millstream_stack.cluster.secret_files import read
from millstream_stack.environment import local_connections
from millstream_stack.services.airflow_setup import (
    create_tables,
    ensure_login,
    ensure_pools,
    write_webserver_config,
)


def connections(settings: Settings) -> dict[str, dict[str, object]]:
    """The connections of the cluster, in Airflow's JSON form."""
    return {
        **local_connections(settings),
        "spark_connect": {
            "conn_type": "spark_connect",
            "host": spark.HOST,
            "port": spark.PORT,
            "extra": {"send_code": True, "history_url": settings.spark_ui_url, "wait_seconds": 300},
        },
        "spark_default": {
            "conn_type": "spark",
            "host": "yarn",
            "extra": {
                "deploy-mode": "cluster",
                "spark-binary": "spark-submit",
                "yarn_resourcemanager_webapp_address": hadoop.RESOURCEMANAGER,
                "history_url": settings.spark_ui_url,
            },
        },
        "mapreduce_default": {
            "conn_type": "hadoop_yarn",
            "extra": {
                "yarn_resourcemanager_webapp_address": hadoop.RESOURCEMANAGER,
                "mapreduce_jobhistory_webapp_address": hadoop.JOBHISTORY,
            },
        },
        "mlflow_default": {
            "conn_type": "http",
            "schema": "http",
            "host": "mlflow",
            "port": 5000,
            "login": "admin",
            "password": read("mlflow_admin_password"),
        },
        "demo_weather_api": {
            "conn_type": "http",
            "schema": "http",
            "host": "demo-sources",
            "port": 8099,
            "password": read("demo_api_token"),
        },
    }


def ensure_connections(wanted: dict[str, dict[str, object]]) -> None:
    """Create the connections, or give those that are there these values."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        for name, fields in wanted.items():
            stored = session.scalar(select(Connection).where(Connection.conn_id == name))
            given = Connection.from_json(json.dumps(fields), conn_id=name)
            if stored is None:
                session.add(given)
                continue
            for field in ("conn_type", "host", "schema", "login", "port"):
                setattr(stored, field, getattr(given, field))
            stored.set_password(given.password)
            stored.set_extra(given.extra)


def main() -> int:
    write_webserver_config(Path(os.environ["AIRFLOW__FAB__CONFIG_FILE"]))
    create_tables()
    ensure_login("admin", read("airflow_admin_password"))
    ensure_pools()
    ensure_connections(connections(Settings()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
