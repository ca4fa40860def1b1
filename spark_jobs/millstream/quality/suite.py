"""Expectation suites, read from Great Expectations' own JSON without importing it.

A suite file (`expectations/<table>.json`) is what `great_expectations.ExpectationSuite(**json)` takes. Four
entries of its `meta` are ours: `parameters` (default values of the `$PARAMETER`s that a run may override),
`malformed_mostly` (share of rows that must be readable), `tolerated_rows` (so many rows may break a rule,
whatever their share) and `chart` (how the page draws the rows).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from typing_extensions import TypedDict

from millstream.errors import ContractError, UnsupportedExpectationError
from millstream.marts import Chart
from millstream.quality.allowance import lowered
from millstream.quality.arguments import check
from millstream.quality.words import bounds, describe_condition, listed

Severity = Literal["critical", "warning", "info"]
Level = Literal["row", "table"]
Parameters = Mapping[str, str | int | float | bool]

# Row-level expectations that the split can express; `quality.predicates` has one predicate for each.
SPLITTABLE = frozenset(
    {
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
        "expect_column_pair_values_to_be_in_set",
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_be_null",
        "expect_column_values_to_be_unique",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_match_regex_list",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_not_match_regex",
        "expect_column_values_to_not_match_regex_list",
        "expect_compound_columns_to_be_unique",
        "expect_multicolumn_sum_to_equal",
        "expect_multicolumn_values_to_be_equal",
        "expect_select_column_values_to_be_unique_within_record",
    }
)
# Row-level expectations that it cannot: they need Python per row, an order of rows that a table does not
# have, statistics of the whole table, or something that Great Expectations lacks on Spark.
UNSPLITTABLE = frozenset(
    {
        "expect_column_value_z_scores_to_be_less_than",
        "expect_column_values_to_be_dateutil_parseable",
        "expect_column_values_to_be_decreasing",
        "expect_column_values_to_be_increasing",
        "expect_column_values_to_be_json_parseable",
        "expect_column_values_to_match_json_schema",
        "expect_column_values_to_match_like_pattern",
        "expect_column_values_to_match_like_pattern_list",
        "expect_column_values_to_match_strftime_format",
        "expect_column_values_to_not_be_outliers",
        "expect_column_values_to_not_match_like_pattern",
        "expect_column_values_to_not_match_like_pattern_list",
        "expect_multicolumn_values_to_be_unique",
        "unexpected_rows_expectation",
    }
)
UNIQUENESS = frozenset({"expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"})

# What the table-level expectations that are counted look at, by Great Expectations' names for it.
METRICS = {
    "expect_column_max_to_be_between": "column.max",
    "expect_column_mean_to_be_between": "column.mean",
    "expect_column_min_to_be_between": "column.min",
    "expect_column_unique_value_count_to_be_between": "column.distinct_values.count",
    "expect_table_row_count_to_be_between": "table.row_count",
    "expect_table_row_count_to_equal": "table.row_count",
}


class Rule(BaseModel):
    """One expectation of a suite, with its parameters filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    expectation_type: str
    kwargs: dict[str, Any]
    severity: Severity = "critical"
    written: dict[str, Any] = Field(default_factory=dict, description="kwargs with parameters by their names")
    reference: tuple[str, str] | None = Field(
        default=None, description="of a flag column: the column whose values are looked up, and where"
    )

    @property
    def level(self) -> Level:
        return "row" if self.expectation_type in SPLITTABLE | UNSPLITTABLE else "table"

    @property
    def splittable(self) -> bool:
        return self.expectation_type in SPLITTABLE

    @property
    def checks_uniqueness(self) -> bool:
        return self.expectation_type in UNIQUENESS

    @property
    def checks_null(self) -> bool:
        return self.expectation_type == "expect_column_values_to_not_be_null"

    @property
    def quarantines(self) -> bool:
        """Whether rows that break the rule leave the table."""
        return self.severity == "critical" and self.level == "row"

    @property
    def columns(self) -> list[str]:
        """The columns that the rule is about, without those of its row condition."""
        single = [self.kwargs[key] for key in ("column", "column_A", "column_B") if key in self.kwargs]
        return [*single, *self.kwargs.get("column_list", [])]

    @property
    def mostly(self) -> float:
        return float(self.kwargs.get("mostly", 1.0))

    @property
    def reason(self) -> str:
        """The label with parameters by their names: the same in each run, so that a decision about a row that
        breaks the rule also holds in the next run."""
        return self.model_copy(update={"kwargs": self.written}).label if self.written else self.label

    @property
    def label(self) -> str:
        """The rule in words, for example `origin in set [EWR, JFK, LGA]`."""
        condition = self.kwargs.get("row_condition")
        where = f" where {describe_condition(condition)}" if condition else ""
        claim = self._claim_of_reference() or f"{', '.join(self.columns) or 'table'} {self._claim()}"
        return f"{claim}{where}"

    def _claim_of_reference(self) -> str:
        """Of a flag what it stands for: `tailnum is in silver.planes`."""
        if self.reference is None:
            return ""
        own, other = self.reference
        if self.checks_null:
            return f"{own} could be looked up in {other}"
        found = self.expectation_type == "expect_column_values_to_be_in_set"
        return f"{own} is in {other}" if found and self.kwargs["value_set"] == [True] else ""

    def _claim(self) -> str:
        given = self.kwargs
        match self.expectation_type:
            case "expect_column_values_to_not_be_null":
                return "is not null"
            case "expect_column_values_to_be_null":
                return "is null"
            case "expect_column_values_to_be_unique" | "expect_compound_columns_to_be_unique":
                return "is unique"
            case "expect_column_values_to_be_in_set":
                return f"in set {listed(given['value_set'])}"
            case "expect_column_values_to_not_be_in_set":
                return f"not in set {listed(given['value_set'])}"
            case "expect_column_values_to_match_regex":
                return f"matches {given['regex']}"
            case "expect_column_values_to_not_match_regex":
                return f"does not match {given['regex']}"
            case "expect_column_pair_values_a_to_be_greater_than_b":
                return "in descending order" if given.get("or_equal") else "in strictly descending order"
            case other:
                name = other.removeprefix("expect_").removeprefix("column_").removeprefix("table_")
                words, limits = name.replace("_", " "), bounds(given)
                subject = words.removesuffix(" to be between").removesuffix(" to equal")
                if not limits or subject == words:
                    return f"{words} {limits}".strip()
                # Of its values a rule speaks as of the column: size is at least 1.
                subject = "" if subject == "values" else subject.replace("value lengths", "length")
                return f"{subject} is {limits}".strip()


