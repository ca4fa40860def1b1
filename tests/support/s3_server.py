"""A real S3 server, SeaweedFS, on free ports of 127.0.0.1; built from its Go module where it is not yet."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import s3fs
from filelock import FileLock

from millstream.settings import Settings
from tests.support.loopback import free_ports
from tests.support.waiting import until

GO = shutil.which("go")
MODULE, VERSION = "github.com/seaweedfs/seaweedfs", "v0.0.0-20261109003541-7506e5f91cd6"
BUILD_TIMEOUT_S = 1800.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


def program() -> Path:
    """The server's program, built when it is missing, which takes minutes; by one of several processes.

    Go compares the module with its public checksum database.
    """
    home = Settings().root / ".millstream" / "seaweedfs"
    home.mkdir(parents=True, exist_ok=True)
    built = home / VERSION / "weed"
    with FileLock(home / "lock", timeout=BUILD_TIMEOUT_S):
        if not built.exists():
            _build(built, home / "go")
    return built


def _build(target: Path, scratch: Path) -> None:
    """In the module's own folder: `go install` refuses a module that replaces others."""
    assert GO, "no go here: install Go"
    places = {"GOPATH": str(scratch), "GOCACHE": str(scratch / "cache")}
    # Without it, only Go itself could remove what it fetched.
    environment = {**os.environ, **places, "GOFLAGS": "-modcacherw", "CGO_ENABLED": "0"}
    got = subprocess.run(
        [GO, "mod", "download", "-json", f"{MODULE}@{VERSION}"],
        env=environment,
        check=True,
        capture_output=True,
    )
    source = json.loads(got.stdout)["Dir"]
    # Without the tables of symbols, a quarter of its size.
    build = [GO, "build", "-trimpath", "-ldflags=-s -w", "-o", str(target), "./weed"]
    subprocess.run(build, cwd=source, env=environment, check=True)
    shutil.rmtree(scratch)


class S3Server:
    """One process with all of SeaweedFS and its data in `folder`, one bucket and one user."""

    bucket = "drop"

    def __init__(self, folder: Path) -> None:
        self._ports = free_ports(
            *("master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc", "s3", "s3_grpc")
        )
        self.url = f"http://127.0.0.1:{self._ports['s3']}"
        self._login = {"accessKey": "reader", "secretKey": "a-long-secret"}
        user = {"name": "reader", "credentials": [self._login], "actions": ["Admin"]}
        configuration = folder / "users.json"
        configuration.write_text(json.dumps({"identities": [user]}))
        self._log = (folder / "weed.log").open("wb")
        self._process = subprocess.Popen(
            [str(program()), *self._options(folder, configuration)],
            stdout=self._log,
            stderr=self._log,
            cwd=folder,
            env={**os.environ, "HOME": str(folder)},
        )
        try:
            until(self._answers, START_TIMEOUT_S, "SeaweedFS")
            self.files = s3fs.S3FileSystem(
                key=self._login["accessKey"],
                secret=self._login["secretKey"],
                endpoint_url=self.url,
                skip_instance_cache=True,
            )
            until(self._has_bucket, START_TIMEOUT_S, "a bucket")
        except BaseException:
            self.stop()
            raise

    def _options(self, folder: Path, configuration: Path) -> list[str]:
        ports = {
            name.replace("_grpc", ".port.grpc") if name.endswith("_grpc") else f"{name}.port": port
            for name, port in self._ports.items()
        }
        options = {
            "dir": folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.volumeSizeLimitMB": 64,
            "volume.max": 20,
            "s3.config": configuration,
            **ports,
        }
        return ["server", "-s3", "-filer", *(f"-{name}={value}" for name, value in options.items())]

    def _answers(self) -> bool:
        assert self._process.poll() is None, Path(self._log.name).read_text()[-3000:]
        try:
            return httpx.get(self.url, timeout=2).status_code < 500
        except httpx.HTTPError:
            return False

    def _has_bucket(self) -> bool:
        # Its parts find each other after they answer.
        try:
            if not self.files.exists(self.bucket):
                self.files.mkdir(self.bucket)
            self.files.pipe(f"{self.bucket}/probe", b"1")
            self.files.rm(f"{self.bucket}/probe")
        except OSError:
            return False
        return True

    def connection(self, **changed: Any) -> str:
        """As Airflow has it in its environment; `path` is below the bucket."""
        extra = {"path": self.bucket, "endpoint_url": self.url, "region_name": "us-east-1"}
        login = {"login": self._login["accessKey"], "password": self._login["secretKey"]}
        for name, value in changed.items():
            (login if name in login else extra)[name] = value
        return json.dumps({"conn_type": "aws", **login, "extra": extra})

    def stop(self) -> None:
        # It takes half a minute to leave the cluster that it alone is.
        self._process.kill()
        self._process.wait(STOP_TIMEOUT_S)
        self._log.close()


if __name__ == "__main__":
    print(program())
