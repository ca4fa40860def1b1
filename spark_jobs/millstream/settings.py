"""Where this checkout keeps its data and which addresses its services use.

One typed source of configuration: defaults, then `.env` in the checkout, then the environment
(`MILLSTREAM_AIRFLOW_PORT=8081 make up`). Nothing secret lives here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# The editable install puts <checkout>/spark_jobs on sys.path: this file sits two folders below the checkout.
CHECKOUT = Path(__file__).resolve().parents[2]

Port = int
# What a query, a list of Java's options or a URI takes for something else than a part of a name.
UNSAFE = frozenset(" \t\n`'\"\\#%?*;:,$[]{}")


class Settings(BaseSettings):
    """Settings of one checkout; every field can be set as `MILLSTREAM_<FIELD>`.

    Raises:
        pydantic.ValidationError: a value has the wrong type, a port is out of range or used twice, or the
            lake's root is not a `file://` URI.
    """

    model_config = SettingsConfigDict(
        env_prefix="MILLSTREAM_",
        env_file=CHECKOUT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    root: Path = Field(default=CHECKOUT, description="The checkout.")
    home: Path = Field(default=Path(), description="Runtime files; default <root>/.millstream.")
    lake_root: str = Field(default="", description="URI of the lake; default file://<home>/lake.")

    host: str = Field(default="127.0.0.1", description="Address every embedded service binds to.")
    airflow_port: Port = Field(default=8080, ge=1, le=65535, description="Airflow's web UI and REST API.")
    mlflow_port: Port = Field(
        default=5000, ge=1, le=65535, description="MLflow's tracking server and registry."
    )
    connect_port: Port = Field(default=15002, ge=1, le=65535, description="Spark Connect server (gRPC).")
    spark_ui_port: Port = Field(
        default=4040, ge=1, le=65535, description="Spark's web UI of the Connect server."
    )
    sources_port: Port = Field(default=8099, ge=1, le=65535, description="HTTP source of the demo.")

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
        return {
            **values,
            "root": root,
            "home": home,
            "lake_root": values.get("lake_root") or f"file://{home}/lake",
        }

    @model_validator(mode="after")
    def _check(self) -> Self:
        if urlsplit(self.lake_root).scheme != "file":
            raise ValueError(
                f"MILLSTREAM_LAKE_ROOT is {self.lake_root!r}: expected a URI such as file:///data/lake; this "
                "version reaches no other file system"
            )
        places = {
            "The checkout": str(self.root),
            "MILLSTREAM_HOME": str(self.home),
            "MILLSTREAM_LAKE_ROOT": self.lake_root.removeprefix("file://"),
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

    @property
    def airflow_url(self) -> str:
        return f"http://{self.host}:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{self.host}:{self.mlflow_port}"

    @property
    def connect_url(self) -> str:
        return f"sc://{self.host}:{self.connect_port}"

    @property
    def spark_ui_url(self) -> str:
        return f"http://{self.host}:{self.spark_ui_port}"

    @property
    def sources_url(self) -> str:
        return f"http://{self.host}:{self.sources_port}"
