"""The search of a quarantine that has more reasons than a person reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import StringType, StructType

from millstream.jobs import find_quarantined
from millstream.publishing import quarantine
from millstream.transforms import table_of
from tests.support.chain import Chain, contract_of, small_suite

pytestmark = pytest.mark.spark

MALFORMED = "year: not a number: {}"
RECORD = '{"tailnum":"N4","year":"y"}'


@pytest.fixture
def chain(spark: SparkSession, tmp_path: Path) -> Chain:
    """Planes in quarantine: three of one reason, and one with that and a rare one; two with a reason each."""
    chain = Chain(spark, tmp_path, contract_of("planes"), small_suite())
    common = "seats in set [1]"
    reasons = [[common]] * 3 + [
        [common, MALFORMED.format("x")],
        [MALFORMED.format("y")],
        [MALFORMED.format("z")],
    ]
    columns = StructType([*table_of("planes").schema.fields]).add("_source_row_id", StringType())
    schema = quarantine.definition(chain.table, columns).schema
    rows: list[dict[str, Any]] = [
        {
            **dict.fromkeys(schema.fieldNames()),
            "tailnum": f"N{number}",
            "_reasons": told,
            "_malformed": [],
            "_source_row_id": f"f#{number}",
            "_source_record": RECORD if number == 4 else None,
            "_partition": "all",
            "_run": "r1",
        }
        for number, told in enumerate(reasons)
    ]
    frame = spark.createDataFrame([tuple(row.values()) for row in rows], schema)
    frame.coalesce(1).write.format("delta").save(chain.table.quarantine.uri(chain.root))
    return chain


def test_few_groups_are_all_told(chain: Chain) -> None:
    found = chain.find("q1")
    assert (found["rows"], len(found["groups"]), found["more_groups"], found["more_rows"]) == (6, 4, 0, 0)


@pytest.mark.parametrize(("most", "groups", "rows"), [(1, 3, 2), (2, 2, 2), (3, 1, 1), (4, 0, 0)])
def test_what_is_left_out_is_counted(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, most: int, groups: int, rows: int
) -> None:
    """Rows with a reason that is told are not among those that are left out."""
    monkeypatch.setattr(find_quarantined, "MOST_GROUPS", most)
    found = chain.find("q1")
    assert found["rows"] == 6
    assert len(found["groups"]) == most
    assert found["groups"][0] == {"partition": "all", "reason": "seats in set [1]", "rows": 4}
    assert (found["more_groups"], found["more_rows"]) == (groups, rows)


def test_rows_of_each_reason_are_shown(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = chain.find("q1")["examples"]
    assert [row["source_row_id"] for row in shown] == ["f#0", "f#4", "f#5", "f#1", "f#2", "f#3"]
    assert shown[1] == {
        "source_row_id": "f#4",
        "partition": "all",
        "reasons": [MALFORMED.format("y")],
        "values": {"tailnum": "N4"},
        "record": RECORD,
    }
    for name, value in (("MOST_EXAMPLES", 2), ("VALUE_LENGTH", 1), ("RECORD_LENGTH", 9)):
        monkeypatch.setattr(find_quarantined, name, value)
    first, second = chain.find("q1")["examples"]
    assert (first["values"], second["record"]) == ({"tailnum": "N\u2026"}, '{"tailnum\u2026')
