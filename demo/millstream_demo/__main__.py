"""`python -m millstream_demo prepare|serve|events`: publish the demo's sources, and be two of them."""

from __future__ import annotations

import argparse
import os
from datetime import date
from pathlib import Path

import uvicorn

from millstream_demo.sources import prepare_sources
from millstream_demo.weather_api import create_app, weather_records

TOKEN_VARIABLE = "MILLSTREAM_DEMO_API_TOKEN"


def main(argv: list[str] | None = None) -> None:
    """Run one command; `prepare` and `events --day` end when they are done, the others when stopped."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "events":
        _send_events(arguments)
        return
    token = _token() if arguments.command == "serve" else ""
    for line in prepare_sources(arguments.data):
        print(line, flush=True)
    if arguments.command == "serve":
        app = create_app(weather_records(), token)
        uvicorn.run(app, host=arguments.host, port=arguments.port, server_header=False)


def _send_events(arguments: argparse.Namespace) -> None:
    from millstream_demo.event_source import EventSource, send_days, send_year

    source = EventSource(arguments.servers, lambda line: print(line, flush=True))
    source.ensure_topics()
    if arguments.make_topic:
        return
    if arguments.day is not None:
        send_days(source, [arguments.day], arguments.seconds)
    else:
        send_year(source, arguments.speed, arguments.state)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="millstream_demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="publish files and database below --data")
    serve = commands.add_parser("serve", help="prepare, then serve the weather API")
    events = commands.add_parser(
        "events", help="send flights' events to Kafka: a day, or one after the other"
    )
    events.add_argument("--servers", required=True, help="host:port of Kafka")
    events.add_argument("--make-topic", action="store_true", help="make the topics and send nothing")
    events.add_argument("--day", type=date.fromisoformat, help="this day of 2013 only")
    events.add_argument("--seconds", type=float, default=120, help="with --day: how long that takes")
    events.add_argument("--speed", type=float, default=60, help="times faster than in 2013")
    events.add_argument("--state", type=Path, default=Path("flight_events.day"), help="has the next day")
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
