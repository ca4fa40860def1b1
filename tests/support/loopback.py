"""Free ports of the loopback interface, and a real HTTP server on one for as long as a block lasts."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn

from millstream.settings import Settings

# The ports that Linux gives to whoever asks for any: a client may have one before a server opens it.
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST_PORT = 10_000
STACK_PORTS = tuple(name for name in Settings.model_fields if name.endswith("_port"))


@contextmanager
def serve(app: Any) -> Iterator[str]:
    """Serve an ASGI application; yields its base URL."""
    # Listening before the server runs: an early client waits in the queue instead of being refused.
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listener.close()
        assert not thread.is_alive()


def free_ports(*names: str) -> dict[str, int]:
    """A port for each name, all different, that nobody listens on now, and that nobody is given by chance."""
    below = int(EPHEMERAL.read_text().split()[0])
    ports: dict[str, int] = {}
    with ExitStack() as held:
        while len(ports) < len(names):
            reserved = held.enter_context(socket.socket())
            port = random.randrange(LOWEST_PORT, below)
            with suppress(OSError):
                reserved.bind(("127.0.0.1", port))
                ports[names[len(ports)]] = port
    return ports


def free_port() -> int:
    """A port that nobody listens on now, as of `free_ports`."""
    return free_ports("port")["port"]


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of the loopback interface that nobody listens on, reserved for as long as the block lasts."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]
