"""Dataset contracts: what a source delivers, read from `dags/datasets/<dataset>.yaml`.

A contract holds no secret: it names an Airflow connection. This module is imported by every DAG file, so
it imports neither Spark nor Airflow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from millstream.contracts import updates
from millstream.contracts.documents import read_yaml
from millstream.contracts.nested import nested
from millstream.contracts.partition import Partition
from millstream.contracts.periods import periods
from millstream.contracts.sources import AnySource, Identifier, Strict
from millstream.contracts.types import ColumnType, kind_of
from millstream.contracts.updates import Load, Updates
from millstream.contracts.written import Written
from millstream.errors import ContractError
from millstream.formats.record import Layout, alike
from millstream.formats.registry import format_named

REFERENCED = r"^(silver|gold)\.[a-z][a-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$"
USUAL_LOOKBACK = timedelta(days=1)
DriftKind = Literal["added", "removed", "renamed", "retyped", "widened", "nullability", "new_category"]
DriftPolicy = Literal["evolve", "freeze", "quarantine"]


class Column(Written):
    """One column as the source delivers it."""

    name: Identifier
    type: ColumnType = "string"
    description: str = ""
    unit: str | None = None
    rename: Identifier | None = Field(default=None, description="its name in the table, where it has another")
    references: str | None = Field(
        default=None, pattern=REFERENCED, description="where its values are looked up: silver.airports.faa"
    )
    nullable: bool = True
    aliases: tuple[str, ...] = Field(default=(), description="other names it has at the source")
    categories: tuple[str, ...] = Field(default=(), description="the values that are known")

    @model_validator(mode="after")
    def _is_written_as_its_type_is(self) -> Self:
        self.check(self.type, kind_of(self.type).options)
        return self

    @model_validator(mode="after")
    def _only_text_has_categories(self) -> Self:
        if self.categories and self.type != "string":
            raise ValueError(f"categories: only a column of type string has them, {self.name} is {self.type}")
        if self.references and nested(self.type):
            raise ValueError(f"references: a value is looked up as a whole, {self.name} is {self.type}")
        return self

    @property
    def table_name(self) -> str:
        """Its name in the table."""
        return self.rename or self.name

    @property
    def comment(self) -> str:
        """What the table says of it."""
        return ", ".join(filter(None, (self.description, self.unit)))

    @property
    def referenced(self) -> tuple[str, str] | None:
        """The table in which its values are looked up, and that table's column."""
        if self.references is None:
            return None
        table, _, column = self.references.rpartition(".")
        return table, column

    def delivered_as(self, delivered: Collection[str]) -> str | None:
        """The name among `delivered` under which the source delivers this column; its own name wins."""
        return next((name for name in (self.name, *self.aliases) if name in delivered), None)


class Drift(Strict):
    """What happens when the source changes, by kind of change.

    evolve: accepted as far as the contract allows, and recorded. freeze: nothing is published. quarantine:
    the affected rows go to quarantine. Each kind has only the policies that can be carried out: a missing
    column would quarantine every row, and a text that is no number cannot be read as one.
    """

    added: Literal["evolve", "freeze"] = "evolve"
    removed: Literal["evolve", "freeze"] = "freeze"
    renamed: Literal["evolve", "freeze"] = "evolve"
    retyped: Literal["freeze", "quarantine"] = "quarantine"
    widened: DriftPolicy = "evolve"
    nullability: Literal["freeze", "quarantine"] = "quarantine"
    new_category: DriftPolicy = "quarantine"

    def policy(self, kind: DriftKind) -> DriftPolicy:
        policy: DriftPolicy = getattr(self, kind)
        return policy


