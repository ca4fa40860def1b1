"""Great Expectations' verdict on counted rows. Importing this module costs seconds.

An expectation asks for metrics and decides from their values. `counting` supplies them; an expectation that
needs others is evaluated by Great Expectations itself, on the same frame.
"""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame

from millstream.errors import ContractError, without_stack
from millstream.quality.counting import Counts
from millstream.quality.examples import WANTED
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
from great_expectations.util import convert_to_json_serializable

# Of what Great Expectations says of a rule that it could not evaluate.
LONGEST_ERROR = 400


@dataclass(frozen=True)
class Finding:
    """Great Expectations' result for one rule; `broken` and `considered` only for row-level rules."""

    success: bool
    broken: int | None
    considered: int | None
    observed: Any
    error: str | None
    result: ExpectationValidationResult


def configured(suite: Suite) -> dict[int, ExpectationConfiguration]:
    """The rules as Great Expectations' configurations, by rule index.

    Raises:
        ContractError: Great Expectations does not accept one of them.
    """
    return {rule.index: _configuration(rule, suite.name) for rule in suite.rules}


def decide(
    frame: DataFrame,
    suite: Suite,
    configurations: dict[int, ExpectationConfiguration],
    counts: Counts,
    examples: dict[int, list[Any]],
) -> dict[int, Finding]:
    """Great Expectations' verdict on each rule of `suite`, by rule index.

    `frame` has the rows that the rules judge, `counts` are of them, `examples` values of them that break a
    rule.
    """
    asked = {rule.index: _asking(configurations[rule.index], rule, suite, counts) for rule in suite.rules}
    results = {}
    for rule in suite.rules:
        answers = _answers(rule, asked[rule.index], counts, examples.get(rule.index, []))
        if (decided := _decided(asked[rule.index], answers)) is not None:
            results[rule.index] = decided
    others = [configuration for index, configuration in asked.items() if index not in results]
    if others:
        results.update(_by_rule(_evaluated(frame, others)))
    return {rule.index: _finding(results[rule.index], rule) for rule in suite.rules}


def _asking(
    configuration: ExpectationConfiguration, rule: Rule, suite: Suite, counts: Counts
) -> ExpectationConfiguration:
    """The configuration with the share that the suite requires for this number of rows."""
    considered = counts.considered.get(rule.index, 0)
    share = suite.share_asked(rule, considered)
    if share == rule.mostly:
        return configuration
    relaxed = deepcopy(configuration)
    relaxed.kwargs["mostly"] = share
    return relaxed


def _answers(
    rule: Rule, configuration: ExpectationConfiguration, counts: Counts, examples: list[Any]
) -> dict[str, Any]:
    """Values of Great Expectations' metrics that follow from `counts`, by their names."""
    if not rule.splittable:
        # As its own Spark engine hands them out: decimals as doubles, dates and times as text.
        metrics = counts.metrics.get(rule.index, {})
        return {name: convert_to_json_serializable(value) for name, value in metrics.items()}
    expectation: Any = configuration.to_domain_obj()
    metric = expectation.map_metric
    selected, considered = counts.selected[rule.index], counts.considered[rule.index]
    return {
        "table.row_count": selected,
        "column_values.nonnull.unexpected_count": selected - considered,
        f"{metric}.unexpected_count": counts.broken[rule.index],
        f"{metric}.filtered_row_count": considered,
        f"{metric}.unexpected_values": examples,
        # Positions of rows, and a query for them: Great Expectations has neither on Spark.
        f"{metric}.unexpected_index_list": None,
        f"{metric}.unexpected_index_query": None,
    }


def _decided(
    configuration: ExpectationConfiguration, answers: dict[str, Any]
) -> ExpectationValidationResult | None:
    """The expectation's own verdict on `answers`; None if it needs to know more, or fails on them."""
    expectation = configuration.to_domain_obj()
    needed = expectation.get_validation_dependencies().metric_configurations
    if not needed.keys() <= answers.keys():
        return None
    try:
        return expectation.metrics_validate({metric.id: answers[name] for name, metric in needed.items()})
    except Exception:
        # It fails again where Great Expectations evaluates it, and there becomes a finding.
        return None


def _evaluated(
    frame: DataFrame, configurations: list[ExpectationConfiguration]
) -> list[ExpectationValidationResult]:
    """Evaluated by Great Expectations, in one graph so that aggregates share jobs.

    `frame` is not persisted: Great Expectations would never release it.
    """
    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            # Otherwise every context leaves a temporary folder for Data Docs.
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            progress_bars=ProgressBarsConfig(globally=False),
        ),
    )
    source = context.data_sources.add_spark("staged", persist=False)
    whole = source.add_dataframe_asset("staged").add_batch_definition_whole_dataframe("all")
    request = whole.build_batch_request(batch_parameters={"dataframe": frame})
    return context.get_validator(batch_request=request).graph_validate(
        configurations=configurations,
        runtime_configuration={"catch_exceptions": True},
    )


def _configuration(rule: Rule, suite: str) -> ExpectationConfiguration:
    configuration = ExpectationConfiguration(
        type=rule.expectation_type,
        kwargs={
            **rule.kwargs,
            "result_format": {"result_format": "SUMMARY", "partial_unexpected_count": WANTED},
        },
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
    result.expectation_config.kwargs.pop("mostly", None)
    result.expectation_config.kwargs.update(rule.kwargs)
    details = result.result or {}
    considered = details.get("element_count")
    if considered is not None and details.get("missing_count") is not None:
        considered -= details["missing_count"]
    return Finding(
        success=bool(result.success),
        broken=details.get("unexpected_count"),
        considered=considered,
        observed=details.get("observed_value"),
        error=_error(result),
        result=result,
    )


def _error(result: ExpectationValidationResult) -> str | None:
    info = result.exception_info or {}
    raised = [info] if "raised_exception" in info else list(info.values())
    messages = [str(part.get("exception_message")) for part in raised if part.get("raised_exception")]
    return " ".join(without_stack(messages[0]).split())[:LONGEST_ERROR] if messages else None
