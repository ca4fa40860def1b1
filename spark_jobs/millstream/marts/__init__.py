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
# What makes rows in a FROM or a LATERAL, out of its arguments alone.
TABLE_FUNCTIONS = (
    *("explode", "explode_outer", "inline", "inline_outer", "json_tuple", "posexplode", "posexplode_outer"),
    *("range", "stack", "variant_explode", "variant_explode_outer"),
)
WHY = "its rows have to follow from the tables that it reads, and from nothing else, whenever they are made"
# A program, a sample, another version than the pinned one, and what somebody else fills in.
UNREPEATABLE = (
    *(exp.QueryTransform, exp.TableSample, exp.Version),
    *(exp.Parameter, exp.Placeholder, exp.SessionParameter),
)
CLOCKS = (exp.DataType.Type.DATE, exp.DataType.Type.TIMESTAMP, exp.DataType.Type.TIMESTAMPLTZ)
UNREPEATABLE_FUNCTIONS = frozenset(
    (
        # Chance, and how the rows happen to be spread.
        *("rand", "random", "randn", "randstr", "uniform", "uuid", "shuffle", "aes_encrypt"),
        *("monotonically_increasing_id", "spark_partition_id"),
        *("input_file_name", "input_file_block_start", "input_file_block_length"),
        # The clock. As a literal: DATE 'today'.
        *("now", "current_date", "curdate", "current_time", "current_timestamp", "localtimestamp"),
        *("today", "tomorrow", "yesterday"),
        # The session.
        *("current_user", "session_user", "user", "current_catalog", "current_database", "current_schema"),
        *("current_path", "current_timezone", "version"),
        # Whatever its arguments say.
        *("reflect", "java_method", "try_reflect", "identifier"),
    )
)
# Spark calls these without parentheses too, and the parser takes them for columns.
CALLED_BARE = ("current_time", "localtimestamp")
# Parameter of the suites of marts that are made by month: how many rows have to be made.
LEAST_ROWS = "least_rows"
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
    partition: str | None = Field(default=None, pattern=f"^{NAME.pattern}$", description="column of months")
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
    def file(self) -> str:
        return f"marts/{self.name}.sql"

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
    def parsed(self) -> exp.Query:
        """The SQL as it was read. Raises ContractError when it is not one SELECT, or no mart's."""
        for number, line in enumerate(self.sql.splitlines(), 1):
            if "--" in line and line.endswith("\\"):
                raise ContractError(
                    f"{self.file}: line {number}: ends in \\ behind --: to Spark the next line belongs to "
                    "the comment too. End the line otherwise"
                )
        try:
            statements = [one for one in sqlglot.parse(self.sql, read="spark") if one is not None]
        # It lets what its own code stumbles over pass, as for date_trunc().
        except (SqlglotError, ValueError, AssertionError) as error:
            said = str(error) or "this SQL is not known here"
            raise ContractError(f"{self.file}: cannot be read: {said.splitlines()[0]}") from None
        query = statements[0] if len(statements) == 1 else None
        if not isinstance(query, exp.Query):
            raise ContractError(f"{self.file}: has to be one SELECT, and nothing else")
        self._require_repeatable(query)
        return query

    @cached_property
    def _places(self) -> list[tuple[str, tuple[int, int], bool]]:
        """Where the SQL names tables: table, from and to which character, and whether with an alias."""
        query = self.parsed
        local = {one.alias.lower() for one in query.find_all(exp.CTE)}
        places = []
        for table in query.find_all(exp.Table):
            if isinstance(table.this, exp.Func):
                self._require_table_function(table, table.this)
            elif not table.find_ancestor(exp.Hint) and (table.db or table.name.lower() not in local):
                places.append(self._place(table))
        if not places:
            raise ContractError(f"{self.file}: reads no table")
        return places

    def _place(self, table: exp.Table) -> tuple[str, tuple[int, int], bool]:
        parts = table.parts
        if len(parts) != 2 or table.db not in READABLE or not NAME.fullmatch(table.name):
            raise self.refused(
                table,
                f"{table.sql(dialect='spark')!r} is no table to read: write its zone and name, for example "
                f"silver.flights; zones are {', '.join(READABLE)}",
            )
        if (table.db, table.name) == ("gold", self.name):
            raise self.refused(table, "reads itself")
        span = (parts[0].meta["start"], parts[-1].meta["end"] + 1)
        return f"{table.db}.{table.name}", span, bool(table.alias)

    def _require_repeatable(self, query: exp.Expr) -> None:
        """Raise ContractError for what makes other rows of the same tables at another time or place."""
        for node in query.walk():
            if isinstance(node, UNREPEATABLE):
                text = node.sql(dialect="spark")
                raise self.refused(node, f"{text!r} has no place in a mart: {WHY}")
            if isinstance(node, exp.Lateral) and isinstance(node.this, exp.Func):
                self._require_table_function(node, node.this)
            if self._called(node) in UNREPEATABLE_FUNCTIONS:
                raise self.refused(node, f"{self._called(node)!r} has no place in a mart: {WHY}")

    def _require_table_function(self, place: exp.Expr, function: exp.Func) -> None:
        called = self._called(function) or ""
        if called not in TABLE_FUNCTIONS:
            raise self.refused(
                place,
                f"{called!r} is no table to read; functions that make rows are {', '.join(TABLE_FUNCTIONS)}",
            )

    def _called(self, node: exp.Expr) -> str | None:
        """The function that `node` calls, as written; None when it calls none."""
        if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal):
            # A literal, as in DATE 'today'.
            return node.this.name.strip().lower() if node.is_type(*CLOCKS) else None
        if isinstance(node, exp.Column) and not node.table and not node.this.args.get("quoted"):
            return node.name.lower() if node.name.lower() in CALLED_BARE else None
        if not isinstance(node, exp.Func):
            return None
        if "start" in node.meta:
            written = self.sql[node.meta["start"] : node.meta["end"] + 1]
        else:
            written = node.sql(dialect="spark").partition("(")[0]
        return written.strip("`").lower()

    def refused(self, node: exp.Expr, why: str) -> ContractError:
        """An error with the line of `node`, a part of the SQL."""
        lines = (one.meta["line"] for one in node.walk() if "line" in one.meta)
        return ContractError(f"{self.file}: line {next(lines, 1)}: {why}")


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
