"""A verdict's page: what Great Expectations' report would say wrongly of ours is not on it."""

from __future__ import annotations

import re
from pathlib import Path

from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from millstream.lake.storage import Storage, local_uri
from millstream.quality import data_docs
from millstream.quality.docs_index import DATA_DOCS
from millstream.quality.validation import Finding
from millstream.quality.verdict import RuleVerdict, Verdict, page_name

KIND = "expect_column_values_to_not_be_null"


def page_of(root: Path) -> str:
    """The page of a passed verdict with one rule."""
    page = page_name("silver.things", "r1", 7)
    rule = RuleVerdict(
        index=0, label="name is not null", expectation_type=KIND, severity="critical", level="row",
        success=True, considered=3, action="ok",
    )  # fmt: skip
    verdict = Verdict(
        table="silver.things", suite="things", suite_version="0123456789ab", run="r1", staged_version=7,
        evaluated=3, quarantined_rows=0, passed=True, reason="1 rule on 3 rows", rules=[rule], docs_page=page,
    )  # fmt: skip
    result = ExpectationValidationResult(
        success=True,
        expectation_config=ExpectationConfiguration(type=KIND, kwargs={"column": "name"}),
        result={"element_count": 3, "unexpected_count": 0, "unexpected_percent": 0.0},
        exception_info={"raised_exception": False},
    )
    finding = Finding(success=True, broken=0, considered=3, observed=None, error=None, result=result)
    storage = Storage(local_uri(root))
    data_docs.publish(storage, verdict, [finding])
    return storage.read(f"{DATA_DOCS}/{page}").decode()


def test_the_report_names_no_asset_and_no_suite_of_great_expectations(tmp_path: Path) -> None:
    """Its head would say `Data asset: None`, and link a page of the suite that nobody writes."""
    page = page_of(tmp_path)
    assert "Data asset" not in page
    assert "None" not in re.sub(r"<[^>]+>", " ", page)
    # The index, which is made on request.
    assert re.findall(r'href="([^"#]+)"', page) == ["../index.html", "../index.html?table=silver.things"]
    # What it says of each column stays.
    assert "values must never be null" in page
