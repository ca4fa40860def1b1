"""How old a stream's silver is: since when it lacks something that the topic had."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime


class Freshness:
    """The newest moment of which silver has all that the topic had then; at first when the stream began."""

    def __init__(self, began: datetime) -> None:
        self._fresh_at = began
        self._awaited: deque[tuple[datetime, dict[int, int]]] = deque()

    def at(self, now: datetime, reached: Mapping[int, int], ends: Mapping[int, int]) -> datetime:
        """As of `now`, when silver has `reached` these offsets of the topic, which has these `ends`."""
        self._awaited.append((now, dict(ends)))
        while self._awaited and _within(self._awaited[0][1], reached):
            self._fresh_at, _ = self._awaited.popleft()
        return self._fresh_at


def _within(ends: Mapping[int, int], reached: Mapping[int, int]) -> bool:
    return all(reached.get(partition, 0) >= end for partition, end in ends.items())
