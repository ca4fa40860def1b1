"""Free ports of the loopback interface, and a real HTTP server on one for as long as a block lasts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import uvicorn

from millstream.settings import Settings

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
    """A port for each name, all different, that nobody listens on now."""
    with ExitStack() as held:
        sockets = {name: held.enter_context(socket.socket()) for name in names}
        for reserved in sockets.values():
            reserved.bind(("127.0.0.1", 0))
        return {name: reserved.getsockname()[1] for name, reserved in sockets.items()}


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of the loopback interface that nobody listens on, reserved for as long as the block lasts."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]