class Contract(Updates):
    """One dataset: source, columns, key, schedule, and what happens when the source changes."""

    dataset: Identifier
    version: int = Field(default=1, ge=1)
    description: str = ""
    owner: str = Field(default="data-platform", pattern=r"^[a-z][a-z0-9_-]*$")
    tags: tuple[str, ...] = ()
    source: AnySource
    load: Load = "full"
    partition: Partition | None = None
    schedule: str | None = Field(default=None, description="Airflow cron preset or expression; null: by hand")
    start_date: date | None = Field(default=None, description="first day that is scheduled")
    end_date: date | None = Field(default=None, description="last day that the source covers")
    mode: Literal["elt", "etl"] = "elt"
    columns: tuple[Column, ...] = Field(min_length=1)
    primary_key: tuple[Identifier, ...] = Field(min_length=1)
    checks: dict[Identifier, str] = Field(default={}, description="constraints of the table, SQL by name")
    event_time: Identifier | None = None
    null_values: tuple[str, ...] = ("",)
    allow_empty: bool = False
    drift: Drift = Drift()
    deadline_minutes: int = Field(
        default=60, ge=1, lt=24 * 60, description="SLA: the run must end within; less than a day"
    )

    @model_validator(mode="before")
    @classmethod
    def _format_may_know_the_columns(cls, data: Any) -> Any:
        try:
            columns = format_named(data["source"]["format"]).columns
        except (KeyError, TypeError, ValueError, AttributeError):
            # As below.
            return data
        return {"columns": columns, "primary_key": [columns[0]["name"]], **data} if columns else data

    @model_validator(mode="before")
    @classmethod
    def _key_is_never_null(cls, data: Any) -> Any:
        try:
            columns = [{"nullable": one["name"] not in data["primary_key"], **one} for one in data["columns"]]
            return {**data, "columns": columns}
        except (KeyError, TypeError):
            # What is wrong is reported where the fields are checked.
            return data

    @model_validator(mode="after")
    def _parts_agree(self) -> Contract:
        names = [column.name for column in self.columns]
        every = [(column.name, *column.aliases) for column in self.columns]
        # One column may have the same name in several cases, two columns may not.
        letters = [name for own in every for name in {name.lower(): name for name in own}.values()]
        repeated = [name for own in every for name in own if own.count(name) > 1]
        if doubled := alike(repeated) or alike(letters):
            raise ValueError(f"columns: named twice, as name or alias: {doubled}")
        if doubled := alike(column.table_name for column in self.columns):
            raise ValueError(f"columns: two have the same name in the table: {doubled}")
        # What a row was delivered for may be a part of its key.
        known = [*names, self.partition.column] if self.partition else names
        if missing := [name for name in self.primary_key if name not in known]:
            raise ValueError(f"primary_key: not among the columns: {', '.join(missing)}")
        if self.event_time is not None and self.event_time not in names:
            raise ValueError(f"event_time: not among the columns: {self.event_time}")
        self._check_nested()
        return self

    def _check_nested(self) -> None:
        columns = [column for column in self.columns if nested(column.type)]
        if columns and not format_named(self.source.format).nests:
            raise ValueError(
                f"columns: {columns[0].name} is {columns[0].type}, and {self.source.format} has no lists and "
                "records: use string, or json where its texts are JSON, and take them apart in a transform"
            )
        for column in columns:
            if column.name in (*self.primary_key, self.event_time):
                raise ValueError(f"columns: {column.name} is {column.type}, and neither a key nor a time")

    @model_validator(mode="after")
    def _load_fits(self) -> Contract:
        if self.schedule is not None and self.start_date is None:
            raise ValueError("schedule: needs start_date, the first day that is scheduled")
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise ValueError(f"end_date: is before start_date, {self.start_date}")
        if self.partition and self.end_date and self.partition.last_of(self.end_date) < self.partition.start:
            raise ValueError(f"partition.start: is after end_date, {self.end_date}")
        if (self.load == "partition") != (self.partition is not None):
            raise ValueError("load: 'partition' and the section partition go together")
        if self.load == "partition" and not self.source.by_partition:
            raise ValueError(
                f"load: a source of kind {self.source.kind} is not read by partition; use 'full', or "
                "'watermark'"
            )
        if self.load == "watermark" and not self.source.has_watermark:
            raise ValueError("load: 'watermark' needs source.watermark (sql) or source.since_param (http)")
        if self.load != "watermark" and self.source.lookback is not None:
            raise ValueError("source.lookback: only load 'watermark' has one; the others read all anew")
        self.source.check(self)
        updates.check(self)
        return self

    @model_validator(mode="after")
    def _drift_means_something(self) -> Contract:
        # What is set must differ from the default: a contract that travels names every field.
        usual = Drift()
        if self.drift.removed == "evolve" and not any(column.nullable for column in self.columns):
            raise ValueError("drift.removed: 'evolve' needs a nullable column, and there is none")
        if self.drift.renamed != usual.renamed and not any(column.aliases for column in self.columns):
            raise ValueError("drift.renamed: a rename is known by a column's aliases, and no column has one")
        if self.drift.new_category != usual.new_category and not any(
            column.categories for column in self.columns
        ):
            raise ValueError("drift.new_category: no column has categories")
        return self

    def lookback(self, of_times: bool) -> timedelta | int:
        """How far before the watermark to read again, for rows committed late: the contract's, or by
        default a day for times and nothing for numbers."""
        if self.source.lookback is None:
            return USUAL_LOOKBACK if of_times else 0
        return self.source.lookback

    def periods_at(self, moment: datetime) -> list[str]:
        """The source's periods that have begun at `moment` (UTC); none without a partition."""
        if self.partition is None:
            return []
        last = self.partition.last(moment, self.end_date)
        return periods(self.partition.start, max(self.partition.start, last))

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key, by the names in the table."""
        names = {column.name: column.table_name for column in self.columns}
        return tuple(names.get(name, name) for name in self.primary_key)

    @property
    def text_columns(self) -> frozenset[str]:
        """The columns whose values are any text."""
        return frozenset(column.name for column in self.columns if column.type == "string")

    @property
    def format_name(self) -> str:
        return self.source.format

    @cached_property
    def format_options(self) -> Any:
        """How the source's files are written, beside the format."""
        return self.source.format_options

    @property
    def is_about_files(self) -> bool:
        """Whether a row is about a landed file, whose bytes are as much a part of the dataset as the row."""
        return format_named(self.format_name).about is not None

    def lacks_nothing_without(self, column: Column) -> bool:
        """Whether a delivery may come without `column`, which then is null."""
        return column.nullable and self.drift.removed == "evolve"

    def layout(self, columns: Iterable[str]) -> Layout:
        """How a delivery with these `columns` is read."""
        names = dict.fromkeys(columns)
        delivered = tuple(column.delivered_as(names) for column in self.columns)
        known = {*delivered, *self.source.own_columns}
        pairs = zip(self.columns, delivered, strict=True)
        return Layout(
            delivered=delivered,
            added=tuple(name for name in names if name not in known),
            missing=tuple(
                column.name
                for column, name in pairs
                if name is None and not self.lacks_nothing_without(column)
            ),
        )

    def schema_in_short(self) -> dict[str, Any]:
        """What readers of the table depend on; recorded with every publish, to compare later contracts
        with."""
        return {
            "version": self.version,
            "columns": {
                column.name: column.type + ("" if column.nullable else " not null") for column in self.columns
            },
            "primary_key": list(self.primary_key),
            "partition": self.partition.column if self.partition else None,
        }

    @classmethod
    def load_file(cls, path: Path) -> Contract:
        """Read and check one contract.

        Raises:
            ContractError: names the file, each wrong field, and what was expected there.
        """
        try:
            data = read_yaml(path)
        except OSError as error:
            raise ContractError(f"{path.name}: cannot be read: {error.strerror}") from error
        return cls.from_dict(data, origin=path.name, stem=path.stem)

    @classmethod
    def from_dict(cls, data: Any, origin: str, stem: str | None = None) -> Contract:
        """Check `data`; `origin` names it in errors, `stem` is its name by default. Raises ContractError."""
        if stem is not None and isinstance(data, dict):
            data = {"dataset": stem, **data}
        try:
            contract = cls.model_validate(data)
        except ValidationError as error:
            problems = "\n".join(_problem(origin, detail) for detail in error.errors())
            raise ContractError(f"wrong dataset contract\n{problems}") from None
        if stem is not None and contract.dataset != stem:
            raise ContractError(
                f"{origin}: dataset: expected '{stem}', the file's name, found '{contract.dataset}'"
            )
        return contract


def contract_file(project: Path, dataset: str) -> Path | None:
    """The file of a dataset's contract, one that runs read or a stream; None when there is none."""
    places = (project / "dags" / folder / f"{dataset}.yaml" for folder in ("datasets", "streams"))
    return next((path for path in places if path.is_file()), None)


def _problem(origin: str, detail: Any) -> str:
    field = ".".join(str(part) for part in detail["loc"]) or "contract"
    value = detail.get("input")
    shown = "" if isinstance(value, dict | list) or detail["type"] == "missing" else f", found {value!r}"
    return f"  {origin}: {field}: {detail['msg']}{shown}"
