"""What Great Expectations says about an exception may quote data: pages show it as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from great_expectations.core.expectation_validation_result import ExpectationValidationResult

from millstream.contracts.documents import read_json
from millstream.lake.storage import Storage
from millstream.quality.data_docs import publish
from millstream.quality.docs_index import Pages
from millstream.quality.suite import Suite
from millstream.quality.validation import Finding, configured
from millstream.quality.verdict import RuleVerdict, Verdict, page_name
from millstream.settings import CHECKOUT

EVIL = "<form action='http://evil.invalid'><button>Log in</button></form>"
SHOWN = EVIL.replace("<", "&lt;").replace(">", "&gt;")
RAISED = {
    "raised_exception": True,
    "exception_message": f"CAST_INVALID_INPUT {EVIL}",
    "exception_traceback": f"Traceback: {EVIL}",
}


@pytest.mark.parametrize("info", [RAISED, {"('a metric', 'of a column')": RAISED}])
def test_an_exception_is_shown_as_text_and_no_form_is_sent(tmp_path: Path, info: dict[str, Any]) -> None:
    suite = Suite.from_dict(read_json(CHECKOUT / "expectations" / "airports.json"))
    rule = suite.rules[0]
    result = ExpectationValidationResult(
        success=False, expectation_config=configured(suite)[rule.index], result={}, exception_info=info
    )
    verdict = Verdict(
        table="silver.airports",
        suite=suite.name,
        suite_version="1",
        run="r1",
        staged_version=0,
        evaluated=1,
        quarantined_rows=0,
        passed=False,
        reason="failed",
        rules=[
            RuleVerdict(
                index=rule.index,
                label=rule.label,
                expectation_type="an expectation",
                severity="critical",
                level="row",
                success=False,
                action="block",
            )
        ],
        docs_page=page_name("silver.airports", "r1", 0),
    )
    storage = Storage(f"file://{tmp_path}")
    publish(storage, verdict, [Finding(False, None, None, None, None, result)])
    pages = Pages(storage)
    page = (pages.page(str(verdict.docs_page)) or b"").decode()
    assert "<form" not in page
    text = page.replace("&#39;", "'").replace("&#x27;", "'")
    assert f"CAST_INVALID_INPUT {SHOWN}" in text
    assert f"Traceback: {SHOWN}" in text
    for shown in (page, pages.index()):
        assert "form-action 'none'" in shown
