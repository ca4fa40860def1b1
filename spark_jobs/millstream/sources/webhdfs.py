"""Files of HDFS over HTTP (WebHDFS, HttpFS, Knox), by a client of the library `hdfs`."""

from __future__ import annotations

import errno
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

REFUSALS = ("AccessControlException", "SecurityException", "AuthenticationException")


class WebHdfsFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """What is read of a source, with the errors of an operating system."""

    cachable = False
    protocol = "webhdfs"

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._client = client

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        folder = path.rstrip("/")
        listed = self._asked(lambda: self._client.list(folder or "/", status=True))
        entries = [_entry(f"{folder}/{name}", status) for name, status in listed]
        return entries if detail else [entry["name"] for entry in entries]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        return _entry(path, self._asked(lambda: self._client.status(path)))

    def _open(self, path: str, mode: str = "rb", **options: Any) -> _File:
        return _File(self, path, mode, **options)

    def fetched(self, path: str, start: int, end: int) -> bytes:
        def read() -> bytes:
            with self._client.read(path, offset=start, length=end - start) as stream:
                return bytes(stream.read())

        content: bytes = self._asked(read)
        return content

    def _asked(self, call: Any) -> Any:
        from hdfs import HdfsError

        try:
            return call()
        except HdfsError as error:
            if error.exception == "FileNotFoundException":
                raise FileNotFoundError(errno.ENOENT, str(error)) from error
            # A login that is refused comes without a name.
            if error.exception in REFUSALS or str(error).startswith("Authentication failure"):
                raise PermissionError(errno.EACCES, str(error)) from error
            raise OSError(errno.EIO, str(error)) from error


class _File(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        content: bytes = self.fs.fetched(self.path, start, end)
        return content


def _entry(path: str, status: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": path,
        "type": "directory" if status["type"] == "DIRECTORY" else "file",
        "size": status["length"],
        # In milliseconds.
        "mtime": status["modificationTime"],
    }
