"""docs/reading.md: each of its readers reads a table that was published here."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from millstream.settings import CHECKOUT
from tests.support.chain import Chain

PAGE = CHECKOUT / "docs" / "reading.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
# The last one asks the stack's server: tests/connect/test_reading_over_connect.py.
PLAIN = EXAMPLES[:-1]


@pytest.mark.spark
@pytest.mark.parametrize("code", PLAIN, ids=["pandas", "polars", "duckdb", "version"])
def test_an_example_reads_what_was_published(published: Chain, code: str) -> None:
    lake = published.root.removeprefix("file://")
    assert ".millstream/lake/silver/flights" in code
    scope: dict[str, Any] = {}
    exec(code.replace(".millstream/lake", lake), scope)
    rows = published.rows().select("carrier", "dep_delay_min").collect()
    delays: dict[str, list[float]] = {}
    for row in rows:
        delays.setdefault(row["carrier"], []).extend([] if row[1] is None else [row[1]])
    means = {carrier: sum(some) / len(some) if some else None for carrier, some in delays.items()}
    match scope:
        case {"late": late}:
            assert dict(late.rows()) == means
        case {"rows": found}:
            assert dict(found) == means
        case {"frame": frame}:
            assert sorted(frame["carrier"]) == sorted(row["carrier"] for row in rows)
        case {"before": before}:
            assert len(before) == len(rows)
        case _:
            raise AssertionError(f"an example without a result: {code}")


@pytest.mark.spark
def test_a_time_of_any_year_is_read_by_others_too(spark: SparkSession, tmp_path: Path) -> None:
    """A typing error, as 3013 for 2013, would else make the whole table unreadable to all but Spark."""
    times = ["1582-10-14 00:00:00", "2013-01-01 05:00:00", "9999-12-31 23:59:59.123456"]
    rows = spark.createDataFrame([(one,) for one in times], "at string")
    rows.selectExpr("cast(at AS timestamp) AS at").write.format("delta").save(str(tmp_path / "table"))
    read = DeltaTable(tmp_path / "table").to_pyarrow_table()["at"].to_pylist()
    assert sorted(read) == [datetime.fromisoformat(one).replace(tzinfo=UTC) for one in times]
