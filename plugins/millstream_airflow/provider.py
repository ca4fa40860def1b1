"""What Airflow reads of this package as a provider: each of its processes does, so nothing is imported."""

from __future__ import annotations

import json
from typing import Any

FORMS = "millstream_airflow.connections.forms"
ADDRESS = ("host", "port", "schema")
LOGIN = ("login", "password")


def provider_info() -> dict[str, Any]:
    """As of Airflow's provider_info.schema.json."""
    return {
        "package-name": "millstream",
        "name": "Millstream",
        "description": "Sources and engines of Millstream's DAGs",
        "connection-types": [
            _form(
                *("mariadb", "MariaDBHook", "MariaDB"),
                named={"schema": "Database"},
                port="3306",
                extra={"ssl_ca": "/etc/ssl/database.pem"},
            ),
            _form(
                *("aws", "S3Hook", "S3"),
                hidden=ADDRESS,
                named={"login": "Access key", "password": "Secret key"},
                extra={"path": "bucket/folder", "endpoint_url": "https://s3.example.com"},
            ),
            _form(
                *("hdfs", "HdfsHook", "HDFS"),
                hidden=("schema", *LOGIN),
                named={"host": "NameNode"},
                port="8020",
                extra={"path": "/data/drop"},
            ),
            _form(
                *("hadoop_local", "HadoopLocalHook", "MapReduce on this machine"),
                hidden=(*ADDRESS, *LOGIN, "extra"),
            ),
            _form(
                *("hadoop_yarn", "HadoopYarnHook", "MapReduce on YARN"),
                hidden=(*ADDRESS, *LOGIN),
                extra={
                    "yarn_resourcemanager_webapp_address": "http://resourcemanager:8088",
                    "mapreduce_jobhistory_webapp_address": "http://jobhistory:19888",
                },
            ),
        ],
    }


def _form(
    kind: str,
    hook: str,
    shown: str,
    hidden: tuple[str, ...] = (),
    named: dict[str, str] | None = None,
    port: str = "",
    extra: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A type of connections; `port` and `extra` are shown as examples."""
    examples = {"port": port, "extra": json.dumps(extra) if extra else ""}
    return {
        "connection-type": kind,
        "hook-class-name": f"{FORMS}.{hook}",
        "hook-name": shown,
        "ui-field-behaviour": {
            "hidden-fields": list(hidden),
            "relabeling": named or {},
            "placeholders": {name: example for name, example in examples.items() if example},
        },
    }
