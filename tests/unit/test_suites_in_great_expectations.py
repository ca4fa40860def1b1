"""The suites are plain Great Expectations: it loads them by itself and fills in their parameters as we do."""

from __future__ import annotations

import json
from typing import Any

import great_expectations as gx
import pandas as pd
import pytest

from millstream.quality.suite import Suite
from millstream.settings import CHECKOUT

SUITES = sorted((CHECKOUT / "expectations").glob("*.json"))


def load(path: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_great_expectations_loads_the_suite(path: Any) -> None:
    data = load(path)
    theirs = gx.ExpectationSuite(**data)
    assert [expectation.expectation_type for expectation in theirs.expectations] == [
        expectation["type"] for expectation in data["expectations"]
    ]
    assert [expectation.severity for expectation in theirs.expectations] == [
        rule.severity for rule in Suite.from_dict(data).rules
    ]


def test_great_expectations_fills_in_parameters_as_we_do() -> None:
    data = {
        "name": "things",
        "expectations": [
            {
                "type": "expect_table_row_count_to_be_between",
                "kwargs": {"min_value": {"$PARAMETER": "days * 4"}, "max_value": {"$PARAMETER": "most"}},
            }
        ],
    }
    parameters = {"days": 2, "most": 9}
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("things").add_dataframe_asset("things")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
        batch_parameters={"dataframe": pd.DataFrame({"x": range(8)})}
    )
    result = batch.validate(gx.ExpectationSuite(**data), expectation_parameters=parameters)
    (found,) = result.results
    kwargs = found.expectation_config.kwargs
    assert found.success
    assert {name: kwargs[name] for name in ("min_value", "max_value")} == {"min_value": 8, "max_value": 9}
    assert Suite.from_dict(data, parameters).rules[0].kwargs == {"min_value": 8, "max_value": 9}
