"""Files on servers, by the file systems of fsspec: SFTP, S3, HDFS, HTTPS and others."""

from __future__ import annotations

import errno
import io
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import IO, Any, BinaryIO, cast

from millstream.errors import ConfigurationError, SourceDataError, SourceUnavailableError, printable
from millstream.sources.places import Found, failures, missing

# Of a folder that is listed: more is no folder of a dataset.
MOST_FILES = 1_000_000
# Of what a library says; botocore's go on with all that it would take.
SHOWN = 200
OF_A_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
# A question that was left behind is a thread, and whoever watches a place asks for months: with so many of
# the last five minutes pending it is not asked. Later it is: a question to a machine that is gone never ends.
MOST_PENDING = 2
PENDING_S = 300.0
_pending: dict[str, list[tuple[float, Future[Any]]]] = {}
# From its beginning to its end: a cache of what was read would only hold it twice.
IN_BLOCKS: Mapping[str, Any] = {"block_size": 1 << 22, "cache_type": "readahead"}


class Remote:
    """A folder `root` of the file system that `connect` opens; `name` is what people call it, without login
    or password. `reading` is what that takes besides when it opens a file; `answers_within` bounds, in
    seconds, each question about a file, for a file system that has no bound of its own."""

    is_far = True
    has_listing = True

    def __init__(
        self,
        connect: Callable[[], Any],
        root: str,
        name: str,
        connection: str,
        reading: Mapping[str, Any] = IN_BLOCKS,
        answers_within: float | None = None,
    ) -> None:
        self._connect = connect
        self._root = root.rstrip("/")
        self._name = name
        self._connection = connection
        self._reading = reading
        self._answers_within = answers_within
        self._opened: Any = None

    def where(self, path: str) -> str:
        return f"{self._name.rstrip('/')}/{path}"

    def check(self) -> None:
        """Connects: a server that is not there is told before any file of it."""
        with self._failures(self._name):
            fs = self._fs
            # A listing takes as long as it takes: before it, whether anybody answers.
            if self._answers_within is not None:
                with suppress(FileNotFoundError):
                    self._asked(fs.info, self._at(""))

    def files(self, below: str = "") -> Iterator[Found]:
        with self._failures(self.where(below)):
            self._fs.invalidate_cache()
            listed = self._fs.find(self._at(below), detail=True, withdirs=False)
        if len(listed) > MOST_FILES:
            raise SourceDataError(
                f"{self.where(below)} holds more than {MOST_FILES:,} files. What to do: let source.path "
                "name a folder that holds fewer"
            )
        for name, info in listed.items():
            if info.get("type") != "directory":
                yield _found(self._below(name), info)

    def find(self, path: str) -> Found | None:
        with self._failures(self.where(path)):
            self._fs.invalidate_cache()
            try:
                info = self._asked(self._fs.info, self._at(path))
            except FileNotFoundError:
                return None
        return None if info.get("type") == "directory" else _found(path, info)

    def open(self, path: str) -> BinaryIO:
        before = self.find(path)
        if before is None:
            raise missing([self.where(path)])
        with self._failures(self.where(path)):
            stream = self._asked(self._fs.open, self._at(path), "rb", **self._reading)
        return cast(BinaryIO, _WholeRemote(self, before, stream))

    @property
    def _fs(self) -> Any:
        if self._opened is None:
            try:
                self._opened = self._connect()
            except PermissionError as error:
                raise self._refused(str(error)) from error
        return self._opened

    def _asked(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if self._answers_within is None:
            return call(*arguments, **named)
        return _answer(partial(call, *arguments, **named), self._answers_within, self._name)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}".rstrip("/") if path else self._root or "/"

    def _below(self, name: str) -> str:
        root = self._fs._strip_protocol(self._root) if self._root else ""
        return str(name).removeprefix(root).lstrip("/")

    @contextmanager
    def _failures(self, where: str) -> Iterator[None]:
        with failures(where):
            try:
                yield
            except PermissionError as error:
                if _is_refusal(error.__cause__ or error):
                    raise self._refused(str(error)) from error
                raise
            except (SourceDataError, SourceUnavailableError, ConfigurationError):
                raise
            except OSError as error:
                # Of a file; any other is the server's or the way's.
                if isinstance(error, OF_A_FILE) or error.errno == errno.ENAMETOOLONG:
                    raise
                raise self._told(where, error) from error
            except ImportError as error:
                raise ConfigurationError(f"connection {self._connection}: {printable(str(error))}") from error
            # Each file system has errors of its own.
            except Exception as error:
                raise self._told(where, error) from error

    def _refused(self, reason: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._name} refused the login, or its key is not the known one: {printable(reason)}. Correct "
            f"connection {self._connection}"
        )

    def _told(self, where: str, error: Exception) -> Exception:
        text = getattr(error, "strerror", None) or str(error)
        reason = printable(" ".join(text.split())) or type(error).__name__
        if _is_refusal(error):
            return self._refused(reason)
        if type(error).__name__ in _WRONG_SETTINGS:
            return ConfigurationError(f"{where}: {reason[:SHOWN]}. Correct connection {self._connection}")
        return SourceUnavailableError(
            f"{where} cannot be read now: {reason}. Check the server and connection {self._connection}; "
            "another try will follow"
        )


