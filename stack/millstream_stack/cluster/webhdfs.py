"""What only HDFS's own REST API does: owners, quotas and snapshots, asked as the user of this process."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx

from millstream.engines.conf import hadoop_user
from millstream.errors import ClusterError

NAMENODE = "http://namenode:9870"
TIMEOUT_S = 60.0


class WebHdfs:
    """The NameNode at `url`, its web address. Raises ClusterError when it refuses something or is away."""

    def __init__(self, url: str = NAMENODE) -> None:
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def safe_mode(self) -> str:
        """Why HDFS takes no writes; empty when it does."""
        query = {"qry": "Hadoop:service=NameNode,name=NameNodeInfo"}
        [state] = self._answer("GET", "/jmx", query).json()["beans"]
        return str(state["Safemode"])

    def ask(self, method: str, operation: str, path: str, **query: str) -> None:
        """One of WebHDFS's operations on a path."""
        answer = self._operation(method, operation, path, query)
        # MKDIRS says so when it has made nothing.
        if answer.is_error or answer.content == b'{"boolean":false}':
            raise ClusterError(f"HDFS refused {operation} of {path}: {answer.text[:500]}")

    def exists(self, path: str) -> bool:
        return self._operation("GET", "GETFILESTATUS", path, {}).is_success

    def _operation(self, method: str, operation: str, path: str, query: dict[str, str]) -> httpx.Response:
        return self._answer(
            method, f"/webhdfs/v1{path}", {"op": operation, "user.name": hadoop_user(), **query}
        )

    def _answer(self, method: str, path: str, query: dict[str, str]) -> httpx.Response:
        try:
            return self._client.request(method, path, params=query)
        except httpx.HTTPError as error:
            raise ClusterError(f"the NameNode does not answer at {self._client.base_url}: {error}") from error
