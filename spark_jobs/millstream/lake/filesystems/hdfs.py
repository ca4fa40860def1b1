"""HDFS, by the protocol of its own clients (`hdfs-native`): no Java in a task, and no copy through WebHDFS.

`hdfs://<host>:<port>/<folder>` names a NameNode; `hdfs://<nameservice>/<folder>`, and a URI without a host,
are looked up in the configuration below HADOOP_CONF_DIR.
"""

from __future__ import annotations

import errno
import io
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from millstream.errors import ClusterError, ConfigurationError, MillstreamError
from millstream.lake.filesystems import Stat

if TYPE_CHECKING:
    from hdfs_native import Client

BUFFER_BYTES = 1 << 20
LOCK_POLL_S = 0.5
# Left to its defaults the client notices a NameNode that is down after three minutes.
BOUNDS = {
    "dfs.client.failover.max.attempts": "5",
    "dfs.client.failover.sleep.base.millis": "500",
    "dfs.client.failover.sleep.max.millis": "3000",
    "ipc.client.connect.timeout": "10000",
}
FOLDER_MODE, FILE_MODE, PRIVATE_MODE = 0o750, 0o640, 0o600


# By the process that made it. What a child has of its parent's is never touched: even to let go of it waits
# for the client's threads, which a fork does not copy.
_clients: dict[tuple[int, str], Client] = {}


def _client(url: str) -> Client:
    """The one client of a NameNode in this process.

    Raises: OSError in a child of a process that has used HDFS, where a call of any client would wait for
        ever: their threads belong to all of the module (hdfs-native 0.14).
    """
    from hdfs_native import Client

    process = os.getpid()
    if any(user != process for user, _ in _clients):
        raise OSError(
            errno.EDEADLK,
            "this process was forked from one that had used HDFS, and cannot use it: start a new process, or "
            "use HDFS only after the fork",
        )
    if (process, url) not in _clients:
        _clients[process, url] = Client(url, BOUNDS)
    return _clients[process, url]


# What the NameNode has thrown, as the client quotes it.
_REMOTE = re.compile(r'RPCError\("[\w.$]*?(?P<name>\w+)", "(?P<text>.*)', re.DOTALL)
REFUSALS: dict[str, tuple[type[MillstreamError], str]] = {
    "AccessControlException": (
        ConfigurationError,
        "give this user the right to it (hdfs dfs -chown, -chmod or -setfacl), or run as a user who has it "
        "(HADOOP_USER_NAME)",
    ),
    "DSQuotaExceededException": (ConfigurationError, "remove what is not needed, or raise the quota"),
    "NSQuotaExceededException": (ConfigurationError, "remove what is not needed, or raise the quota"),
    "SafeModeException": (
        ClusterError,
        "wait until the NameNode has heard of its blocks; `hdfs dfsadmin -safemode get` and `hdfs fsck /` "
        "show what it waits for",
    ),
    "StandbyException": (
        ClusterError,
        "name the nameservice in MILLSTREAM_LAKE_ROOT, not one NameNode of several, or wait for the failover",
    ),
}


def _refusal(error: Exception) -> Exception:
    """What of ours a RuntimeError of the client is: most of what the servers refuse comes as one."""
    if str(error).startswith("InvalidArgument"):
        return ConfigurationError(
            f"HDFS: {error}: look at MILLSTREAM_LAKE_ROOT, and at the configuration below HADOOP_CONF_DIR"
        )
    remote = _REMOTE.match(str(error))
    if remote is None:
        return OSError(errno.EIO, f"HDFS: {error}")
    text = remote["text"].partition("\\n\\tat ")[0].replace("\\n", " ").replace('\\"', '"')
    if remote["name"] not in REFUSALS:
        return OSError(errno.EIO, f"HDFS: {remote['name']}: {text}")
    kind, remedy = REFUSALS[remote["name"]]
    return kind(f"HDFS refuses: {text}. What to do: {remedy}")


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise _refusal(error) from error
    except OSError as error:
        # Of the client's own, those of a file have a class and those of a connection have not even a number.
        if type(error) is not OSError or error.errno is not None:
            raise
        raise OSError(
            errno.EIO, f"HDFS: {error}: look whether the NameNode and enough DataNodes are up"
        ) from error


