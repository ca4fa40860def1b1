"""A proposed expectation suite, made from the rows of a table, for a person to edit.

It describes these rows with all their mistakes: a range includes wrong values. So only the number of rows and
the key are proposed as critical.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from millstream.errors import ConfigurationError
from millstream.lake.staging import DEFAULTS, SOURCE_ROW_ID
from millstream.quality.parameters import run_parameters
from millstream.quality.predicates import readable

Expectation = dict[str, Any]

# A text column with more different values than this gets no set.
SET_SIZE = 20
PERCENTILES = (0.01, 0.5, 0.99)
# So much of the present volume is still enough, and so much not yet too much.
FEWEST, MOST = 0.5, 2
# A share of good rows is proposed this much lower than seen, in whole hundredths.
SLACK = 0.01
# A critical rule without a share would let a handful of broken rows stop all the others.
MOSTLY = 1 - SLACK
REFERENCE = "_ref_"


@dataclass(frozen=True)
class Profile:
    """Figures of one column. `low` and `high` are values, or lengths of texts; `low` and `high` of
    a date or time are text. `values` are all values of a text column that has few. `unbounded` values are NaN
    or infinite: they are in no range and no percentile."""

    name: str
    kind: T.DataType
    filled: int
    low: Any = None
    high: Any = None
    percentiles: tuple[float, ...] | None = None
    unbounded: int = 0
    distinct: int = 0
    true: int = 0
    values: tuple[str, ...] | None = None

    @property
    def is_time(self) -> bool:
        return isinstance(self.kind, T.DateType | T.TimestampType | T.TimestampNTZType)


def propose(
    frame: DataFrame,
    table: str,
    key: Sequence[str],
    partition_column: str | None = None,
    *,
    whole: bool = True,
) -> dict[str, Any]:
    """A suite in Great Expectations' JSON for `table`, made from the rows of `frame`; unreadable ones are
    left out. Two actions.

    With a `partition_column` (periods), volume and freshness use the parameters of a run:
    `days`, `first_date`, `last_date`. Where a run may bring some periods alone and has no such parameters
    (not `whole`), there are none of these two.

    Raises:
        ConfigurationError: there are no rows to make a suite from.
    """
    rows, periods, profiles = _profiles(frame.where(readable(frame)), partition_column)
    if not rows:
        raise ConfigurationError(f"{table} has no rows to make a suite from: load some first")
    given = {name: value for name, value in run_parameters(periods).items() if name != "tomorrow"}
    return {
        "name": table.partition(".")[2],
        "meta": {
            "table": table,
            "malformed_mostly": MOSTLY,
            "tolerated_rows": 1,
            "parameters": given,
            "notes": f"Proposed from {rows} rows on {date.today()}; to be read and corrected by a person.",
        },
        "expectations": [
            *([_volume(rows, given.get("days"))] if whole else []),
            *([_uniqueness(key)] if key else []),
            *(_freshness(profiles, key, partitioned=bool(periods)) if whole else []),
            *(rule for column in profiles for rule in _rules(column, rows, key)),
        ],
    }


def _profiles(frame: DataFrame, partition_column: str | None) -> tuple[int, list[str], list[Profile]]:
    """Number of rows, their periods, and every column that a suite could judge, but for the partition's."""
    hidden = {SOURCE_ROW_ID, partition_column, *DEFAULTS}
    fields = [field for field in frame.schema.fields if field.name not in hidden]
    wanted = {field.name: {"filled": F.count(field.name), **_figures(field)} for field in fields}
    periods = F.collect_set(partition_column) if partition_column else F.array().cast("array<string>")
    sums = [
        F.struct(*(figure.alias(label) for label, figure in figures.items())).alias(name)
        for name, figures in wanted.items()
    ]
    figures_of = frame.agg(F.count(F.lit(1)).alias("_rows"), periods.alias("_periods"), *sums).collect()[0]
    few = [name for name in wanted if 0 < figures_of[name].asDict().get("distinct", 0) <= SET_SIZE]
    sets = frame.agg(*(F.sort_array(F.collect_set(name)) for name in few)).collect()[0] if few else ()
    values = {name: tuple(some) for name, some in zip(few, sets, strict=True)}
    return (
        figures_of["_rows"],
        sorted(figures_of["_periods"]),
        [
            Profile(
                field.name, field.dataType, **figures_of[field.name].asDict(), values=values.get(field.name)
            )
            for field in fields
        ],
    )


def _figures(field: T.StructField) -> dict[str, Column]:
    column = F.col(field.name)
    match field.dataType:
        case T.StringType():
            return {
                "low": F.min(F.length(column)),
                "high": F.max(F.length(column)),
                "distinct": F.approx_count_distinct(column),
            }
        case T.BooleanType():
            return {"true": F.count_if(column)}
        case T.DateType() | T.TimestampType() | T.TimestampNTZType():
            return {"low": F.min(column).cast("string"), "high": F.max(column).cast("string")}
        case T.IntegerType() | T.LongType() | T.ShortType() | T.ByteType():
            return {"low": F.min(column), "high": F.max(column), "percentiles": _percentiles(column)}
        case T.NumericType():
            number = column.cast("double")
            # NaN is larger than infinity.
            finite = F.abs(number) < F.lit(math.inf)
            bounded = F.when(finite, number)
            return {
                "low": F.min(bounded),
                "high": F.max(bounded),
                "percentiles": _percentiles(bounded),
                "unbounded": F.count_if(~finite),
            }
        case _:
            return {}


