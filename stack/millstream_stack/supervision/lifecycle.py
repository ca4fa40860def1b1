"""Bringing the embedded stack up and down, and saying how it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from millstream.errors import ClusterError, ConfigurationError
from millstream.lake.storage import Storage
from millstream.settings import Settings
from millstream_stack.credentials import Credentials, load_or_create
from millstream_stack.environment import base_environment, prepare_folders
from millstream_stack.services.declared import Part, Service, service_environment, services
from millstream_stack.services.lake_claim import owner
from millstream_stack.services.spark_server import write_spark_properties
from millstream_stack.services.stream_process import write_stream_properties
from millstream_stack.supervision.health import Health
from millstream_stack.supervision.ports import require_free
from millstream_stack.supervision.processes import end, strays
from millstream_stack.supervision.supervision import ProcessState, Program, Supervisor

START_TIMEOUT_S = 480.0
STOP_TIMEOUT_S = 90.0
POLL_S = 0.5
# How supervisord describes such a program.
NEVER_STARTED = "Not started"
# What `make clean` removes, by name: a home that somebody put into a folder of theirs is not emptied.
DATA = (
    *("airflow", "broker", "demo", "e2e", "home", "lake", "lineage", "locks", "logs", "mlflow"),
    *("scratch/spark-connect", "secrets", "spark", "spark-events", "stack", "streams", "tmp"),
)
Report = Callable[[str], None]


@dataclass(frozen=True)
class SetUp:
    """What prepares a database: run in the environment of `service`, it leaves `result` in the home."""

    module: str
    service: str
    package: str
    result: str


# The shorter one first: its service starts while the other is under way.
SETUPS = {
    "MLflow": SetUp("mlflow_setup", "mlflow", "mlflow", "mlflow/basic_auth.ini"),
    "Airflow": SetUp("airflow_setup", "airflow-setup", "apache-airflow", "airflow/airflow.db"),
}


@dataclass(frozen=True)
class ServiceStatus:
    """One service as `make status` shows it."""

    service: Service
    process: ProcessState | None
    health: Health


def supervisor_of(settings: Settings, credentials: Credentials) -> Supervisor:
    return Supervisor(settings.home, credentials.supervisor_password)


def running_settings(settings: Settings) -> Settings:
    """The settings the running stack was started with; the present ones when nothing has been started.

    A port given on the command line of `make up` is then known to `make status` in another shell.
    """
    record = _record(settings)
    if not record.is_file():
        return settings
    recorded = Settings(**json.loads(record.read_text()))
    # In a copied or moved checkout the record is another's.
    return recorded if (recorded.root, recorded.home) == (settings.root, settings.home) else settings


def _record(settings: Settings) -> Path:
    return settings.home / "stack" / "settings.json"


def up(settings: Settings, report: Report) -> None:
    """Starts what does not run, and returns when every service is healthy; those of a part are left alone.

    Raises:
        ConfigurationError: a port is taken, the lake cannot lie where it is to lie, or the installation is
            incomplete.
        LakeWriterError: another stack has the lake.
        ClusterError: a service does not get healthy; carries the end of its log.
    """
    began = time.monotonic()
    prepare_folders(settings)
    with _exclusively(settings):
        credentials = load_or_create(settings)
        supervisor = supervisor_of(settings, credentials)
        if supervisor.running() and running_settings(settings) != settings:
            report("the settings have changed: restarting the stack")
            _stop(settings, supervisor)
        if not supervisor.running():
            _start(settings, supervisor, report)
        _set_up(settings, credentials, supervisor, report)
        wanted = [service for service in services(settings) if not service.part]
        supervisor.start_stopped({service.name for service in wanted})
        _wait_healthy(wanted, supervisor, report, began)


def start_part(settings: Settings, report: Report, part: Part) -> None:
    """Starts the services of a `part` of the stack that is up, and returns when they are healthy.

    Raises: ConfigurationError: a port is taken; ClusterError: a service does not get healthy.
    """
    began = time.monotonic()
    with _exclusively(settings):
        supervisor = supervisor_of(settings, load_or_create(settings))
        wanted = [service for service in services(settings) if service.part == part]
        _require_ports(settings, supervisor, wanted)
        supervisor.start_stopped({service.name for service in wanted})
        _wait_healthy(wanted, supervisor, report, began)


def _require_ports(settings: Settings, supervisor: Supervisor, wanted: list[Service]) -> None:
    """Raises ConfigurationError when a port of a service is taken that is about to start."""
    running = {state.name for state in supervisor.states() if state.pid}
    require_free(settings, [port for one in wanted if one.name not in running for port in one.ports])


@contextmanager
def _exclusively(settings: Settings) -> Iterator[None]:
    lock = FileLock(settings.home / "stack" / "lifecycle.lock", timeout=STOP_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigurationError(
            "another `make up` or `make down` is under way in this checkout: wait for its end, then try again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _start(settings: Settings, supervisor: Supervisor, report: Report) -> None:
    """Starts supervisord, and with it the services that need no set-up."""
    left_over = strays(settings.home, supervisor.session)
    if left_over:
        report(f"ending {end(left_over)} processes of an earlier stack that lost its supervisor")
    wanted = services(settings)
    lake = Storage(settings.lake_root)
    lake.require_safe_for_writers()
    lake.require_unclaimed(owner(str(settings.home)))
    require_free(settings, [field for service in wanted if not service.part for field in service.ports])
    write_spark_properties(settings)
    write_stream_properties(settings)
    _record(settings).write_text(settings.model_dump_json(indent=2))
    python = str(settings.root / ".venv" / "bin" / "python")
    launcher = (python, "-m", "millstream_stack.services.launch")
    programs = [
        Program(
            service.name,
            (*launcher, service.name),
            stop_seconds=service.stop_seconds,
            autostart=not service.setup and not service.part,
            parks_at=service.parks_at,
            drains=service.drains,
        )
        for service in wanted
    ]
    resolved = {f"MILLSTREAM_{name.upper()}": str(value) for name, value in settings.model_dump().items()}
    supervisor.start(programs, base_environment(settings) | resolved)


def _set_up(settings: Settings, credentials: Credentials, supervisor: Supervisor, report: Report) -> None:
    """Prepares the databases of Airflow and MLflow where versions or passwords have changed.

    What needs no set-up starts meanwhile, and each service as soon as its own is done. A database that is in
    use is left alone.
    """
    wanted = services(settings)
    for name, setup in SETUPS.items():
        users = {service.name for service in wanted if service.setup == name}
        if any(state.name in users and state.pid for state in supervisor.states()):
            continue
        stamp = settings.home / "stack" / f"{setup.module}.stamp"
        source = (Path(__file__).parents[1] / "services" / f"{setup.module}.py").read_bytes()
        digest = hashlib.sha256(source + credentials.model_dump_json().encode()).hexdigest()
        state = f"{setup.package} {version(setup.package)} {digest}"
        if not (stamp.is_file() and stamp.read_text() == state and (settings.home / setup.result).exists()):
            report(f"preparing the database of {name}")
            environment = service_environment(setup.service, settings, credentials)
            _run_setup(f"millstream_stack.services.{setup.module}", environment, settings)
            stamp.write_text(state)
        supervisor.start_stopped(users)


def _run_setup(module: str, environment: dict[str, str], settings: Settings) -> None:
    log = settings.home / "logs" / f"{module.rpartition('.')[2]}.log"
    with log.open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-m", module], env=environment, cwd=settings.home, stdin=subprocess.DEVNULL,
            stdout=stream, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode:
        raise ClusterError(f"{module} failed:\n{last_lines(log, 20)}")


def _wait_healthy(wanted: list[Service], supervisor: Supervisor, report: Report, began: float) -> None:
    waiting = {service.name: service for service in wanted}
    started = time.monotonic()
    while waiting:
        states = {state.name: state for state in supervisor.states()}
        for name, health in _ask(list(waiting.values())).items():
            state = states.get(name)
            up = health.healthy or health.parked
            if up and state is not None and state.state in ("RUNNING", "STARTING"):
                how = health.detail if health.parked else "up"
                report(f"{waiting.pop(name).title} is {how} ({time.monotonic() - began:.0f} s)")
            elif state is None or state.state == "FATAL":
                raise ClusterError(
                    _failure(waiting[name], supervisor, "it stops again whenever it is started")
                )
            elif state.state == "EXITED" and waiting[name].parks_at is not None:
                raise ClusterError(_failure(waiting[name], supervisor, health.detail))
            elif state.state == "STOPPED":
                # It was still ending when it was asked to start.
                supervisor.start_stopped({name})
            elif time.monotonic() - started > START_TIMEOUT_S:
                raise ClusterError(_failure(waiting[name], supervisor, health.detail))
        if waiting:
            time.sleep(POLL_S)


def _ask(asked: list[Service]) -> dict[str, Health]:
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        return dict(
            zip((service.name for service in asked), pool.map(lambda one: one.health(), asked), strict=True)
        )


def _failure(service: Service, supervisor: Supervisor, why: str) -> str:
    log = supervisor.log_of(service.name)
    return f"{service.title} did not come up: {why}. Its log {log} ends:\n{last_lines(log, 20)}"


def last_lines(path: Path, count: int) -> str:
    """The last lines of a log; empty when there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - 65536))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-count:])


