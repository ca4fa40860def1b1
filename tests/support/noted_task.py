"""A running task, as far as code sees it that leaves notes for its run."""

from __future__ import annotations

from typing import Any

from millstream_airflow.tasks.notes import KEY


class NotedTask:
    """Keeps the lines that it is given; `own` are its other attributes."""

    def __init__(self, **own: Any) -> None:
        self.__dict__.update(own)
        self.lines: list[str] = []

    def xcom_push(self, key: str, value: str) -> None:
        assert key == KEY
        self.lines += value.splitlines()