def _percentiles(column: Column) -> Column:
    return F.percentile_approx(column, list(PERCENTILES))


def _rule(kind: str, severity: str, notes: str | None = None, **kwargs: Any) -> Expectation:
    optional = {"notes": notes} if notes else {}
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity, **optional}


def _volume(rows: int, days: Any) -> Expectation:
    if days is None:
        low: Any = max(1, math.floor(rows * FEWEST))
        high: Any = math.ceil(rows * MOST)
    else:
        low = {"$PARAMETER": f"days * {math.floor(rows / days * FEWEST)}"}
        high = {"$PARAMETER": f"days * {math.ceil(rows / days * MOST)}"}
    notes = f"Volume: {rows} rows" + (f" in {days} days." if days else ".")
    return _rule("table_row_count_to_be_between", "critical", notes, min_value=low, max_value=high)


def _uniqueness(key: Sequence[str]) -> Expectation:
    if len(key) == 1:
        return _rule("column_values_to_be_unique", "critical", "Key.", column=key[0])
    return _rule("compound_columns_to_be_unique", "critical", "Key.", column_list=list(key))


def _freshness(profiles: list[Profile], key: Sequence[str], partitioned: bool) -> Iterator[Expectation]:
    times = sorted(
        (column for column in profiles if column.is_time and column.filled),
        key=lambda column: column.name not in key,
    )
    for column in times[:1]:
        newest = {"$PARAMETER": "last_date"} if partitioned else column.high
        notes = f"Freshness: the newest is {column.high}."
        yield _rule("column_max_to_be_between", "warning", notes, column=column.name, min_value=newest)


def _rules(column: Profile, rows: int, key: Sequence[str]) -> Iterator[Expectation]:
    if column.name.startswith(REFERENCE):
        yield from _reference(column)
        return
    yield from _presence(column, rows, "critical" if column.name in key else "warning")
    if column.values is not None:
        yield _rule(
            "column_values_to_be_in_set", "warning", column=column.name, value_set=list(column.values)
        )
    elif isinstance(column.kind, T.StringType) and column.filled:
        bounds = {"min_value": column.low, "max_value": column.high}
        yield _rule("column_value_lengths_to_be_between", "warning", column=column.name, **bounds)
    elif column.percentiles is not None:
        yield from _range(column, column.percentiles)


def _range(column: Profile, percentiles: tuple[float, ...]) -> Iterator[Expectation]:
    mostly = _lowered(column.filled - column.unbounded, column.filled)
    if mostly > 0:
        shares = zip(PERCENTILES, percentiles, strict=True)
        notes = f"Percentiles {', '.join(f'{share:.0%}: {value:g}' for share, value in shares)}."
        if column.unbounded:
            notes += f" {column.unbounded} of {column.filled} are NaN or infinite."
        bounds = {
            "min_value": _rounded(column.low, math.floor),
            "max_value": _rounded(column.high, math.ceil),
        }
        share = {} if mostly == 1 else {"mostly": mostly}
        yield _rule("column_values_to_be_between", "warning", notes, column=column.name, **bounds, **share)


def _presence(column: Profile, rows: int, severity: str) -> Iterator[Expectation]:
    mostly = _lowered(column.filled, rows)
    if mostly > 0:
        notes = f"{rows - column.filled} of {rows} rows have none." if mostly < 1 else None
        if severity == "critical":
            mostly = min(mostly, MOSTLY)
        share = {} if mostly == 1 else {"mostly": mostly}
        yield _rule("column_values_to_not_be_null", severity, notes, column=column.name, **share)


def _reference(column: Profile) -> Iterator[Expectation]:
    mostly = _lowered(column.true, column.filled)
    if mostly > 0:
        share = {} if mostly == 1 else {"mostly": mostly}
        notes = f"{column.filled - column.true} of {column.filled} are not in the other table."
        yield _rule(
            "column_values_to_be_in_set", "warning", notes, column=column.name, value_set=[True], **share
        )


def _lowered(good: int, rows: int) -> float:
    if good == rows:
        return float(rows > 0)
    return round(max(0.0, math.floor(good / rows * 100) / 100 - SLACK), 2)


def _rounded(value: float, outwards: Callable[[float], int]) -> float:
    """The finite `value` moved outwards to two digits, so that a limit does not pretend to be exact."""
    if value == 0:
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    moved = outwards(value / step) * step if step else math.inf
    if math.isinf(moved):
        # At the ends of what a double holds.
        return value
    return round(moved) if isinstance(value, int) else float(f"{moved:.12g}")
