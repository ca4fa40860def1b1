"""Events are hints: a consumer reads what its own last account says it has not read, however often told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import set_current_context
from deltalake import DeltaTable
from ledger_tables import publish

from millstream.lake.tables import TableRef
from millstream_airflow.features import changed_inputs

GOLD = "gold.arrival_delay_features"
INPUTS = ["silver.flights", "silver.planes"]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    root = f"file://{tmp_path}/lake"
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", root)
    monkeypatch.delenv("MILLSTREAM_CODE_VERSION", raising=False)
    for table in INPUTS:
        publish(root, table, "r1", read=3)
    return root


def told(force: bool = False) -> dict[str, int]:
    """What a run does that an event of one of the inputs has started."""
    context: Any = {"params": {"force": force}}
    with set_current_context(context):
        versions: dict[str, int] = changed_inputs.function(GOLD, INPUTS)
    return versions


def test_a_doubled_event_is_a_run_that_does_nothing(lake: str) -> None:
    assert told() == {"silver.flights": 0, "silver.planes": 0}
    publish(lake, GOLD, "r2", read=3, inputs={"silver.flights": 0, "silver.planes": 0})
    with pytest.raises(AirflowSkipException, match="was already made from these rows"):
        told()
    assert told(force=True) == {"silver.flights": 0, "silver.planes": 0}


def test_the_next_event_makes_up_for_lost_ones(lake: str) -> None:
    publish(lake, GOLD, "r2", read=3, inputs={"silver.flights": 0, "silver.planes": 0})
    for run in ("r3", "r4"):
        publish(lake, "silver.flights", run, read=4)
    assert told() == {"silver.flights": 2, "silver.planes": 0}


def test_maintenance_of_an_input_is_nothing_new(lake: str) -> None:
    publish(lake, GOLD, "r2", read=3, inputs={"silver.flights": 0, "silver.planes": 0})
    flights = DeltaTable(TableRef.parse("silver.flights").uri(lake))
    flights.alter.set_table_properties({"delta.appendOnly": "false"})
    with pytest.raises(AirflowSkipException):
        told()
    publish(lake, "silver.planes", "r3", read=4)
    assert told() == {"silver.flights": 1, "silver.planes": 1}
