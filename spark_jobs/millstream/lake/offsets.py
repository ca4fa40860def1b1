"""How far of a Kafka topic a table has read, as it stands in the account of each of the table's commits."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Offsets(BaseModel):
    """Of each partition of a topic the next offset to read, before a commit (`start`) and after it (`end`).

    `topic_id` is the broker's own: a topic that was deleted and made anew has another, and its offsets may
    look as if they went on.
    """

    model_config = ConfigDict(frozen=True)

    topic: str
    topic_id: str
    start: dict[int, int]
    end: dict[int, int]

    @property
    def position(self) -> int:
        """One number that grows with every commit."""
        return sum(self.end.values())
