"""Where a dataset comes from: one model a kind of source, told apart by `kind`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
# A column's name at the source, as it is spelled there.
SourceName = Annotated[str, StringConstraints(pattern=r"^[\p{L}_][\p{L}\p{N}_$-]{0,127}$")]
# What the records are written in, and how the file is packed.
FileFormat = Literal[
    "csv", "csv.gz", "csv.bz2", "csv.zip",
    "jsonl", "jsonl.gz", "jsonl.bz2", "jsonl.zip",
    "xml", "xml.gz", "xml.bz2", "xml.zip",
]  # fmt: skip
# How far behind the watermark to read again: a duration for times, a number for numbers.
Lookback = Annotated[timedelta, Field(ge=timedelta(0))] | Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """A part of a contract: nothing in it is unknown, and it does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FilesSource(Strict):
    """Files in a folder; `{partition}` in `path` is replaced by the partition, for example 2013-01."""

    kind: Literal["files"]
    connection: Identifier
    format: FileFormat
    path: str = Field(min_length=1)
    row_tag: str | None = Field(default=None, description="XML: the element that is one row")

    @model_validator(mode="after")
    def _xml_names_its_row(self) -> FilesSource:
        if self.format.startswith("xml") != (self.row_tag is not None):
            raise ValueError("row_tag is needed for format xml, packed or not, and for no other")
        if "*" in self.path:
            raise ValueError(
                "path names one file, or one for each {partition}: `*` stands for nothing. Name the file, or "
                "ask the source to deliver one for each month"
            )
        if self.path.startswith("/") or ".." in Path(self.path).parts:
            raise ValueError("path must be relative to the connection's folder")
        return self


class HttpSource(Strict):
    """A paginated JSON API."""

    kind: Literal["http"]
    connection: Identifier
    format: Literal["json"] = "json"
    endpoint: str = Field(pattern=r"^/[^?#\s[:cntrl:]]*$")
    page_size: int = Field(default=1000, ge=1, le=100_000)
    records_key: str = Field(
        default="results",
        pattern=r"^[^\s.[:cntrl:]]+(\.[^\s.[:cntrl:]]+)*$",
        max_length=200,
        description="where an answer has its records: a name, or a path of names: data.items",
    )
    lookback: Lookback | None = None
    since_param: str | None = Field(default=None, pattern=r"^[A-Za-z_$][A-Za-z0-9_.$\[\]-]{0,62}$")

    @model_validator(mode="after")
    def _asks_for_more_than_pages(self) -> Self:
        if self.since_param in ("offset", "limit"):
            raise ValueError(f"since_param: {self.since_param} is what pages are asked for with")
        return self


class SqlSource(Strict):
    """A table of a SQL database, read in key order."""

    kind: Literal["sql"]
    connection: Identifier
    format: Literal["parquet"] = "parquet"
    table: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")
    key: SourceName
    watermark: SourceName | None = None
    lookback: Lookback | None = None
    batch_rows: int = Field(default=10_000, ge=1)


class KafkaSource(Strict):
    """A topic of Kafka: each record one row, its value a JSON object, columns named in `headers` beside it.

    A record whose header `schema_version` is not among `schema_versions` goes to quarantine.
    """

    kind: Literal["kafka"]
    format: Literal["json"] = "json"
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    headers: tuple[Identifier, ...] = ()
    schema_versions: tuple[int, ...] = Field(min_length=1)


Source = Annotated[FilesSource | HttpSource | SqlSource | KafkaSource, Field(discriminator="kind")]
