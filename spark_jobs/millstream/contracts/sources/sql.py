"""A table of a SQL database."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from millstream.contracts import sources
from millstream.contracts.sources import SourceName


class Source(sources.Source):
    """A table of a SQL database, read in key order."""

    one_table: ClassVar[bool] = True
    can_count: ClassVar[bool] = True

    kind: Literal["sql"]
    format: Literal["parquet"] = "parquet"
    table: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")
    key: SourceName
    watermark: SourceName | None = None
    batch_rows: int = Field(default=10_000, ge=1)

    @property
    def has_watermark(self) -> bool:
        return self.watermark is not None

    @property
    def own_columns(self) -> frozenset[str]:
        return frozenset(name for name in (self.key, self.watermark) if name is not None)
