"""Great Expectations, run on a Spark DataFrame without caching it. Importing this module costs seconds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from pyspark.sql import DataFrame

from millstream.errors import ContractError
from millstream.quality.suite import Rule, Suite

# Read when the package is imported; nothing phones home from a data platform.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metadata_types import FailureSeverity

# How much is asked about a rule. "none_broken" asks whether no row at all breaks it, whatever `mostly`
# allows, and rides in the job that all rules share; counts cost a query plan a rule, examples a job.
Detail = Literal["none_broken", "counts", "examples"]
_FORMATS: dict[Detail, dict[str, str | int]] = {
    "none_broken": {"result_format": "BOOLEAN_ONLY"},
    "counts": {"result_format": "BASIC", "partial_unexpected_count": 0},
    "examples": {"result_format": "SUMMARY", "partial_unexpected_count": 20},
}


@dataclass(frozen=True)
class Finding:
    """What Great Expectations found for one rule; `broken` and `considered` only where it was asked."""

    success: bool
    broken: int | None
    considered: int | None
    observed: Any
    error: str | None
    result: ExpectationValidationResult


def validate(frame: DataFrame, suite: Suite, details: dict[int, Detail]) -> dict[int, Finding]:
    """Evaluate each rule of `suite` once, in the detail asked for by its index.

    All rules go into one graph, so that their aggregates share one job per domain. `frame` is not
    persisted: Great Expectations would never release it.

    Returns: findings by rule index.

    Raises:
        ContractError: Great Expectations does not take one of the rules.
    """
    configurations = [_configuration(rule, details[rule.index], suite.name) for rule in suite.rules]
    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            # Otherwise every context leaves a temporary folder for Data Docs that nobody asked for.
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            progress_bars=ProgressBarsConfig(globally=False),
        ),
    )
    source = context.data_sources.add_spark("staged", persist=False)
    whole = source.add_dataframe_asset("staged").add_batch_definition_whole_dataframe("all")
    request = whole.build_batch_request(batch_parameters={"dataframe": frame})
    results = context.get_validator(batch_request=request).graph_validate(
        configurations=configurations,
        runtime_configuration={"catch_exceptions": True},
    )
    return {index: _finding(result, suite.rules[index]) for index, result in _by_rule(results).items()}


def _configuration(rule: Rule, detail: Detail, suite: str) -> ExpectationConfiguration:
    strict = {"mostly": 1.0} if detail == "none_broken" and "mostly" in rule.kwargs else {}
    configuration = ExpectationConfiguration(
        type=rule.expectation_type,
        kwargs={**rule.kwargs, **strict, "result_format": _FORMATS[detail]},
        severity=FailureSeverity(rule.severity),
        # Results come back in another order; the number says which rule each belongs to.
        meta={"rule": rule.index},
    )
    try:
        configuration.to_domain_obj()
    except Exception as error:
        raise ContractError(
            f"suite {suite!r}, expectation {rule.index}: Great Expectations does not take "
            f"{rule.expectation_type} with {rule.kwargs}: {' '.join(str(error).split())}"
        ) from error
    return configuration


def _by_rule(results: list[ExpectationValidationResult]) -> dict[int, ExpectationValidationResult]:
    numbered = {}
    for result in results:
        assert result.expectation_config is not None
        assert result.expectation_config.meta is not None
        numbered[int(result.expectation_config.meta["rule"])] = result
    return numbered


def _finding(result: ExpectationValidationResult, rule: Rule) -> Finding:
    assert result.expectation_config is not None
    # Data Docs shows the rule as it is written.
    result.expectation_config.kwargs.update(rule.kwargs)
    found = result.result or {}
    considered = found.get("element_count")
    if considered is not None and found.get("missing_count") is not None:
        considered -= found["missing_count"]
    return Finding(
        success=bool(result.success),
        broken=found.get("unexpected_count"),
        considered=considered,
        observed=found.get("observed_value"),
        error=_error(result),
        result=result,
    )


def _error(result: ExpectationValidationResult) -> str | None:
    info = result.exception_info or {}
    raised = [info] if "raised_exception" in info else list(info.values())
    messages = [str(part.get("exception_message")) for part in raised if part.get("raised_exception")]
    return messages[0] if messages else None
