"""Files in a folder, at any place that a connection leads to."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from millstream.contracts import sources
from millstream.formats.registry import format_named

if TYPE_CHECKING:
    from millstream.contracts.contract import Contract


class Source(sources.Source):
    """Files below a connection's folder. In `path` `{partition}` is the partition, for example 2013-01, `*`
    any part of a name, and `**/` any folders.

    What its format can be told besides stands beside these fields.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    by_partition: ClassVar[bool] = True
    by_file: ClassVar[bool] = True

    kind: Literal["files"]
    path: str = Field(min_length=1, description="below the connection's folder; `*` is any part of a name")
    quiet_seconds: int = Field(
        default=60, ge=0, description="how long a file of many must not have changed to be whole"
    )

    watch_seconds: int | None = Field(
        default=None,
        # `true` would be every second.
        strict=True,
        ge=1,
        le=86_400,
        description="how often to look for new and changed files, which start a run; by itself none does",
    )

    @model_validator(mode="after")
    def _format_is_known(self) -> Source:
        format_named(self.format)
        self.format_options  # noqa: B018 (it raises)
        return self

    @model_validator(mode="after")
    def _path_lies_in_the_folder(self) -> Source:
        if self.path.startswith("/") or ".." in PurePosixPath(self.path).parts:
            raise ValueError("path must be relative to the connection's folder")
        if self.path.endswith("/"):
            raise ValueError(
                "path names a folder: write `*` behind it for all files there, `**/*` for those below too"
            )
        return self

    @property
    def names_one(self) -> bool:
        """Whether `path` names one file, or one for each partition."""
        return "*" not in self.path

    @property
    def is_watched(self) -> bool:
        return self.watch_seconds is not None

    @property
    def format_options(self) -> Any:
        return format_named(self.format).options.model_validate(self.model_extra or {})

    def check(self, contract: Contract) -> None:
        offered = [column["name"] for column in format_named(self.format).columns]
        if offered and (unknown := [one.name for one in contract.columns if not one.delivered_as(offered)]):
            raise ValueError(
                f"columns: {', '.join(unknown)}: of a file of format {self.format} there are "
                f"{', '.join(offered)}"
            )
        if contract.partition and "{partition}" not in self.path:
            raise ValueError("source.path: must contain {partition}, because the dataset is partitioned")
        if self.watch_seconds is not None and contract.schedule is not None:
            raise ValueError("source.watch_seconds: files start the runs; leave schedule out, or this")
