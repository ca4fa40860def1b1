"""supervisord, which starts the services, restarts what dies and stops them; reached over a local socket.

http://supervisord.org/configuration.html describes the configuration that is rendered here.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from millstream.errors import ClusterError
from millstream_stack.supervision.processes import end

# The kernel's limit for the path of a Unix socket is 108 bytes on Linux and 104 on macOS; supervisord appends
# its process id to a temporary name first.
SOCKET_PATH_LIMIT = 92
LOG_BYTES = "20MB"
POLL_S = 0.1


@dataclass(frozen=True)
class Program:
    """One supervised command.

    After the exit status `parks_at` it is not started again; one that `drains` gets the signal to stop alone,
    without its children.
    """

    name: str
    command: Sequence[str]
    stop_seconds: int = 20
    start_seconds: int = 3
    autostart: bool = True
    parks_at: int | None = None
    drains: bool = False


@dataclass(frozen=True)
class ProcessState:
    """What supervisord knows of one program. `uptime_s` and `pid` are 0 unless it runs."""

    name: str
    state: str
    pid: int
    uptime_s: int
    detail: str


class Supervisor:
    """The supervisord of one home folder."""

    def __init__(self, home: Path, password: str) -> None:
        self.folder = home / "stack"
        self.home = home
        self.password = password

    @property
    def configuration(self) -> Path:
        return self.folder / "supervisord.conf"

    @property
    def log(self) -> Path:
        return self.home / "logs" / "supervisord.log"

    @property
    def _socket(self) -> Path | None:
        """The socket's path; None where the checkout lies too deep for one."""
        path = self.folder / "supervisor.sock"
        return path if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT else None

    @property
    def _port_file(self) -> Path:
        return self.folder / "supervisor.port"

    def start(
        self, programs: Sequence[Program], environment: Mapping[str, str], timeout_s: float = 20.0
    ) -> None:
        """Starts supervisord and with it every program.

        Raises:
            ClusterError: it does not answer within `timeout_s` seconds.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        port = None
        if self._socket is None:
            port = _free_port()
            self._port_file.write_text(str(port))
        self.configuration.write_text(self.render(programs, port))
        self.configuration.chmod(0o600)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.configuration)]
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        deadline = time.monotonic() + timeout_s
        while done.returncode == 0 and time.monotonic() < deadline:
            if pid := self.pid():
                (self.folder / "supervisord.session").write_text(str(pid))
                return
            time.sleep(POLL_S)
        raise ClusterError(f"supervisord does not start: {done.stderr or done.stdout or self.log}")

    def render(self, programs: Sequence[Program], port: int | None = None) -> str:
        """supervisord's configuration, listening on `port` where no socket is possible.

        It holds no secret: services get theirs from `launch`.
        """
        sections = [
            self._server_section(port),
            _section(
                "supervisord",
                logfile=self.log,
                pidfile=self.folder / "supervisord.pid",
                childlogdir=self.log.parent,
                directory=self.home,
                identifier="millstream",
                logfile_maxbytes=LOG_BYTES,
                logfile_backups=1,
                strip_ansi="true",
            ),
            _section(
                "rpcinterface:supervisor",
                **{"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
            ),
            *(self._program_section(program, order) for order, program in enumerate(programs)),
        ]
        return "\n".join(sections)

    def _server_section(self, port: int | None) -> str:
        if self._socket is not None and port is None:
            return _section("unix_http_server", file=self._socket, chmod="0600")
        # Only the digest of a random password stands here; it cannot be turned back into the password.
        digest = hashlib.sha1(self.password.encode(), usedforsecurity=False).hexdigest()
        return _section(
            "inet_http_server",
            port=f"127.0.0.1:{port}",
            username="millstream",
            password=f"{{SHA}}{digest}",
        )

    def _program_section(self, program: Program, order: int) -> str:
        log = {
            "stdout_logfile": self.log_of(program.name),
            "stdout_logfile_maxbytes": LOG_BYTES,
            "stdout_logfile_backups": 1,
        }
        return _section(
            f"program:{program.name}",
            command=" ".join(_quoted(part) for part in program.command),
            directory=self.home,
            priority=order,
            autostart=str(program.autostart).lower(),
            autorestart="true" if program.parks_at is None else "unexpected",
            exitcodes=program.parks_at or 0,
            startsecs=program.start_seconds,
            startretries=10,
            stopwaitsecs=program.stop_seconds,
            stopasgroup=str(not program.drains).lower(),
            killasgroup="true",
            redirect_stderr="true",
            **log,
        )

    @property
    def session(self) -> int | None:
        """The session that the latest supervisord led, even after its end; None when there was none."""
        try:
            return int((self.folder / "supervisord.session").read_text())
        except FileNotFoundError:
            return None

    def log_of(self, name: str) -> Path:
        return self.log.parent / f"{name}.log"

    def _call(self, method: str, *arguments: Any) -> Any:
        address = (
            f"unix://{self._socket}" if self._socket else f"http://127.0.0.1:{self._port_file.read_text()}"
        )
        user = "" if self._socket else "millstream"
        transport = SupervisorTransport(user, "" if self._socket else self.password, address)
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except http.client.HTTPException as error:
            raise ConnectionError(f"what listens at {address} is no supervisord: {error!r}") from error
        finally:
            transport.close()

    def running(self) -> bool:
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error):
            return False

    def states(self) -> list[ProcessState]:
        """The programs' states; empty when supervisord does not run."""
        try:
            infos = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        except (OSError, xmlrpc.client.Error):
            return []
        return [
            ProcessState(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                uptime_s=info["now"] - info["start"] if info["pid"] else 0,
                detail=info["spawnerr"] or info["description"],
            )
            for info in infos
        ]

    def start_stopped(self, names: Container[str] | None = None) -> None:
        """Starts what was stopped, given up or never started: all programs, or those with these names."""
        for state in self.states():
            idle = state.state not in ("RUNNING", "STARTING", "BACKOFF")
            if idle and (names is None or state.name in names):
                try:
                    self._call("startProcess", state.name, False)
                except xmlrpc.client.Fault as fault:
                    # supervisord starts again by itself what has died, and can be quicker.
                    if fault.faultCode != Faults.ALREADY_STARTED:
                        raise

    def pid(self) -> int | None:
        """supervisord's process id; None when it does not answer."""
        try:
            return int(self._call("getPID"))
        except (OSError, xmlrpc.client.Error):
            return None

    def stop(self, first: Sequence[str] = (), timeout_s: float = 90.0) -> bool:
        """Stops the programs `first`, one after the other, then all others together, then supervisord itself.

        Left to itself, supervisord stops one program after the other, each with its own wait. Returns
        whether it was running; it is killed when it has not ended after `timeout_s` seconds.
        """
        pid = self.pid()
        if pid is None:
            return False
        for name in first:
            self._stop_first(name, timeout_s)
        self._call("stopAllProcesses", False)
        self._call("shutdown")
        with contextlib.suppress(psutil.NoSuchProcess):
            _, alive = psutil.wait_procs([psutil.Process(pid)], timeout=timeout_s)
            end(alive)
        # Somebody else may listen there next.
        self._port_file.unlink(missing_ok=True)
        return True

    def _stop_first(self, name: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and any(
            state.name == name and state.pid for state in self.states()
        ):
            try:
                self._call("stopProcess", name)
            except xmlrpc.client.Fault as fault:
                # Being stopped by a `stop` that was broken off.
                if fault.faultCode != Faults.NOT_RUNNING:
                    raise
                time.sleep(POLL_S)


def _section(name: str, **values: object) -> str:
    # supervisord expands %(…)s in values, so a percent sign in a path is doubled.
    lines = [f"{key} = {str(value).replace('%', '%%')}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def _quoted(part: str) -> str:
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
