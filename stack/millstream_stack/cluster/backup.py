"""What a backup holds besides the databases: the lake and MLflow's artifacts, as one tar stream.

    docker compose run --rm -T backup >files.tar             writes it
    docker compose run --rm -T backup restore <files.tar     fills an empty lake and an empty folder with it

`stack/cluster-backup` calls both. The lake is read from a snapshot of HDFS, so that it is that of one moment
while jobs go on writing.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import urlsplit

from millstream.errors import ConfigurationError, MillstreamError
from millstream.lake.storage import LOCKS, Storage
from millstream.settings import Settings
from millstream_stack.cluster.mlflow import artifacts
from millstream_stack.cluster.webhdfs import WebHdfs

SNAPSHOT = "backup"
LAKE, ARTIFACTS = "lake", "artifacts"
# Locks are their holders', and what is on its way to a submitted job has logins in it.
LEFT_OUT = (LOCKS, "submissions", "outcomes")
# Closing a small file takes HDFS 0.4 s, many at once hardly more.
WRITERS = 16
SMALL_BYTES = 8 * 1024 * 1024


def save(settings: Settings, target: BinaryIO) -> None:
    """Writes lake and artifacts as a tar stream. Raises ClusterError when HDFS refuses."""
    # The mode `w|` writes in order and never seeks: the target may be a pipe.
    with snapshot(settings.lake_root) as root, tarfile.open(fileobj=target, mode="w|") as tar:
        storage = Storage(root)
        for folder in storage.list(""):
            if folder in LEFT_OUT:
                continue
            for file in storage.files(folder):
                entry = tarfile.TarInfo(f"{LAKE}/{file.path}")
                entry.size, entry.mtime = file.bytes, file.modified.timestamp()
                with storage.reading(file.path) as content:
                    tar.addfile(entry, content)
        tar.add(artifacts(settings), ARTIFACTS)


def restore(settings: Settings, source: BinaryIO) -> int:
    """Writes what `save` has written; returns how many files of the lake that were.

    Raises: ConfigurationError when the lake or the artifacts' folder has something in it.
    """
    storage, folder = Storage(settings.lake_root), artifacts(settings)
    if kept := [name for name in storage.list("") if name not in LEFT_OUT]:
        raise ConfigurationError(
            f"{settings.lake_root} has {', '.join(kept)} in it already: a backup is restored into an "
            "empty stack (`docker compose --profile '*' down --volumes` deletes what is there)"
        )
    if any(folder.iterdir()):
        raise ConfigurationError(f"the volume of MLflow's artifacts is not empty: {folder}")
    files = 0
    with tarfile.open(fileobj=source, mode="r|") as tar, ThreadPoolExecutor(WRITERS) as threads:
        writes: set[Future[None]] = set()
        for entry in tar:
            place, _, path = entry.name.partition("/")
            content = tar.extractfile(entry) if entry.isfile() else None
            if content is None:
                continue
            if place == ARTIFACTS:
                _put(content, folder, path)
            else:
                files += 1
                if entry.size > SMALL_BYTES:
                    with storage.new_file(path.rpartition("/")[0]) as new:
                        while piece := content.read(SMALL_BYTES):
                            new.write(piece)
                        new.publish(path)
                    continue
                writes.add(threads.submit(storage.write, path, content.read()))
                writes = _ended(writes, WRITERS * 2)
        _ended(writes, 0)
    return files


def _put(content: IO[bytes], folder: Path, path: str) -> None:
    # The Python of Debian 12 has no filter for `tarfile.extract`.
    if ".." in path.split("/"):
        raise ConfigurationError(f"the backup is not one of ours: {path!r} leads out of {folder}")
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        shutil.copyfileobj(content, stream)


def _ended(writes: set[Future[None]], most: int) -> set[Future[None]]:
    """Waits until at most so many are left; raises what one of them has raised."""
    while len(writes) > most:
        done, writes = wait(writes, return_when=FIRST_COMPLETED)
        for write in done:
            write.result()
    return writes


@contextmanager
def snapshot(lake_root: str) -> Iterator[str]:
    """The lake as it is now, under a URI of its own, until the block ends."""
    folder = urlsplit(lake_root).path
    with WebHdfs() as hdfs:
        hdfs.ask("PUT", "ALLOWSNAPSHOT", folder)
        # Of a backup that was cut off.
        if hdfs.exists(f"{folder}/.snapshot/{SNAPSHOT}"):
            hdfs.ask("DELETE", "DELETESNAPSHOT", folder, snapshotname=SNAPSHOT)
        hdfs.ask("PUT", "CREATESNAPSHOT", folder, snapshotname=SNAPSHOT)
        try:
            yield f"{lake_root}/.snapshot/{SNAPSHOT}"
        finally:
            hdfs.ask("DELETE", "DELETESNAPSHOT", folder, snapshotname=SNAPSHOT)


def main(action: str) -> int:
    settings = Settings()
    try:
        if action == "backup":
            save(settings, sys.stdout.buffer)
        else:
            print(f"restored {restore(settings, sys.stdin.buffer)} files of the lake")
    except MillstreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
