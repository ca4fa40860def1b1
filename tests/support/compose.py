"""The cluster of docker-compose.yml as its users start it: `docker compose`, with secrets of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millstream.settings import CHECKOUT
from millstream_stack.cluster.secret_files import write_missing

UP_TIMEOUT_S = 600.0
PYTHON = "/opt/millstream/.venv/bin/python"
# Images run as this user; root's secrets are made this user's.
USER = int(os.environ.get("MILLSTREAM_UID", "0")) or os.getuid() or 1000


@dataclass(frozen=True)
class Cluster:
    """One project of Compose. `ports` are its published ones, by the variable that sets each."""

    project: str
    secrets: Path
    ports: Mapping[str, int]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "MILLSTREAM_SECRETS": str(self.secrets),
            "MILLSTREAM_UID": str(USER),
            **{name: str(port) for name, port in self.ports.items()},
        }

    def write_secrets(self) -> None:
        write_missing(self.secrets, USER if os.getuid() == 0 else None)

    def compose(
        self, *arguments: str, check: bool = True, timeout_s: float = UP_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """`docker compose` with these arguments; a failure shows what it wrote."""
        done = subprocess.run(
            ["docker", "compose", *arguments], env=self.environment, cwd=CHECKOUT, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout_s,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done

    def up(self, *services: str, profile: str = "") -> None:
        """Returns when the services, or all of them and of the profile, are healthy; a failure shows the logs
        of the others."""
        chosen = ("--profile", profile) if profile else ()
        done = self.compose(*chosen, "up", "--wait", "--no-build", *services, check=False)
        if done.returncode:
            unwell = [one["Service"] for one in self.containers() if not _is_well(one)]
            logs = (
                self.compose(*chosen, "logs", "--no-color", "--tail", "40", *unwell).stdout if unwell else ""
            )
            raise AssertionError(f"{done.stderr}\nnot healthy: {unwell}\n{logs}")

    def down(self) -> None:
        """Removes containers, networks and data, those of profiles too."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans")

    def containers(self) -> list[dict[str, Any]]:
        """Every container as `docker compose ps` describes it."""
        lines = self.compose("ps", "--all", "--format", "json").stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def ids(self, service: str) -> list[str]:
        """The container ids of a service, as its processes have them for a host name."""
        return [one["ID"] for one in self.containers() if one["Service"] == service]

    def python_in(self, container: str, program: str, environment: Mapping[str, str] | None = None) -> Any:
        """What a Python program in one container prints, read as JSON."""
        given = [word for name, value in (environment or {}).items() for word in ("-e", f"{name}={value}")]
        command = ["docker", "exec", *given, container, PYTHON, "-c", program]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def python(self, service: str, program: str, environment: Mapping[str, str] | None = None) -> Any:
        """The same in the first container of a service."""
        return self.python_in(self.ids(service)[0], program, environment)

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    def inspect(self, container: str) -> dict[str, Any]:
        done = subprocess.run(["docker", "inspect", container], text=True, capture_output=True, check=True)
        described: dict[str, Any] = json.loads(done.stdout)[0]
        return described


def _is_well(container: Mapping[str, Any]) -> bool:
    if container["State"] == "exited":
        return bool(container["ExitCode"] == 0)
    return bool(container["State"] == "running" and container["Health"] in ("", "healthy"))
