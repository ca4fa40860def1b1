"""The services of the embedded stack: what each runs, where it listens and how its health is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from millstream.settings import Settings
from millstream_stack.credentials import Credentials
from millstream_stack.environment import (
    airflow_environment,
    mlflow_environment,
    sources_environment,
    stack_environment,
)
from millstream_stack.services.spark_server import spark_connect_command
from millstream_stack.services.stream_process import (
    ALERTS_OPTIONS,
    STOPPED,
    alerts_command,
    alerts_run,
    stream_command,
    stream_environment,
    stream_runs,
)
from millstream_stack.supervision.health import Health, airflow_component, http_answers, port_answers

AIRFLOW_SECRETS = ("AIRFLOW_CONN_", "AIRFLOW_VAR_")


# What `make streams-up` adds to the stack, one after the other; `make demo-streams` sends its events itself.
Part = Literal["", "broker", "streams", "alerts", "events"]


@dataclass(frozen=True)
class Service:
    """One supervised process.

    `ports` maps the setting that chooses a port to its value; `health` asks the running service. `setup` is
    whose database must be prepared before it starts. Those of a `part` start only when it is asked for. One
    that ends with the exit status `parks_at` is not started again; one that `drains` is told to end alone,
    before the processes that it has started.
    """

    name: str
    title: str
    command: tuple[str, ...]
    health: Callable[[], Health] = lambda: Health(True)
    ports: tuple[str, ...] = ()
    url: str = ""
    stop_seconds: int = 20
    setup: Literal["", "MLflow", "Airflow"] = ""
    part: Part = ""
    parks_at: int | None = None
    drains: bool = False


def services(settings: Settings) -> list[Service]:
    """All services, in the order they are started."""
    python = str(settings.root / ".venv" / "bin" / "python")
    return [
        Service(
            name="spark-connect",
            title="Spark Connect server",
            command=spark_connect_command(settings),
            health=lambda: port_answers(settings.host, settings.connect_port),
            ports=("connect_port", "spark_ui_port"),
            url=settings.spark_ui_url,
        ),
        Service(
            name="mlflow",
            title="MLflow",
            command=_mlflow_command(settings, python),
            health=lambda: http_answers(f"{settings.mlflow_url}/health"),
            ports=("mlflow_port",),
            url=settings.mlflow_url,
            setup="MLflow",
        ),
        Service(
            name="demo-sources",
            title="Demo sources",
            command=(
                *(python, "-m", "millstream_demo", "serve", "--host", settings.host),
                *("--port", str(settings.sources_port), "--data", str(settings.home / "demo")),
            ),
            health=lambda: http_answers(f"{settings.sources_url}/health"),
            ports=("sources_port",),
            url=settings.sources_url,
        ),
        Service(
            name="dashboards",
            title="Dashboards",
            command=(
                *(python, "-m", "millstream_stack.dashboards.server"),
                *("--host", settings.host, "--port", str(settings.dashboards_port)),
            ),
            health=lambda: http_answers(f"{settings.dashboards_url}/health"),
            ports=("dashboards_port",),
            url=settings.dashboards_url,
        ),
        *(replace(service, setup="Airflow") for service in _airflow_services(settings, python)),
        *_stream_services(settings, python),
    ]


def _stream_services(settings: Settings, python: str) -> list[Service]:
    events = settings.home / "demo" / "flight_events.day"
    return [
        Service(
            name="kafka",
            title="Kafka",
            command=(python, "-m", "millstream_stack.services.kafka_broker"),
            health=lambda: port_answers(settings.host, settings.kafka_port),
            ports=("kafka_port", "kafka_controller_port"),
            part="broker",
        ),
        Service(
            name="stream-flights",
            title="Stream of flights",
            command=stream_command(settings, "flight_events"),
            health=lambda: stream_runs(settings, "flight_events"),
            stop_seconds=60,
            part="streams",
            parks_at=STOPPED,
            drains=True,
        ),
        Service(
            name="stream-alerts",
            title="Alerts of flights",
            command=alerts_command(settings, "flight_events"),
            health=lambda: alerts_run(settings, "flight_events"),
            stop_seconds=60,
            part="alerts",
            parks_at=STOPPED,
            drains=True,
        ),
        Service(
            name="event-source",
            title="Demo events",
            command=(
                *(python, "-m", "millstream_demo", "events", "--servers", settings.kafka_servers),
                *("--speed", str(settings.event_speed), "--state", str(events)),
            ),
            part="events",
        ),
    ]


def _mlflow_command(settings: Settings, python: str) -> tuple[str, ...]:
    folder = settings.home / "mlflow"
    return (
        *(python, "-m", "mlflow", "server", "--app-name", "basic-auth"),
        *("--host", settings.host, "--port", str(settings.mlflow_port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", f"file://{folder}/artifacts"),
    )


def _airflow_services(settings: Settings, python: str) -> list[Service]:
    airflow = (python, "-m", "airflow")
    preloaded = (python, "-m", "millstream_stack.services.airflow_preloaded")
    return [
        Service(
            name="airflow-api-server",
            title="Airflow web UI and API",
            command=(*airflow, "api-server"),
            # Its first answer builds the tasks' API (4 s of a core): better now than before the first task.
            health=lambda: http_answers(f"{settings.airflow_url}/execution/health"),
            ports=("airflow_port",),
            url=settings.airflow_url,
        ),
        # Logs are read from the shared folder; the log server would listen on all addresses.
        Service(
            name="airflow-scheduler",
            title="Airflow scheduler",
            command=(*preloaded, "scheduler", "--skip-serve-logs"),
            health=lambda: airflow_component(settings.airflow_url, "scheduler"),
        ),
        Service(
            name="airflow-dag-processor",
            title="Airflow DAG processor",
            command=(*preloaded, "dag-processor"),
            health=lambda: airflow_component(settings.airflow_url, "dag_processor"),
        ),
        Service(
            name="airflow-triggerer",
            title="Airflow triggerer",
            command=(*airflow, "triggerer", "--skip-serve-logs"),
            health=lambda: airflow_component(settings.airflow_url, "triggerer"),
        ),
    ]


def service_environment(name: str, settings: Settings, credentials: Credentials) -> dict[str, str]:
    """The whole environment of one service: each gets the secrets it needs and no others."""
    environment = stack_environment(settings, credentials)
    # What the caller gave to Airflow: it wins over the stack's own, and no other service gets it.
    given = {name: environment.pop(name) for name in list(environment) if name.startswith(AIRFLOW_SECRETS)}
    if name == "airflow-api-server":
        arguments = "millstream_stack.services.airflow_setup.SQLITE_SERVER_CONNECT_ARGS"
        airflow = airflow_environment(settings, credentials) | given
        return environment | airflow | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": arguments}
    if name.startswith("airflow-"):
        return environment | airflow_environment(settings, credentials) | given
    if name == "mlflow":
        return environment | mlflow_environment(settings, credentials)
    if name == "stream-alerts":
        return environment | stream_environment(settings, ALERTS_OPTIONS)
    if name.startswith("stream-"):
        return environment | stream_environment(settings)
    if name == "demo-sources":
        return environment | sources_environment(credentials)
    if name == "dashboards":
        # Notebooks run in it, and viewers look at them.
        return {name: value for name, value in environment.items() if not name.startswith("MLFLOW_")}
    return environment
