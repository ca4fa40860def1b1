"""`python -m millstream_demo prepare|serve`: publish the demo's sources, and serve the HTTP one."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import uvicorn

from millstream_demo.sources import prepare_sources
from millstream_demo.weather_api import create_app, weather_records

TOKEN_VARIABLE = "MILLSTREAM_DEMO_API_TOKEN"


def main(argv: list[str] | None = None) -> None:
    """Run one command; `prepare` ends when everything is published, `serve` stays until it is stopped."""
    arguments = _parser().parse_args(argv)
    token = _token() if arguments.command == "serve" else ""
    for line in prepare_sources(arguments.data):
        print(line, flush=True)
    if arguments.command == "serve":
        app = create_app(weather_records(), token)
        uvicorn.run(app, host=arguments.host, port=arguments.port, server_header=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="millstream_demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="publish files and database below --data")
    serve = commands.add_parser("serve", help="prepare, then serve the weather API")
    for command in (prepare, serve):
        command.add_argument("--data", type=Path, required=True, help="folder of the published data")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, required=True)
    return parser


def _token() -> str:
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise SystemExit(f"{TOKEN_VARIABLE} is not set: the weather API asks its callers for this token")
    return token


if __name__ == "__main__":
    main()