def down(settings: Settings, report: Report) -> None:
    """Stops every process of the stack, those included that lost their supervisor."""
    prepare_folders(settings)
    with _exclusively(settings):
        stopped = _stop(settings, supervisor_of(settings, load_or_create(settings)))
    report("the stack is down" if stopped else "the stack was not running")


def _stop(settings: Settings, supervisor: Supervisor) -> bool:
    # A stream ends its micro-batch while the broker still answers; tasks end with the scheduler, and report
    # their end while the API still answers.
    drained = [service.name for service in services(settings) if service.drains]
    was_running = supervisor.stop(first=[*drained, "airflow-scheduler"], timeout_s=STOP_TIMEOUT_S)
    left_over = end(strays(settings.home, supervisor.session))
    _record(settings).unlink(missing_ok=True)
    return was_running or left_over > 0


def remove_data(settings: Settings) -> None:
    """Removes lake, models, databases, logs and logins of a stack that is down; keeps what was installed."""
    for name in DATA:
        shutil.rmtree(settings.home / name, ignore_errors=True)
    with suppress(OSError):
        # Unless somebody else has something in it.
        (settings.home / "scratch").rmdir()


def status(settings: Settings) -> list[ServiceStatus]:
    """Every service with its process and its health."""
    supervisor = supervisor_of(settings, load_or_create(settings))
    states = {state.name: state for state in supervisor.states()}
    # What nobody has asked for is not missing.
    found = [service for service in services(settings) if not service.part or _was_started(service, states)]
    healths = _ask(found)
    return [
        ServiceStatus(
            service, states.get(service.name), _judge(states.get(service.name), healths[service.name])
        )
        for service in found
    ]


def _was_started(service: Service, states: dict[str, ProcessState]) -> bool:
    state = states.get(service.name)
    return state is not None and state.detail != NEVER_STARTED


def _judge(process: ProcessState | None, health: Health) -> Health:
    """A healthy answer counts only when it comes from our own process."""
    if process is None:
        return Health(False, "not started")
    if process.state not in ("RUNNING", "STARTING"):
        return Health(False, process.detail)
    return health
