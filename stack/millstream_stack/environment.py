"""The environment of every process the platform starts: nothing outside the checkout, nothing phoned home.

Secrets reach a process here and nowhere else; supervisor's configuration and command lines carry none.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream_stack.credentials import Credentials

# Names the processes of one stack, so that `down` finds those whose parent was killed.
MARKER = "MILLSTREAM_STACK_HOME"

# A caller's own Python or bytecode settings would change what the platform's processes import, and without
# bytecode each of the many short task processes compiles its imports again (measured: 6.7 s for Airflow's).
DROPPED = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONSTARTUP",
    "SPARK_CONF_DIR",
    "HADOOP_CONF_DIR",
)

NO_TELEMETRY = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "SCARF_ANALYTICS": "false",
    "SCARF_NO_ANALYTICS": "true",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false",
}


def prepare_folders(settings: Settings) -> None:
    """Creates the folders the environment points to."""
    for name in (
        "home",
        "tmp",
        "scratch/spark-connect",
        "cache",
        "logs",
        "airflow",
        "mlflow",
        "spark",
        "spark-events",
        "lineage",
        "stack",
    ):
        (settings.home / name).mkdir(parents=True, exist_ok=True)


def java_home(settings: Settings) -> Path:
    """The Java runtime that `stack/bootstrap.sh` found or installed.

    Raises:
        ConfigurationError: the bootstrap has not run, or the runtime has gone.
    """
    record = settings.root / ".millstream" / "bootstrap" / "java_home"
    recorded = Path(record.read_text().strip()) if record.is_file() else None
    if recorded is None or not (recorded / "bin" / "java").exists():
        raise ConfigurationError("no Java runtime is recorded for this checkout: run stack/bootstrap.sh")
    return recorded


def base_environment(settings: Settings, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of any process: caches, temporary files and homes inside the checkout, no telemetry."""
    home, java = settings.home, java_home(settings)
    environment = {name: value for name, value in inherited.items() if name not in DROPPED}
    programs = [str(settings.root / ".venv" / "bin"), str(java / "bin")]
    path = [entry for entry in inherited.get("PATH", os.defpath).split(os.pathsep) if entry not in programs]
    environment |= {
        "PATH": os.pathsep.join(programs + path),
        "VIRTUAL_ENV": str(settings.root / ".venv"),
        **_homes(home, inherited),
        **_unproxied(settings.host, inherited),
        **_spark_client(settings, java),
        **NO_TELEMETRY,
        **({"HADOOP_CONF_DIR": settings.hadoop_conf_dir} if settings.hadoop_conf_dir else {}),
        "AIRFLOW_HOME": str(home / "airflow"),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    return environment


def _homes(home: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    variables = {
        "HOME": str(home / "home"),
        "TMPDIR": str(home / "tmp"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "home" / "config"),
        "XDG_DATA_HOME": str(home / "home" / "data"),
        "XDG_STATE_HOME": str(home / "home" / "state"),
        "MPLCONFIGDIR": str(home / "cache" / "matplotlib"),
        "UV_CACHE_DIR": str(home / "cache" / "uv"),
        "PIP_CACHE_DIR": str(home / "cache" / "pip"),
    }
    # Git keeps its user's settings (safe.directory, for one) although the home is another.
    git_config = Path(inherited.get("HOME", "/nonexistent")) / ".gitconfig"
    if "GIT_CONFIG_GLOBAL" not in inherited and git_config.is_file():
        variables["GIT_CONFIG_GLOBAL"] = str(git_config)
    return variables


def _unproxied(host: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """No proxy can reach the stack's own services, and none is to see their logins."""
    given = inherited.get("no_proxy") or inherited.get("NO_PROXY") or ""
    names = [*(name.strip() for name in given.split(",")), "127.0.0.1", "localhost", "::1", host]
    value = ",".join(dict.fromkeys(name for name in names if name))
    return {"no_proxy": value, "NO_PROXY": value}


def _spark_client(settings: Settings, java: Path) -> dict[str, str]:
    """For any JVM that PySpark starts: its performance data and temporary files also stay inside."""
    python = str(settings.root / ".venv" / "bin" / "python")
    pyspark = settings.root / ".venv" / "lib" / "python3.11" / "site-packages" / "pyspark"
    return {
        "JAVA_HOME": str(java),
        "SPARK_HOME": str(pyspark),
        "SPARK_LOCAL_DIRS": str(settings.home / "tmp"),
        "SPARK_LOCAL_IP": settings.host,
        "SPARK_LAUNCHER_OPTS": "-XX:-UsePerfData",
        "SPARK_SUBMIT_OPTS": f"-XX:-UsePerfData -Djava.io.tmpdir={settings.home / 'tmp'}",
        "PYSPARK_PYTHON": python,
        "PYSPARK_DRIVER_PYTHON": python,
    }


def stack_environment(
    settings: Settings, credentials: Credentials, inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment of a process of the stack: the base, the resolved settings and the marker.

    It holds everything a process needs to reach the others, secrets included: for our own processes only.
    """
    return {
        **base_environment(settings, inherited),
        **{f"MILLSTREAM_{name.upper()}": str(value) for name, value in settings.model_dump().items()},
        MARKER: str(settings.home),
        "MILLSTREAM_CODE_VERSION": "+".join(
            code_version(place) for place in dict.fromkeys((settings.root, settings.project))
        ),
        **_mlflow_client(settings, credentials),
    }


def code_version(root: Path) -> str:
    """The commit of a checkout, with `-dirty` when files differ from it; `unknown` where git cannot tell."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _mlflow_client(settings: Settings, credentials: Credentials) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
        "MLFLOW_TRACKING_USERNAME": credentials.mlflow_user,
        "MLFLOW_TRACKING_PASSWORD": credentials.mlflow_password,
        # Seven tries with back-off take four minutes when the server is down; Airflow's retries are enough.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    }


def mlflow_environment(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """What the MLflow server needs besides `stack_environment`."""
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings.home / "mlflow" / "basic_auth.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": credentials.mlflow_user,
        "MLFLOW_AUTH_ADMIN_PASSWORD": credentials.mlflow_password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": credentials.mlflow_flask_secret,
        # Background jobs of generative-AI features; unused here, and they would hold two more processes.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def sources_environment(credentials: Credentials) -> dict[str, str]:
    """What the demo's sources need besides `stack_environment`."""
    return {"MILLSTREAM_DEMO_API_TOKEN": credentials.demo_api_token}


SCHEDULER: dict[str, object] = {
    "scheduler_heartbeat_sec": 1,
    "scheduler_idle_sleep_time": 0.5,
    "job_heartbeat_sec": 5,
    # A killed task shows within a minute; the default of five hides it from retries.
    "task_instance_heartbeat_timeout": 60,
    "task_instance_heartbeat_timeout_detection_interval": 5,
    "orphaned_tasks_check_interval": 60,
    "catchup_by_default": False,
    "create_cron_data_intervals": True,
    # No statistics are sent anywhere, so none are gathered.
    "pool_metrics_interval": 3600,
    "ti_metrics_interval": 3600,
    "dagrun_metrics_interval": 3600,
}
DAG_PROCESSOR: dict[str, object] = {
    "refresh_interval": 10,
    "min_file_process_interval": 60,
    # On a machine that ten processes share, a file took 95 s: at the default of 50 its processor was killed,
    # and after a while its DAG was deactivated in the middle of a run.
    "dag_file_processor_timeout": 180,
    "stale_dag_threshold": 360,
    "parsing_processes": 2,
    "print_stats_interval": 0,
}


def airflow_options(settings: Settings) -> dict[str, dict[str, object]]:
    """Airflow's configuration, by section, that the embedded stack and the cluster share: no secrets."""
    logs = settings.home / "logs" / "airflow"
    return {
        "core": {
            "auth_manager": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
            "dags_folder": settings.project / "dags",
            "plugins_folder": settings.root / "plugins",
            "load_examples": False,
            "dags_are_paused_at_creation": False,
            "parallelism": settings.task_slots,
            "max_active_tasks_per_dag": settings.task_slots,
            "hostname_callable": "socket.gethostname",
            "min_serialized_dag_update_interval": 5,
        },
        "api": {
            "port": settings.airflow_port,
            "base_url": settings.airflow_url,
            "workers": 1,
            "instance_name": "Millstream",
        },
        "fab": {"config_file": settings.home / "airflow" / "webserver_config.py"},
        "scheduler": SCHEDULER,
        "dag_processor": DAG_PROCESSOR,
        # While jobs keep the machine busy the API is slow to answer; the default of 5 s loses tasks then.
        "workers": {"execution_api_timeout": 60, "execution_api_retries": 8},
        # A cleared task must run again; remembered state of an earlier success would let it pass at once.
        "state_store": {"clear_on_success": True},
        "logging": {
            "base_log_folder": logs,
            "dag_processor_child_process_log_directory": logs / "dag_processor",
            "colored_console_log": False,
        },
        "openlineage": {
            "namespace": "millstream",
            "transport": json.dumps(
                {
                    "type": "file",
                    "log_file_path": str(settings.home / "lineage" / "events.jsonl"),
                    "append": True,
                }
            ),
            # The default forks each task's process twice more.
            "execute_in_thread": True,
            "emission_policy": json.dumps([{"scope": {}, "controls": {"include_source_code": False}}]),
        },
    }


def as_variables(options: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """`AIRFLOW__<SECTION>__<OPTION>` for each option."""
    return {
        f"AIRFLOW__{section.upper()}__{option.upper()}": str(value)
        for section, values in options.items()
        for option, value in values.items()
    }


def airflow_environment(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """Airflow's configuration and the connections of the embedded stack."""
    own: dict[str, dict[str, object]] = {
        "core": {
            # LocalExecutor that survives the death of its idle workers.
            "executor": "millstream_airflow.executor.LocalExecutor",
            "fernet_key": credentials.airflow_fernet_key,
            "execution_api_server_url": f"{settings.airflow_url}/execution/",
        },
        "database": {
            "sql_alchemy_conn": f"sqlite:///{settings.home}/airflow/airflow.db",
            # SQLite has one writer; several processes share it here, so they wait longer for their turn.
            "sql_alchemy_connect_args": "millstream_stack.services.airflow_setup.SQLITE_CONNECT_ARGS",
        },
        "api": {"host": settings.host, "secret_key": credentials.airflow_api_secret},
        "api_auth": {"jwt_secret": credentials.airflow_jwt_secret},
    }
    return {
        **as_variables(airflow_options(settings)),
        **as_variables(own),
        **airflow_connections(settings, credentials),
    }


def local_connections(settings: Settings) -> dict[str, dict[str, object]]:
    """Connections to what is on the machine of a task, wherever the services are; in Airflow's JSON form."""
    data = settings.home / "demo"
    return {
        "spark_default": {
            "conn_type": "spark",
            "host": f"local[{settings.spark_cores}]",
            "extra": {"deploy-mode": "client", "spark-binary": "spark-submit"},
        },
        "mapreduce_default": {"conn_type": "hadoop_local"},
        "demo_drop": {"conn_type": "fs", "extra": {"path": str(data / "drop")}},
        "demo_sql": {"conn_type": "sqlite", "host": str(data / "source.db")},
    }


def airflow_connections(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """`AIRFLOW_CONN_*` of the embedded stack, in Airflow's JSON form."""
    connections: dict[str, dict[str, object]] = {
        **local_connections(settings),
        "spark_connect": {"conn_type": "spark_connect", "host": settings.host, "port": settings.connect_port},
        "mlflow_default": {
            "conn_type": "http",
            "schema": "http",
            "host": settings.host,
            "port": settings.mlflow_port,
            "login": credentials.mlflow_user,
            "password": credentials.mlflow_password,
        },
        "demo_weather_api": {
            "conn_type": "http",
            "schema": "http",
            "host": settings.host,
            "port": settings.sources_port,
            "password": credentials.demo_api_token,
        },
    }
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}
