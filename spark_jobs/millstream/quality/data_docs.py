"""Data Docs: one static page for each validation; `docs_index` lists them.

The report on a page is rendered by Great Expectations; the frame around it is ours, because Great
Expectations' own page loads scripts and styles from a dozen hosts and prints values unescaped. Pages need no
script and no network.
"""

from __future__ import annotations

import html
import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view.view import DefaultJinjaPageView
from jinja2 import ChoiceLoader

from millstream.lake.storage import Storage
from millstream.quality.allowance import percent
from millstream.quality.docs_index import DATA_DOCS, templates
from millstream.quality.validation import Finding
from millstream.quality.verdict import Verdict


def publish(storage: Storage, verdict: Verdict, findings: list[Finding], chart: str = "") -> None:
    """Write the page `verdict.docs_page`, with the `chart` (SVG), to the lake's Data Docs, and beside it its
    entry of the index."""
    if verdict.docs_page is None:
        raise ValueError("the verdict names no page")
    page = f"{DATA_DOCS}/{verdict.docs_page}"
    storage.write(page, _page(verdict, findings, chart).encode())
    storage.write(f"{page.removesuffix('.html')}.json", _entry(verdict).encode())


def _page(verdict: Verdict, findings: list[Finding], chart: str) -> str:
    failed = sum(not finding.success for finding in findings)
    suite_result = ExpectationSuiteValidationResult(
        success=not failed,
        suite_name=verdict.suite,
        results=[_escaped(finding.result) for finding in findings],
        statistics={
            "evaluated_expectations": len(findings),
            "successful_expectations": len(findings) - failed,
            "unsuccessful_expectations": failed,
            "success_percent": 100 * (len(findings) - failed) / len(findings) if findings else 100.0,
        },
        meta={"run_id": {"run_name": verdict.run, "run_time": datetime.now(UTC).isoformat()}},
    )
    document = ValidationResultsPageRenderer().render(suite_result)
    view = DefaultJinjaPageView()
    assert view.env.loader is not None
    view.env.loader = ChoiceLoader([templates(), view.env.loader])
    more = {"verdict": verdict, "percent": percent, "chart": chart}
    return str(view.render(document, template="page.j2", **more))  # type: ignore[no-untyped-call]


def _escaped(result: ExpectationValidationResult) -> ExpectationValidationResult:
    """A copy whose example values and traces of exceptions are HTML-escaped: Great Expectations prints them
    as they are. It escapes the messages of exceptions itself."""
    copy = deepcopy(result)
    for name in ("partial_unexpected_list", "partial_unexpected_counts", "observed_value"):
        if name in (copy.result or {}):
            copy.result[name] = _escape(copy.result[name])
    copy.exception_info = _with_traces_escaped(copy.exception_info or {})
    return copy


def _with_traces_escaped(info: dict[str, Any]) -> dict[str, Any]:
    """`exception_info` is that of one exception, or of several by the metrics that they were raised for."""
    return {
        name: _with_traces_escaped(item)
        if isinstance(item, dict)
        else _escape(item)
        if name == "exception_traceback"
        else item
        for name, item in info.items()
    }


def _escape(value: Any) -> Any:
    match value:
        case str():
            return html.escape(value)
        case dict():
            return {key: _escape(item) for key, item in value.items()}
        case list() | tuple():
            return [_escape(item) for item in value]
        case _:
            return value


def _entry(verdict: Verdict) -> str:
    kept = verdict.model_dump(
        mode="json", include={"table", "run", "evaluated", "quarantined_rows", "passed", "run_page"}
    )
    time = datetime.now(UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    warnings = {"warnings": len(verdict.warnings), "alerts": len(verdict.alerts)}
    return json.dumps({**kept, "page": verdict.docs_page, **warnings, "time": time})
