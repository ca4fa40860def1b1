"""A topic of Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from millstream.contracts import sources
from millstream.contracts.sources import Identifier

if TYPE_CHECKING:
    from millstream.contracts.contract import Contract


class Source(sources.Source):
    """A topic of Kafka: each record one row, its value a JSON object, columns named in `headers` beside it.

    A record whose header `schema_version` is not among `schema_versions` goes to quarantine.
    """

    read_by_runs: ClassVar[bool] = False

    kind: Literal["kafka"]
    connection: Identifier = "kafka"
    format: Literal["jsonl"] = "jsonl"
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    headers: tuple[Identifier, ...] = ()
    schema_versions: tuple[int, ...] = Field(min_length=1)

    @property
    def has_watermark(self) -> bool:
        # Its offsets.
        return True

    def check(self, contract: Contract) -> None:
        if unknown := [name for name in self.headers if name not in contract.column_names]:
            raise ValueError(f"source.headers: not among the columns: {', '.join(unknown)}")
        if self.lookback is not None:
            raise ValueError("source.lookback: a topic is read on from its offsets, nothing again")
