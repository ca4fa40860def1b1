"""Marts: gold tables that are one SELECT, `marts/<name>.sql`. Imported by DAG files, so it imports no Spark.

The file begins with a comment of YAML, which says what the SELECT cannot:
    /*
    description: Mean delay by airport.
    columns: {origin: FAA code of the airport, delay_min: "Mean delay, minutes"}
    */
    SELECT origin, avg(dep_delay_min) AS delay_min FROM silver.flights GROUP BY origin
What it reads is found in the SQL.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from pathlib import Path

import sqlglot
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlglot import exp
from sqlglot.errors import SqlglotError

from millstream.contracts.documents import parse_yaml, read_text
from millstream.errors import ConfigurationError, ContractError
from millstream.lake.tables import NAME, TableRef

READABLE = ("silver", "gold")
HEAD = re.compile(r"\s*/\*(?!\+)(?P<yaml>.*?)\*/", re.DOTALL)


class Chart(BaseModel):
    """How a page draws a table: `y` over `x`, a line or a bar for each value of `by`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    x: str
    y: str
    by: str | None = None


class Head(BaseModel):
    """What the comment in front of the SELECT may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = ""
    owner: str = Field(default="data-platform", pattern=r"^[a-z][a-z0-9_-]*$")
    tags: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    columns: dict[str, str] = Field(default={}, description="comments of columns")
    chart: Chart | None = None
    deadline_minutes: int = Field(default=60, ge=1, lt=24 * 60)


class Mart(BaseModel):
    """One mart: its name, its head, and its SQL as written."""

    model_config = ConfigDict(frozen=True)

    name: str
    head: Head
    sql: str

    @property
    def table(self) -> TableRef:
        return TableRef(zone="gold", name=self.name)

    @property
    def version(self) -> str:
        """Digest of the file: rows of another version are not those of this one."""
        return hashlib.sha256(self.sql.encode()).hexdigest()[:12]

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The tables that it reads, by name."""
        return tuple(sorted({name for name, _, _ in self._places}))

    def query(self, views: dict[str, str]) -> str:
        """The SQL with each table replaced by its view, under the table's own name; else as written."""
        sql = self.sql
        for name, (start, end), alias in sorted(self._places, key=lambda place: place[1], reverse=True):
            named = "" if alias else f" AS {TableRef.parse(name).name}"
            sql = f"{sql[:start]}{views[name]}{named}{sql[end:]}"
        return sql

    @cached_property
    def _places(self) -> list[tuple[str, tuple[int, int], bool]]:
        """Where the SQL names tables: table, from and to which character, and whether with an alias."""
        where = f"marts/{self.name}.sql"
        try:
            statements = [one for one in sqlglot.parse(self.sql, read="spark") if one is not None]
        except SqlglotError as error:
            raise ContractError(f"{where}: cannot be read: {str(error).splitlines()[0]}") from None
        if len(statements) != 1 or not isinstance(statements[0], exp.Query):
            raise ContractError(f"{where}: has to be one SELECT, and nothing else")
        (query,) = statements
        local = {one.alias.lower() for one in query.find_all(exp.CTE)}
        places = []
        for table in query.find_all(exp.Table):
            if not isinstance(table.this, exp.Identifier) or (not table.db and table.name.lower() in local):
                continue
            line, parts = table.this.meta.get("line", 1), table.parts
            if len(parts) != 2 or table.db not in READABLE or not NAME.fullmatch(table.name):
                raise ContractError(
                    f"{where}: line {line}: {table.sql(dialect='spark')!r} is no table to read: write its "
                    f"zone and name, for example silver.flights; zones are {', '.join(READABLE)}"
                )
            if (table.db, table.name) == ("gold", self.name):
                raise ContractError(f"{where}: line {line}: reads itself")
            span = (parts[0].meta["start"], parts[-1].meta["end"] + 1)
            places.append((f"{table.db}.{table.name}", span, bool(table.alias)))
        if not places:
            raise ContractError(f"{where}: reads no table")
        return places


def load_mart(root: Path, name: str) -> Mart:
    """The mart `name` of `root`.

    Raises: ConfigurationError when there is none, ContractError when it is wrong.
    """
    path = root / "marts" / f"{name}.sql"
    if not NAME.fullmatch(name):
        raise ConfigurationError(f"no such mart: {name!r}: a name is lower case letters, digits and _")
    try:
        sql = read_text(path)
    except OSError as error:
        raise ConfigurationError(f"no such mart: marts/{path.name}: {error.strerror}") from error
    match = HEAD.match(sql)
    data = parse_yaml(f"marts/{path.name}", match["yaml"]) if match else {}
    try:
        mart = Mart(name=name, head=Head.model_validate(data or {}), sql=sql)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'head'}: {one['msg']}" for one in error.errors()
        )
        raise ContractError(f"marts/{path.name}: {problems}") from None
    # What is wrong with the SQL shows when the DAG is read.
    _ = mart.inputs
    return mart


def marts(root: Path) -> list[str]:
    """The names of all marts of `root`."""
    return sorted(path.stem for path in (root / "marts").glob("*.sql"))
