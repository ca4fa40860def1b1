"""The index of validations: what is on it, of which table, and how it has gone."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from millstream.lake.storage import Storage, local_uri
from millstream.quality.docs_index import DATA_DOCS, Pages

RUN_PAGE = "dags/ingest_orders/runs/scheduled__2024-01-01T00%3A00%3A00%2B00%3A00"


def put(root: Path, table: str, number: int, **fields: Any) -> None:
    page = f"{table}/run_{number}-v0.html"
    entry = {
        "table": table, "run": f"run_{number}", "evaluated": 1000, "quarantined_rows": 0, "passed": True,
        "page": page, "warnings": 0, "alerts": 0, "time": f"2024-01-01 00:00:{number:02d}", **fields,
    }  # fmt: skip
    path = root / DATA_DOCS / page.replace(".html", ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entry))
    os.utime(path, (number, number))


def pages(root: Path) -> Pages:
    return Pages(Storage(local_uri(root)))


def listed(index: str) -> list[str]:
    return re.findall(r'href="([a-z.]+/run_\d+)-v0\.html"', index)


def test_an_index_of_one_table_has_its_validations_alone(tmp_path: Path) -> None:
    put(tmp_path, "silver.orders", 1)
    put(tmp_path, "gold.totals", 2)
    put(tmp_path, "silver.orders", 3)
    every = pages(tmp_path).index()
    assert listed(every) == ["silver.orders/run_3", "gold.totals/run_2", "silver.orders/run_1"]
    assert re.findall(r'href="index\.html\?table=([a-z.]+)"', every) == ["gold.totals", "silver.orders"]
    own = pages(tmp_path).index("silver.orders")
    assert listed(own) == ["silver.orders/run_3", "silver.orders/run_1"]
    assert "gold.totals" not in own


def test_a_table_that_there_is_not_has_none(tmp_path: Path) -> None:
    put(tmp_path, "silver.orders", 1)
    index = pages(tmp_path).index("<script>")
    assert "There is none yet of this table" in index
    assert "<script>" not in index
    assert "There is none yet:" in pages(tmp_path / "empty").index()


def test_the_trend_has_rows_and_shares_oldest_first(tmp_path: Path) -> None:
    for number, (rows, broken) in enumerate([(500, 0), (1000, 500), (250, 0), (0, 0)]):
        put(tmp_path, "silver.orders", number, evaluated=rows, quarantined_rows=broken)
    index = pages(tmp_path).index()
    assert "<title>500, 1000, 250, 0</title>" in index
    assert "<title>0.00%, 50.00%, 0.00%, 0.00%</title>" in index
    lines = re.findall(r'points="([^"]+)"', index)
    assert lines == ["0.0,12.0 40.0,0.0 80.0,18.0 120.0,24.0", "0.0,24.0 40.0,0.0 80.0,24.0 120.0,24.0"]


def test_a_run_is_linked_where_its_page_is_known(tmp_path: Path) -> None:
    put(tmp_path, "silver.orders", 1)
    assert "/runs/" not in pages(tmp_path).index()
    put(tmp_path, "silver.orders", 2, run_page=RUN_PAGE)
    assert f'<a href="../../{RUN_PAGE}">run_<wbr>2</a>' in pages(tmp_path).index()


def test_names_are_folded_at_their_joints(tmp_path: Path) -> None:
    put(tmp_path, "silver.arrival_delay_features", 1)
    assert ">silver.<wbr>arrival_<wbr>delay_<wbr>features</a>" in pages(tmp_path).index()
