"""How the landed files of a run are shared out among Spark's tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from millstream.formats.record import Origin, Piece
from millstream.lake.tables import WHOLE
from millstream.landing.manifest import LandedFile

# What a task reads; one that reads a whole file may read more.
TASK_BYTES = 1 << 26
# Little is shared out too: no core waits while another reads a month after the other.
LEAST_TASKS = 16


class Part(NamedTuple):
    """A landed file, or a piece of one; `partition` is the month that it was delivered for, or `WHOLE`;
    `origin` is where a whole file came from."""

    path: str
    piece: Piece | None
    bytes: int
    partition: str = WHOLE
    origin: Origin | None = None

    @property
    def first_row(self) -> int:
        return self.piece.first_row if self.piece else 1


def parts_of(files: Iterable[LandedFile]) -> list[Part]:
    """The files, each once, in their pieces if they have some."""
    parts: list[Part] = []
    for file in {file.path: file for file in files}.values():
        partition = file.partition or WHOLE
        parts += [Part(file.path, piece, piece.length, partition) for piece in file.pieces]
        if not file.pieces:
            origin = Origin(file.source, file.size, file.sha256, file.modified, file.path)
            parts.append(Part(file.path, None, file.size, partition, origin))
    return parts


def parts_with(rows: Iterable[tuple[str, int]], files: Iterable[LandedFile]) -> list[Part]:
    """Of the files those parts that have one of the `rows`: a path and a number each."""
    numbers: dict[str, list[int]] = {}
    for path, row in rows:
        numbers.setdefault(path, []).append(row)
    chosen = []
    for file in files:
        parts = parts_of([file])
        ends: list[float] = [*(part.first_row for part in parts[1:]), float("inf")]
        wanted = numbers.pop(file.path, ())
        for part, end in zip(parts, ends, strict=True):
            if any(part.first_row <= row < end for row in wanted):
                chosen.append(part)
    return chosen


def tasks_of(parts: Sequence[Part]) -> list[list[Part]]:
    """The parts in order, as many to a task as make about the same number of bytes for each."""
    most = min(TASK_BYTES, sum(part.bytes for part in parts) // LEAST_TASKS)
    tasks: list[list[Part]] = []
    room = 0
    for part in parts:
        if not tasks or part.bytes > room:
            tasks.append([])
            room = most
        tasks[-1].append(part)
        room -= part.bytes
    return tasks
