"""Addresses of lake tables, and of the text between them. A job never builds a path by hand."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, field_validator

from millstream.errors import ConfigurationError

# `ops` holds what the platform knows of itself: made from the other zones, but for people's decisions.
Zone = Literal["bronze", "silver", "gold", "ops"]
ZONES: tuple[str, ...] = get_args(Zone)
# The one partition of a table that is not cut.
WHOLE = "all"
# Landed file and row number of a row, `file#row`: in every staged and published table.
SOURCE_ROW_ID = "_source_row_id"
NAME = re.compile(r"[a-z][a-z0-9_]{0,100}")
# No dot in front: `.` would be the folder that holds the runs, and `..` the one above it.
RUN_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


def is_run_key(text: str) -> bool:
    """Whether `text` can name a run in the lake, as `landing.manifest.run_key` makes such names."""
    return RUN_KEY.fullmatch(text) is not None and ".." not in text


class TableRef(BaseModel):
    """One table, written `zone.name`, for example `silver.flights`."""

    model_config = ConfigDict(frozen=True)

    zone: Zone
    name: str

    @field_validator("name")
    @classmethod
    def _safe_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("a table's name is lower case letters, digits and _")
        return name

    @classmethod
    def parse(cls, text: str) -> TableRef:
        """Read `zone.name`. Raises ConfigurationError when it is not the address of a lake table."""
        zone, _, name = text.partition(".")
        try:
            return cls(zone=zone, name=name)
        except ValueError:
            raise ConfigurationError(
                f"not a lake table: {text!r}; expected <zone>.<name>, for example silver.flights; "
                f"zones are {', '.join(ZONES)}"
            ) from None

    @property
    def quarantine(self) -> TableRef:
        """Where the rows go that broke a critical expectation of this table."""
        return TableRef(zone=self.zone, name=f"{self.name}_quarantine")

    @property
    def history(self) -> TableRef:
        """Where every version of this table's rows is, if its contract asks for that."""
        return TableRef(zone=self.zone, name=f"{self.name}_history")

    def uri(self, lake_root: str) -> str:
        return f"{lake_root.rstrip('/')}/{self.zone}/{self.name}"

    def staging_uri(self, lake_root: str, run: str) -> str:
        """Where run `run` materialises this table. Raises ConfigurationError on an unsafe run key."""
        if not is_run_key(run):
            raise ConfigurationError(f"not a run key: {run!r}; see millstream.landing.manifest.run_key")
        return f"{lake_root.rstrip('/')}/staging/{self}/{run}"

    def __str__(self) -> str:
        return f"{self.zone}.{self.name}"


class TextFolders(NamedTuple):
    """Folders of text files, relative to the lake's root."""

    input: str
    output: str


def text_folders(job: str, run: str) -> TextFolders:
    """Where the MapReduce job `job` reads and writes in run `run`; retention removes them as staged tables.

    Raises ConfigurationError on an unsafe name of either.
    """
    if not NAME.fullmatch(job):
        raise ConfigurationError(f"not a job's name: {job!r}; it is lower case letters, digits and _")
    if not is_run_key(run):
        raise ConfigurationError(f"not a run key: {run!r}; see millstream.landing.manifest.run_key")
    folder = f"staging/mapreduce.{job}/{run}"
    return TextFolders(f"{folder}/input", f"{folder}/output")


# What people decided about quarantined rows.
DECISIONS = TableRef(zone="ops", name="decisions")