class FileSystem:
    """Files of HDFS by path."""

    how_to_release = "if that one is gone for good, remove {path} of the lake"

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._url = f"hdfs://{parts.netloc}"
        self.root = parts.path.rstrip("/")

    @property
    def _client(self) -> Client:
        return _client(self._url)

    @_failures()
    def exists(self, path: str) -> bool:
        try:
            self._client.get_file_info(path)
        except FileNotFoundError:
            return False
        return True

    @_failures()
    def names(self, folder: str) -> list[str]:
        try:
            return [status.path.rpartition("/")[2] for status in self._client.list_status(folder)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def files(self, path: str) -> Iterator[Stat]:
        folders = [path]
        while folders:
            with _failures(), suppress(FileNotFoundError):
                # Folder by folder: one that is removed meanwhile must not end the listing of the others.
                for status in self._client.list_status(folders.pop()):
                    if status.isdir:
                        folders.append(status.path)
                    else:
                        modified = datetime.fromtimestamp(status.modification_time / 1000, UTC)
                        yield Stat(status.path, status.length, modified)

    @_failures()
    def open(self, path: str) -> BinaryIO:
        return io.BufferedReader(_Reader(path, self._client.read(path)), BUFFER_BYTES)

    @_failures()
    def create(self, path: str, private: bool) -> _Writer:
        from hdfs_native import WriteOptions

        self._make_folder(path)
        mode = PRIVATE_MODE if private else FILE_MODE
        options = WriteOptions(permission=mode, overwrite=True, create_parent=False)
        return _Writer(self._client.create(path, options))

    @_failures()
    def move(self, path: str, target: str) -> None:
        self._make_folder(target)
        self._client.rename(path, target, overwrite=True)

    @_failures()
    def remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._client.delete(path, recursive=True)

    @contextmanager
    def lock(self, path: str, timeout_s: float) -> Iterator[None]:
        """A file held open for appending: HDFS gives a file to one writer at a time, renews its lease while
        it lives, and gives it to another a minute after it died.

        It puts processes in order. Were a lease lost under a paused holder, Delta's own protocol would still
        refuse the second commit.
        """
        from hdfs_native import WriteOptions

        with _failures():
            self._make_folder(path)
            with suppress(FileExistsError):
                self._client.create(path, WriteOptions(permission=FILE_MODE, overwrite=False)).close()
            holder = self._appending(path, timeout_s)
        try:
            yield
        finally:
            # A lease that was lost meanwhile cannot be given back, and what was done under it is done.
            with suppress(OSError, RuntimeError):
                holder.close()

    def require_safe_for_writers(self) -> None:
        """Nothing to ask: a NameNode gives a name to one writer."""

    @_failures()
    def claim(self, path: str, owner: str) -> str | None:
        from hdfs_native import WriteOptions

        self._make_folder(path)
        # The note comes with the file: a process that dies in between leaves no claim of nobody's.
        hidden = f"{path}.{uuid.uuid4().hex}"
        stream = self._client.create(hidden, WriteOptions(permission=FILE_MODE))
        stream.write(owner.encode())
        stream.close()
        try:
            self._client.rename(hidden, path, overwrite=False)
        except FileExistsError:
            self._client.delete(hidden)
            claimant = self.claimant(path)
            return None if claimant == owner else claimant
        return None

    @_failures()
    def claimant(self, path: str) -> str | None:
        try:
            return str(self._client.read(path).read().decode(errors="replace"))
        except FileNotFoundError:
            return None

    def _appending(self, path: str, timeout_s: float) -> Any:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self._client.append(path)
            except FileExistsError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"another process has held {path} for {timeout_s:.0f} s") from error
                time.sleep(LOCK_POLL_S)

    def _make_folder(self, path: str) -> None:
        self._client.mkdirs(path.rpartition("/")[0] or "/", FOLDER_MODE, create_parent=True)


class _Reader(io.RawIOBase):
    """A file's bytes for `io.BufferedReader`, which needs `readinto`.

    Raises ClusterError itself: what reads formats takes an OSError for damage of the file.
    """

    def __init__(self, path: str, source: Any) -> None:
        self._path = path
        self._source = source

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._asked(lambda: self._source.read(len(buffer)))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._asked(lambda: self._source.seek(offset, whence))
        return self.tell()

    def tell(self) -> int:
        return int(self._source.tell())

    def _asked(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (OSError, RuntimeError) as error:
            raise ClusterError(
                f"HDFS failed while {self._path} was read: {error}; look whether its servers are up"
            ) from error


class _Writer:
    def __init__(self, stream: Any) -> None:
        self._stream: Any | None = stream

    def write(self, content: bytes) -> int:
        assert self._stream is not None, "the file is closed"
        with _failures():
            return int(self._stream.write(content))

    def close(self) -> None:
        """Ends the file: the NameNode has then heard of its blocks from the DataNodes that have them."""
        if self._stream is not None:
            with _failures():
                self._stream.close()
            self._stream = None

    def abandon(self) -> None:
        """Ends nothing at the NameNode, which would wait 15 s for blocks that no DataNode has taken."""
        self._stream = None
