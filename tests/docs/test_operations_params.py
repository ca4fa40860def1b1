"""docs/operations.md tells every param of maintenance and every column of the ledger as the code has them."""

from __future__ import annotations

import re

from millstream.jobs.rebuild_ledger import SCHEMA
from millstream.settings import CHECKOUT
from millstream_airflow.maintenance import LEAST_HOURS, maintenance_dag

TEXT = (CHECKOUT / "docs" / "operations.md").read_text()


def section(name: str) -> str:
    return TEXT.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_every_param_is_there_with_its_default() -> None:
    shown = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", section("Maintenance"), re.MULTILINE))
    params = maintenance_dag().params.dump()
    assert shown == {name: str(value).lower() for name, value in params.items()}
    assert f"at least {LEAST_HOURS}" in section("Maintenance")


def test_every_column_of_the_ledger_is_there() -> None:
    named = re.findall(r"^\| (`.*`) \|", section("Ledger"), re.MULTILINE)
    assert [name for row in named for name in re.findall(r"`(\w+)`", row)] == SCHEMA.fieldNames()
