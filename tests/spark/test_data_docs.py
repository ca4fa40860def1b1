"""Data Docs: pages that need no network, show values as text, and survive writers side by side."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from millstream.lake.storage import Storage
from millstream.quality import data_docs
from millstream.quality.docs_index import DATA_DOCS, Pages
from millstream.quality.gate import run_gate
from millstream.quality.suite import Suite
from millstream.quality.validation import Finding
from millstream.quality.verdict import Verdict, page_name

pytestmark = pytest.mark.spark

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> tuple[Verdict, list[Finding]]:
    frame = spark.createDataFrame([(1, EVIL), (2, "fine")], "id int, name string").coalesce(1)
    suite = Suite.from_dict(
        {
            "name": "things",
            "expectations": [
                {
                    "type": "expect_column_values_to_be_in_set",
                    "kwargs": {"column": "name", "value_set": [EVIL[:3]]},
                },
                {
                    "type": "expect_column_distinct_values_to_be_in_set",
                    "kwargs": {"column": "name", "value_set": ["fine"]},
                },
            ],
        }
    )
    return run_gate(frame, suite, table="silver.things", run="r1", staged_version=7)


def publish(root: Path, judged: tuple[Verdict, list[Finding]], run: str) -> str:
    verdict, findings = judged
    page = page_name(verdict.table, run, verdict.staged_version)
    named = verdict.model_copy(update={"run": run, "docs_page": page})
    data_docs.publish(Storage(f"file://{root}"), named, findings)
    return (root / DATA_DOCS / page).read_text()


def test_a_page_shows_values_as_text_and_loads_nothing(
    tmp_path: Path, judged: tuple[Verdict, list[Finding]]
) -> None:
    page = publish(tmp_path, judged, "r1")
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert re.findall(r"""(?:src|href)=["']https?:""", page) == []
    assert "default-src 'none'" in page
    assert '<span class="badge failed">failed</span>' in page


def test_what_is_beyond_its_allowance_looks_otherwise_than_what_is_within(
    tmp_path: Path, judged: tuple[Verdict, list[Finding]]
) -> None:
    verdict, findings = judged
    first, second = verdict.rules
    warned = {"severity": "warning", "action": "warn", "level": "row"}
    within = first.model_copy(update={**warned, "success": True})
    beyond = first.model_copy(update={**warned, "success": False})
    missing = second.model_copy(update={**warned, "success": False, "missing": f"not there: {EVIL}"})
    for rules, word in (
        ([within], "passed"),
        ([within, beyond], "passed with warnings"),
        ([missing], "passed with warnings"),
    ):
        passed = verdict.model_copy(update={"passed": True, "rules": rules})
        page = publish(tmp_path, (passed, findings), "r1")
        assert f'<span class="badge {word.replace(" ", "-")}">{word}</span>' in page
        entry = Pages(Storage(f"file://{tmp_path}")).index()
        assert f'<span class="badge {word.replace(" ", "-")}">{word}</span>' in entry
        told = [f">{rule.word}</span>" in page for rule in (within, beyond, missing)]
        assert told == [rule in rules for rule in (within, beyond, missing)]
    assert "not there: &lt;script&gt;" in page


def test_writers_side_by_side_are_all_in_the_index(
    tmp_path: Path, judged: tuple[Verdict, list[Finding]]
) -> None:
    runs = [f"run-{number}" for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda run: publish(tmp_path, judged, run), runs))
    index = Pages(Storage(f"file://{tmp_path}")).index()
    assert sorted(re.findall(r'href="silver\.things/(run-\d)-v7\.html"', index)) == runs
    assert list(tmp_path.rglob("*.part")) == []
