"""A dataset whose files lie where the connection `other_place` leads, what lands them, and a web server."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from millstream.contracts.contract import Contract
from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest
from millstream.landing.run import Landing
from millstream_airflow.connections import extractor_for

Run = Callable[..., Manifest]
OLD = time.time() - 3600
TOKEN = "t0ken"
MONTHLY = {"load": "partition", "partition": {"start": "2024-01"}}


def contract(
    path: str, *, quiet_seconds: int = 60, watch_seconds: int | None = None, **more: Any
) -> Contract:
    source = {"kind": "files", "connection": "other_place", "format": "csv", "path": path}
    return Contract.from_dict(
        {
            "dataset": "things",
            "version": 1,
            "description": "Things of another place.",
            "owner": "tests",
            "source": {**source, "quiet_seconds": quiet_seconds, "watch_seconds": watch_seconds},
            "load": "full",
            "start_date": "2024-01-01",
            "columns": [{"name": "id", "type": "string", "description": "Key"}],
            "primary_key": ["id"],
            **more,
        },
        origin="things.yaml",
    )


def land(lake: str, of: Contract, key: str, partitions: tuple[str, ...]) -> Manifest:
    """What the connection leads to, in the landing of `lake`."""
    landing = Landing(Storage(lake), of.dataset, key)
    extractor = extractor_for(of)
    files = [file for piece in extractor.plan(partitions) for file in extractor.fetch(piece, landing)]
    return landing.commit(sorted({file.partition for file in files if file.partition}), files)


def put(path: Path, content: str = "id\n1\n", modified: float = OLD) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (modified, modified))


def web_app(folder: Path) -> Starlette:
    """Serves the files of `folder` to who has the token, a busy answer and half a file."""

    async def file(request: Request) -> Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return PlainTextResponse("who are you?", 401)
        name = request.path_params["name"]
        if name == "busy.csv":
            return PlainTextResponse("later", 503)
        if name == "half.csv":

            async def half() -> Any:
                yield b"id\n1\n"

            return StreamingResponse(half(), headers={"Content-Length": "500"})
        path = folder / name
        return FileResponse(path) if path.is_file() else PlainTextResponse("none", 404)

    return Starlette(routes=[Route("/files/{name:path}", file, methods=["GET", "HEAD"])])


def web_connection(url: str) -> str:
    """As Airflow has it in its environment."""
    host, port = url.removeprefix("http://").split(":")
    return json.dumps({"conn_type": "http", "host": f"http://{host}", "port": int(port), "password": TOKEN})