def _named(value: Any) -> Any:
    """`value` with every {"$PARAMETER": "name"} in it as `name`."""
    if isinstance(value, list):
        return [_named(item) for item in value]
    if not isinstance(value, dict):
        return value
    return value.get("$PARAMETER") or {key: _named(item) for key, item in value.items()}


class _Expectation(TypedDict):
    type: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]+$")]
    kwargs: dict[str, Any]
    severity: NotRequired[Severity]


class SuiteMeta(BaseModel):
    """The entries of a suite's `meta` that the gate reads."""

    model_config = ConfigDict(extra="allow")

    parameters: dict[str, str | int | float | bool] = {}
    malformed_mostly: float = Field(default=0.99, gt=0, le=1)
    tolerated_rows: int = Field(default=1, ge=0)
    chart: Chart | None = None
    references: dict[str, tuple[str, str]] = {}


class _SuiteFile(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1)
    expectations: list[_Expectation] = Field(min_length=1)
    meta: SuiteMeta = SuiteMeta()


class Suite(BaseModel):
    """An expectation suite, bound to the parameters of one run."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    rules: list[Rule]
    meta: SuiteMeta
    parameters: dict[str, str | int | float | bool]
    source: dict[str, Any] = Field(repr=False, description="the suite's JSON, as Great Expectations takes it")

    @classmethod
    def from_dict(cls, data: Any, parameters: Parameters | None = None) -> Suite:
        """Read Great Expectations' JSON; `parameters` override the defaults in `meta.parameters`.

        Raises:
            ContractError: not a suite, or an expectation needs a parameter that has no value.
            UnsupportedExpectationError: a critical row-level expectation has no row predicate, or one that is
                counted has an argument by which Great Expectations would count other rows.
        """
        try:
            parsed = _SuiteFile.model_validate(data)
        except ValidationError as error:
            name = data.get("name", "?") if isinstance(data, dict) else "?"
            problems = "; ".join(
                f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
                for detail in error.errors()
            )
            raise ContractError(f"wrong expectation suite {name!r}: {problems}") from None
        values = {**parsed.meta.parameters, **(parameters or {})}
        rules = [
            Rule(
                index=index,
                expectation_type=expectation["type"],
                kwargs=_bound(expectation["kwargs"], values, parsed.name),
                written=_named(expectation["kwargs"]),
                severity=expectation.get("severity", "critical"),
                reference=parsed.meta.references.get(expectation["kwargs"].get("column", "")),
            )
            for index, expectation in enumerate(parsed.expectations)
        ]
        suite = cls(
            name=parsed.name,
            version=_digest(data),
            rules=rules,
            meta=parsed.meta,
            parameters=values,
            source=data,
        )
        suite._refuse_unsplittable()
        suite._refuse_misread()
        return suite

    def _refuse_unsplittable(self) -> None:
        for rule in self.quarantining:
            if not rule.splittable:
                raise UnsupportedExpectationError(
                    f"suite {self.name!r}, expectation {rule.index}: {rule.expectation_type} cannot be "
                    "written as a predicate on one row, so its rows cannot be quarantined: give it "
                    "severity 'warning', or use another expectation"
                )

    def _refuse_misread(self) -> None:
        for rule in self.rules:
            if not rule.splittable and rule.expectation_type not in METRICS:
                continue
            try:
                check(rule.expectation_type, rule.kwargs)
            except ContractError as error:
                raise UnsupportedExpectationError(
                    f"suite {self.name!r}, expectation {rule.index} ({rule.expectation_type}): {error}"
                ) from None

    @property
    def quarantining(self) -> list[Rule]:
        """The rules whose broken rows leave the table."""
        return [rule for rule in self.rules if rule.quarantines]

    def share_asked(self, rule: Rule, considered: int) -> float:
        """The share of good rows below which `rule` fails, for this number of considered rows.

        If rows are few, one is a large share already, and would stop all the others.
        """
        if not rule.quarantines:
            return rule.mostly
        return lowered(rule.mostly, considered, self.meta.tolerated_rows)


def _digest(data: Any) -> str:
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


# What Great Expectations' own parameters allow and we need: a name, or a name times a whole number.
_EXPRESSION = re.compile(r"^(?P<name>[A-Za-z_]\w*)(?: \* (?P<times>\d+))?$")


def _bound(value: Any, parameters: Parameters, suite: str) -> Any:
    """`value` with every {"$PARAMETER": "name"} or {"$PARAMETER": "name * 3"} in it replaced."""
    if isinstance(value, list):
        return [_bound(item, parameters, suite) for item in value]
    if not isinstance(value, dict):
        return value
    if "$PARAMETER" not in value:
        return {key: _bound(item, parameters, suite) for key, item in value.items()}
    expression = _EXPRESSION.match(value["$PARAMETER"])
    if expression is None:
        raise ContractError(
            f"suite {suite!r}: $PARAMETER {value['$PARAMETER']!r} is neither a name nor a name times a number"
        )
    name, times = expression["name"], expression["times"]
    if name not in parameters:
        raise ContractError(
            f"suite {suite!r} needs the parameter {name!r}: give it to the run or as meta.parameters.{name}"
        )
    given = parameters[name]
    if times is None:
        return given
    if isinstance(given, str):
        raise ContractError(f"suite {suite!r}: parameter {name!r} is multiplied, so it must be a number")
    return given * int(times)
