"""A real OpenSSH server with its SFTP, on a free port of 127.0.0.1, for one user and one key."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import asyncssh

from tests.support.loopback import free_port
from tests.support.waiting import until

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
CONFIGURATION = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile {folder}/sshd.pid
PasswordAuthentication no
PermitRootLogin yes
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
"""


class SftpServer:
    """Its keys are in `folder`; `files` is the folder that it serves."""

    def __init__(self, folder: Path) -> None:
        assert SSHD, "no sshd: install the package openssh-server"
        self._folder = folder
        self.files = folder / "files"
        self.files.mkdir(parents=True)
        for name in ("host_key", "user_key", "other_key"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(str(folder / name))
            key.write_public_key(str(folder / f"{name}.pub"))
            (folder / name).chmod(0o600)
        self.port = free_port()
        configuration = folder / "sshd_config"
        configuration.write_text(CONFIGURATION.format(port=self.port, folder=folder))
        if os.geteuid() == 0:
            # Where the server shuts itself away; the package's service makes it.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._log = (folder / "sshd.log").open("wb")
        self._process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(configuration)], stderr=self._log)
        until(self._answers, 20, "sshd answers")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as greeted:
                return greeted.recv(4) == b"SSH-"
        except OSError:
            return False

    def key_of(self, name: str) -> str:
        """A public key, as a connection's `host_key` has it."""
        return " ".join((self._folder / f"{name}.pub").read_text().split()[:2])

    def connection(self, user_key: str = "user_key", **extra: Any) -> str:
        """As Airflow has it in its environment."""
        extra = {"path": str(self.files), "host_key": self.key_of("host_key"), **extra}
        return json.dumps(
            {
                "conn_type": "sftp",
                "host": "127.0.0.1",
                "port": self.port,
                "login": getpass.getuser(),
                "extra": {"key_file": str(self._folder / user_key), **extra},
            }
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()
