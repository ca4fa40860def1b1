"""Files of a web server, by plain downloads. It has no listing, so that each file must be named.

fsspec's file system for HTTP says of every failure, also of a refused login and of a server that is down,
that there is no such file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, cast

import httpx

from millstream.errors import ConfigurationError, SourceDataError, SourceUnavailableError, printable
from millstream.sources.http_client import HttpEndpoint, checked
from millstream.sources.places import Found, missing

PATIENCE_S = 30.0
CHUNK_BYTES = 1 << 20
# What a server answers that does not know the method HEAD.
NO_HEAD = (405, 501)


class Web:
    """What lies below an address; a path may have a query."""

    is_far = True
    has_listing = False

    def __init__(self, endpoint: HttpEndpoint, connection: str) -> None:
        endpoint = checked(endpoint, connection)
        self._base = str(httpx.URL(endpoint.base_url).copy_with(userinfo=b"")).rstrip("/")
        self._connection = connection
        self._client = httpx.Client(
            auth=endpoint.auth,
            # The bytes as they lie there, not packed for the way.
            headers={**endpoint.headers, "Accept-Encoding": "identity"},
            verify=endpoint.verify,
            timeout=PATIENCE_S,
            follow_redirects=True,
        )

    def where(self, path: str) -> str:
        return f"{self._base}/{path}"

    def check(self) -> None:
        """Nothing can be asked of a server but its files."""

    def files(self, below: str = "") -> Iterator[Found]:
        raise ConfigurationError(
            f"connection {self._connection}: a web server has no listing: name one file in source.path, "
            "or one for each {partition}, and the partitions in the run"
        )

    def find(self, path: str) -> Found | None:
        with self._failures(self.where(path)):
            answer = self._client.head(self.where(path))
            if answer.status_code in NO_HEAD:
                with self._client.stream("GET", self.where(path)) as answer:
                    pass
        return self._found(path, answer) if self._is_there(path, answer) else None

    def open(self, path: str) -> BinaryIO:
        return cast(BinaryIO, _Download(self, path))

    def _is_there(self, path: str, answer: httpx.Response) -> bool:
        if answer.status_code in (404, 410):
            return False
        if answer.status_code in (401, 403):
            raise ConfigurationError(
                f"{self.where(path)}: the server refused the login ({answer.status_code}). Correct "
                f"connection {self._connection}"
            )
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise SourceUnavailableError(
                f"{self.where(path)}: the server answers {answer.status_code}; another try will follow"
            )
        if answer.status_code != 200:
            raise SourceDataError(
                f"{self.where(path)}: the server answers {answer.status_code}. Nothing was landed. What to "
                "do: ask its owner, or correct source.path in the contract"
            )
        return True

    def _found(self, path: str, answer: httpx.Response) -> Found:
        size = answer.headers.get("Content-Length")
        return Found(
            path,
            int(size) if size is not None and size.isdecimal() else None,
            _time(answer.headers.get("Last-Modified")),
            answer.headers.get("ETag"),
        )

    @contextmanager
    def _failures(self, where: str) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            reason = printable(" ".join(str(error).split())) or type(error).__name__
            raise SourceUnavailableError(
                f"{where} cannot be read now: {reason}. Check the server and connection {self._connection}; "
                "another try will follow"
            ) from error


def _time(value: str | None) -> datetime | None:
    try:
        return None if value is None else parsedate_to_datetime(value).astimezone(UTC)
    except ValueError:
        return None


class _Download(io.RawIOBase):
    """The body of one answer, as long as the server has said."""

    def __init__(self, web: Web, path: str) -> None:
        self._where = web.where(path)
        self._web = web
        self._held = ExitStack()
        with web._failures(self._where):
            answer = self._held.enter_context(web._client.stream("GET", self._where))
        if not web._is_there(path, answer):
            raise missing([self._where])
        self._chunks = answer.iter_raw(CHUNK_BYTES)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # A body that is shorter than said is an error of the client's.
        with self._web._failures(self._where):
            chunk = self._rest or next(self._chunks, b"")
        count = min(len(buffer), len(chunk))
        buffer[:count] = chunk[:count]
        self._rest = chunk[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._held.close()
        super().close()
