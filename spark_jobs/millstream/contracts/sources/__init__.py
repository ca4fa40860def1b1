"""Where a dataset comes from: one module a kind of source, by the name of the kind, with a model `Source`.

A contract's `source.kind` says which. What a kind can do its model says: nobody else asks which kind it is.
"""

from __future__ import annotations

import importlib
import pkgutil
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, StringConstraints

from millstream.formats.registry import format_named

if TYPE_CHECKING:
    from millstream.contracts.contract import Contract

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
# A column's name at the source, as it is spelled there.
SourceName = Annotated[str, StringConstraints(pattern=r"^[\p{L}_][\p{L}\p{N}_$-]{0,127}$")]
# How far behind the watermark to read again: a duration for times, a number for numbers.
Lookback = Annotated[timedelta, Field(ge=timedelta(0))] | Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """A part of a contract: nothing in it is unknown, and it does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Strict):
    """What every kind of source has, and what a kind can do."""

    # Whether runs ask for months of it, so that a dataset can be loaded by partition.
    by_partition: ClassVar[bool] = False
    # Whether it has files, of which a run can take the new ones.
    by_file: ClassVar[bool] = False
    # Whether a DAG's runs read it; if not, a stream does.
    read_by_runs: ClassVar[bool] = True
    # Whether a delivery without any record and name is one still.
    may_be_blank: ClassVar[bool] = False
    # Whether all files of a run have the same columns, because they are of one table.
    one_table: ClassVar[bool] = False
    # Whether the source can count what must have been read.
    can_count: ClassVar[bool] = False

    kind: str
    connection: Identifier
    format: str
    lookback: Lookback | None = Field(
        default=None,
        description="how far before the watermark to ask again; of times a day if not said",
    )

    @property
    def is_watched(self) -> bool:
        """Whether what comes to it starts the runs."""
        return False

    @property
    def has_watermark(self) -> bool:
        """Whether it can be asked for what is new since a watermark."""
        return False

    @property
    def own_columns(self) -> frozenset[str]:
        """Columns that it needs for itself; a contract may leave them out."""
        return frozenset()

    @property
    def format_options(self) -> Any:
        """How its files are written, beside the format: an instance of the format's `options`."""
        return format_named(self.format).options()

    def check(self, contract: Contract) -> None:
        """Raises ValueError where the contract asks for what the source has not."""


def _known(data: Any) -> Any:
    """`data` as a model of its kind."""
    if isinstance(data, Source):
        return data
    kinds = sorted(_modules())
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind not in kinds:
        raise ValueError(f"kind: expected one of {', '.join(kinds)}, found {kind!r}")
    return model_of(kind).model_validate(data)


@lru_cache
def model_of(kind: str) -> type[Source]:
    """The model of a kind of source."""
    module = importlib.import_module(f"{__name__}.{kind}")
    model: type[Source] = module.Source
    return model


def _modules() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__)}


AnySource = Annotated[SerializeAsAny[Source], BeforeValidator(_known)]
