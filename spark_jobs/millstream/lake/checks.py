"""The checks of a table as its Delta constraints: looked at first, then put there.

Null passes, as SQL has it for a constraint; Delta itself takes a null for a violation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from operator import or_

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.errors import TransformError
from millstream.lake.staging import SOURCE_ROW_ID

LONGEST = 80
PROPERTY = "delta.constraints."
# White space, comments, and what is quoted: Delta keeps a constraint's words with one space between them.
SPACE = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`)|\s+|--[^\n]*|/\*.*?\*/""", re.DOTALL)


def constraint(check: str) -> str:
    """The SQL of the constraint for `check`: broken only where it is false."""
    # A comment at its end must not swallow the rest.
    return f"coalesce(\n{check}\n, true)"


def constraints(checks: Mapping[str, str]) -> dict[str, str]:
    """The same of all checks, by their names."""
    return {name: constraint(check) for name, check in checks.items()}


def breaks(check: str) -> Column:
    """Whether a row breaks `check`; never null."""
    return ~F.expr(constraint(check))


def breaks_any(checks: Mapping[str, str]) -> Column:
    return reduce(or_, map(breaks, checks.values()), F.lit(False))


def require_readable(rows: DataFrame, checks: Mapping[str, str], file: str) -> None:
    """Raise TransformError when a check, as `file` declares it, is no condition on these columns."""
    for name, check in checks.items():
        try:
            kind = rows.select(F.expr(f"(\n{check}\n)").alias(name)).schema[name].dataType.simpleString()
        except AnalysisException as error:
            raise TransformError(
                f"{file}: the CHECK {name} ({check}) cannot be read: "
                f"{str(error).strip().splitlines()[0]}. What to do: correct it there"
            ) from error
        if kind != "boolean":
            raise TransformError(
                f"{file}: the CHECK {name} ({check}) is {kind}, not a condition. What to do: correct it there"
            )


def broken(
    rows: DataFrame, checks: Mapping[str, str], key: tuple[str, ...], file: str, which: str
) -> TransformError | None:
    """An error that names the check that most of the `rows` break, with an example; None when all keep them.

    `which` says whose rows they are, `file` declares the checks.
    """
    if not checks:
        return None
    counts = rows.agg(*(F.count_if(breaks(check)).alias(name) for name, check in checks.items())).collect()[0]
    name = max(checks, key=lambda check: counts[check])
    if not counts[name]:
        return None
    columns = [*key, *(column for column in rows.columns if column in checks[name] and column not in key)]
    rows = rows.where(breaks(checks[name])).orderBy(SOURCE_ROW_ID).select(SOURCE_ROW_ID, *columns)
    example = rows.limit(1).collect()[0]
    values = ", ".join(f"{column}={_short(example[column])}" for column in columns)
    return TransformError(
        f"{which}: {counts[name]} rows break the CHECK {name} ({checks[name]}), for example "
        f"{example[SOURCE_ROW_ID]}: {values}. Nothing was published. What to do: correct the check in "
        f"{file}, or let the suite keep such rows back with a critical rule"
    )


def _short(value: object) -> str:
    """A value of the data as it can stand in a message of one line."""
    return " ".join(str(value).split())[:LONGEST]


def differ(properties: Mapping[str, str], checks: Mapping[str, str]) -> bool:
    """Whether a table with these `properties` has other constraints than `checks` asks for."""
    outdated, missing = _differences(properties, checks)
    return bool(outdated or missing)


def drop_outdated(
    spark: SparkSession, uri: str, properties: Mapping[str, str], checks: Mapping[str, str]
) -> None:
    """Take those constraints from the table with these `properties` that `checks` no longer has, or has
    otherwise."""
    for name in _differences(properties, checks)[0]:
        spark.sql(f"ALTER TABLE delta.`{uri}` DROP CONSTRAINT `{name}`")


def add_missing(
    spark: SparkSession, uri: str, properties: Mapping[str, str], checks: Mapping[str, str]
) -> None:
    """Give the table with these `properties` the constraints that it lacks; Delta looks at each row."""
    for name in _differences(properties, checks)[1]:
        spark.sql(f"ALTER TABLE delta.`{uri}` ADD CONSTRAINT `{name}` CHECK ({constraint(checks[name])})")


def _differences(properties: Mapping[str, str], checks: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Names of the constraints to take away, and of those to add."""
    present = {
        name.removeprefix(PROPERTY): _plain(text)
        for name, text in properties.items()
        if name.startswith(PROPERTY)
    }
    wanted = {name: _plain(text) for name, text in constraints(checks).items()}
    # Delta does not tell names apart by case.
    folded = {name.lower(): text for name, text in wanted.items()}
    outdated = [name for name, text in present.items() if folded.get(name.lower()) != text]
    kept = {name.lower() for name in present if name not in outdated}
    return outdated, [name for name in wanted if name.lower() not in kept]


def _plain(text: str) -> str:
    return SPACE.sub(lambda match: match[1] or "", text)
