"""A dataset that is cut by hours, of files that say only by their folder which hour they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from millstream.lake import history
from tests.support.updates import chain_of

pytestmark = pytest.mark.spark

READINGS: dict[str, Any] = {
    "dataset": "readings",
    "source": {
        "kind": "files",
        "connection": "drop",
        "path": "meters/{partition}/*.csv",
        "format": "csv",
        "quiet_seconds": 0,
    },
    "load": "partition",
    "partition": {"grain": "hour", "start": "2024-02-29T22"},
    "columns": [{"name": "meter", "type": "int"}, {"name": "kwh", "type": "decimal(9,3)"}],
    "primary_key": ["hour", "meter"],
}
BEFORE, AFTER = "2024-02-29T23", "2024-03-01T00"


def test_an_hour_is_replaced_and_the_others_stay(spark: SparkSession, tmp_path: Path) -> None:
    chain = chain_of(spark, tmp_path, READINGS)
    for hour in (BEFORE, AFTER):
        chain.put(f"meters/{hour}/a.csv", "meter,kwh\n1,0.125\n2,0.250\n")
    chain.put(f"meters/{AFTER}/b.csv", "meter,kwh\n3,much\n4,0.500\n")
    result = chain.run("r1", [BEFORE, AFTER])
    assert (result["read"], result["written"], result["quarantined"]) == (6, 5, 1)
    assert chain.account().partitions.keys() == {BEFORE, AFTER}

    chain.put(f"meters/{AFTER}/b.csv", "meter,kwh\n3,0.375\n")
    chain.run("r2", [AFTER])
    rows = {(row["hour"], row["meter"], str(row["kwh"])) for row in chain.rows().collect()}
    assert rows == {
        *((hour, meter, kwh) for hour in (BEFORE, AFTER) for meter, kwh in ((1, "0.125"), (2, "0.250"))),
        (AFTER, 3, "0.375"),
    }
    assert chain.rows(chain.table.quarantine).isEmpty()
    present = history.read(chain.table, chain.root)
    assert present.now is not None
    assert list(present.now.partition_columns) == ["hour"]
    newest = {part: account.run for part, (account, _) in present.latest_by_partition().items()}
    assert newest == {BEFORE: "r1", AFTER: "r2"}