def _answer(call: Callable[[], Any], within: float, place: str) -> Any:
    """What `call` returns or raises. One that does not end is left behind, and TimeoutError raised; at once
    where `place` owes answers to others."""
    silent = TimeoutError(f"no answer within {within:g} s")
    now = time.monotonic()
    left = [
        (since, one) for since, one in _pending.get(place, []) if not one.done() and now - since < PENDING_S
    ]
    if len(left) >= MOST_PENDING:
        raise silent
    answer: Future[Any] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=work, daemon=True).start()
    if not wait([answer], within).done:
        _pending[place] = [*left, (time.monotonic(), answer)]
        raise silent
    return answer.result()


# Of classes of errors, by the libraries of file systems: asyncssh, botocore, aiohttp, hdfs-native.
_REFUSALS = ("PermissionDenied", "HostKeyNotVerifiable", "NoCredentials", "Unauthorized", "KeyImportError")
# What botocore refuses before it asks anybody.
_WRONG_SETTINGS = ("ParamValidationError", "InvalidRegionError")
# What S3 answers, as botocore has it; 403 where it answers without a body.
_S3_REFUSALS = ("403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")


def _is_refusal(error: BaseException) -> bool:
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    answer = getattr(error, "response", None)
    code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    return (
        any(name in names for name in _REFUSALS)
        or getattr(error, "status", None) in (401, 403)
        or code in _S3_REFUSALS
    )


def _found(path: str, info: dict[str, Any]) -> Found:
    size = info.get("size")
    version = info.get("ETag") or info.get("etag") or info.get("VersionId")
    return Found(path, None if size is None else int(size), _modified(info), version and str(version))


def _modified(info: dict[str, Any]) -> datetime | None:
    """When a file was changed, by the name that its file system has for it."""
    names = ("mtime", "modified", "LastModified", "last_modified", "modification_time")
    value = next((info[name] for name in names if info.get(name) is not None), None)
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int | float):
        # HDFS counts milliseconds.
        return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
    return None


class _WholeRemote(io.RawIOBase):
    """A file of a server: it has the size that was listed, and is listed so at its end still."""

    def __init__(self, place: Remote, before: Found, stream: IO[bytes]) -> None:
        self._place = place
        self._before = before
        self._stream = stream
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._place._failures(self._place.where(self._before.path)):
            chunk = self._stream.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._read += len(chunk)
        # Not only at the end: a file that grows faster than it is read has none.
        if not chunk or self._read > (self._before.size or self._read):
            self._check_whole()
        return len(chunk)

    def close(self) -> None:
        if not self.closed:
            with self._place._failures(self._place.where(self._before.path)):
                self._stream.close()
        super().close()

    def _check_whole(self) -> None:
        now = self._place.find(self._before.path)
        size = self._before.size
        if now != self._before or (size is not None and self._read != size):
            there = now.size if now else "none"
            raise SourceUnavailableError(
                f"{self._place.where(self._before.path)} changed while it was read ({size} bytes when "
                f"opened, {self._read} read, {there} now): it is still being written; another try will follow"
            )
