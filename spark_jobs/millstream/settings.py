"""Where this checkout keeps its data and which addresses its services use.

One typed source of configuration: defaults, then `.env` in the checkout, then the environment
(`MILLSTREAM_AIRFLOW_PORT=8081 make up`). Nothing secret lives here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# The editable install puts <checkout>/spark_jobs on sys.path: this file sits two folders below the checkout.
CHECKOUT = Path(__file__).resolve().parents[2]

Port = int
# Where a lake can lie: each has its module in `millstream.lake.filesystems`.
LAKE_SCHEMES = ("file", "hdfs")
# What a query, a list of Java's options or a URI takes for something else than a part of a name.
UNSAFE = frozenset(" \t\n`'\"\\#%?*;:,$[]{}")


class Settings(BaseSettings):
    """Settings of one checkout; every field can be set as `MILLSTREAM_<FIELD>`.

    Raises:
        pydantic.ValidationError: a value has the wrong type, a port is out of range or used twice, the lake's
            root is not a URI of a known scheme, or Hadoop's configuration is not where it is said to be.
    """

    model_config = SettingsConfigDict(
        env_prefix="MILLSTREAM_",
        env_file=CHECKOUT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    root: Path = Field(default=CHECKOUT, description="The checkout.")
    project: Path = Field(
        default=Path(), description="Folder of DAGs, datasets, marts, models and suites; default <root>."
    )
    home: Path = Field(default=Path(), description="Runtime files; default <root>/.millstream.")
    lake_root: str = Field(default="", description="URI of the lake; default file://<home>/lake.")

    hadoop_conf_dir: str = Field(
        default="",
        description="Folder of Hadoop's configuration, unless the lake lies on this machine; "
        "default HADOOP_CONF_DIR.",
    )

    host: str = Field(default="127.0.0.1", description="Address every embedded service binds to.")
    airflow_port: Port = Field(default=8080, ge=1, le=65535, description="Airflow's web UI and REST API.")
    mlflow_port: Port = Field(
        default=5000, ge=1, le=65535, description="MLflow's tracking server and registry."
    )
    connect_port: Port = Field(default=15002, ge=1, le=65535, description="Spark Connect server (gRPC).")
    spark_ui_port: Port = Field(
        default=4040, ge=1, le=65535, description="Spark's web UI of the Connect server."
    )
    dashboards_port: Port = Field(default=2718, ge=1, le=65535, description="Dashboards.")
    sources_port: Port = Field(default=8099, ge=1, le=65535, description="HTTP source of the demo.")
    kafka_port: Port = Field(default=9092, ge=1, le=65535, description="Kafka broker; `make streams-up`.")
    kafka_controller_port: Port = Field(
        default=9093, ge=1, le=65535, description="Kafka's controller, in the same process."
    )

    event_speed: float = Field(
        default=60, gt=0, description="How many times faster than in 2013 the demo's events come."
    )
    spark_profile: Literal["embedded", "yarn"] = Field(
        default="embedded", description="Where the Connect server's executors are: conf/spark/<profile>.conf."
    )
    event_log_root: str = Field(
        default="", description="URI of Spark's event logs; default file://<home>/spark-events."
    )
    spark_cores: int = Field(default=2, ge=1, description="Threads of the Connect server's local master.")
    spark_driver_memory: str = Field(
        default="4g", pattern=r"^\d+[mg]$", description="Heap of the Connect server, for instance 4g."
    )
    task_slots: int = Field(default=8, ge=1, description="Airflow tasks that may run at the same time.")

    @model_validator(mode="before")
    @classmethod
    def _derive_locations(cls, values: dict[str, object]) -> dict[str, object]:
        root = Path(str(values.get("root") or CHECKOUT)).resolve()
        home = Path(str(values.get("home") or root / ".millstream"))
        home = home if home.is_absolute() else root / home
        lake_root = str(values.get("lake_root") or f"file://{home}/lake")
        hadoop_conf_dir = values.get("hadoop_conf_dir") or os.environ.get("HADOOP_CONF_DIR", "")
        return {
            **values,
            "root": root,
            "project": Path(str(values.get("project") or root)).expanduser().resolve(),
            "home": home,
            "lake_root": lake_root,
            "event_log_root": values.get("event_log_root") or f"file://{home}/spark-events",
            # With it a path without a scheme would lie on the cluster.
            "hadoop_conf_dir": "" if lake_root.startswith("file://") else hadoop_conf_dir,
        }

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_lake()
        places = {
            "The checkout": str(self.root),
            "MILLSTREAM_HOME": str(self.home),
            "MILLSTREAM_LAKE_ROOT": "/" + self.lake_root.split("/", 3)[3],
        }
        for name, place in places.items():
            if unsafe := sorted(UNSAFE & set(place)):
                raise ValueError(
                    f"{name} is {place!r}: queries, Java's options and URIs take no path with "
                    f"{' or '.join(map(repr, unsafe))}; move it to another folder"
                )
        users: dict[int, str] = {}
        for field in sorted(name for name in type(self).model_fields if name.endswith("_port")):
            port = getattr(self, field)
            if port in users:
                raise ValueError(
                    f"MILLSTREAM_{field.upper()} and MILLSTREAM_{users[port].upper()} are both {port}: "
                    "give each its own port"
                )
            users[port] = field
        return self

    def _check_lake(self) -> None:
        scheme, separator, place = self.lake_root.partition("://")
        if scheme not in LAKE_SCHEMES or not separator or not place.partition("/")[2].strip("/"):
            raise ValueError(
                f"MILLSTREAM_LAKE_ROOT is {self.lake_root!r}: expected the URI of a folder, such as "
                "file:///data/lake or hdfs://namenode:8020/lake"
            )
        folder = self.hadoop_conf_dir
        if folder and not (Path(folder) / "core-site.xml").is_file():
            raise ValueError(
                f"HADOOP_CONF_DIR is {folder!r}, and no core-site.xml is there: name the folder of Hadoop's "
                f"configuration, for instance {CHECKOUT / 'conf' / 'hadoop'}"
            )

    @property
    def airflow_url(self) -> str:
        return f"http://{self.host}:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{self.host}:{self.mlflow_port}"

    @property
    def dashboards_url(self) -> str:
        return f"http://{self.host}:{self.dashboards_port}"

    @property
    def connect_url(self) -> str:
        return f"sc://{self.host}:{self.connect_port}"

    @property
    def spark_ui_url(self) -> str:
        return f"http://{self.host}:{self.spark_ui_port}"

    @property
    def kafka_servers(self) -> str:
        return f"{self.host}:{self.kafka_port}"

    @property
    def sources_url(self) -> str:
        return f"http://{self.host}:{self.sources_port}"


def declared_path(own: list[str], folder: str) -> list[str]:
    """Where modules are that declare something: a package's `own` path in the checkout, or else `folder` of
    the project."""
    settings = Settings()
    return own if settings.project == settings.root else [str(settings.project / folder)]
