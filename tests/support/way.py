"""A way to a server that can be bad: it stands still, or breaks off, after so many bytes of its answers."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Trouble = Literal["stands still", "breaks off"]
CHUNK_BYTES = 1 << 12
# Closing sends a reset, not the end of a stream that might be taken for a whole one.
RESET = struct.pack("ii", 1, 0)


class Way:
    """A relay on 127.0.0.1 to a port there; from `trouble` on, until `mend`, after `bytes_after` of each
    connection."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._trouble: Trouble | None = None
        self._after = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def break_down(self, trouble: Trouble, after: int = 0) -> None:
        """From now on, on each new connection, after so many bytes of the server's."""
        self._trouble, self._after = trouble, after

    def mend(self) -> None:
        self._trouble = None

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._open):
            each.close()

    def _start(self, work: object, *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()  # type: ignore[arg-type]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open += [client, server]
                self._start(self._relay, client, server, None, 0)
                self._start(self._relay, server, client, self._trouble, self._after)

    def _relay(self, come: socket.socket, go: socket.socket, trouble: Trouble | None, after: int) -> None:
        passed = 0
        with suppress(OSError):
            while chunk := come.recv(CHUNK_BYTES):
                if trouble and passed + len(chunk) > after:
                    go.sendall(chunk[: max(0, after - passed)])
                    if trouble == "breaks off":
                        go.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        # The other relay reads from it, which would keep it open.
                        go.shutdown(socket.SHUT_RD)
                        go.close()
                    return
                go.sendall(chunk)
                passed += len(chunk)
            go.shutdown(socket.SHUT_WR)


@contextmanager
def way(to: int) -> Iterator[Way]:
    made = Way(to)
    try:
        yield made
    finally:
        made.close()
