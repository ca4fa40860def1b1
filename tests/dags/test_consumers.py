"""Events are hints: a consumer reads what its own last account says it has not read, however often told."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import set_current_context
from deltalake import DeltaTable

from millstream.errors import ConfigurationError
from millstream.features import feature_table
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.run import Landing, in_memory
from millstream.ml.spec import TimeSplit
from millstream_airflow import catalog
from millstream_airflow.pipelines import ingest
from millstream_airflow.pipelines import models as model_dags
from millstream_airflow.pipelines.features import changed_inputs
from tests.support.ledger_tables import publish
from tests.support.noted_task import NotedTask

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
    context: Any = {"params": {"force": force}, "ti": NotedTask()}
    with set_current_context(context):
        versions: dict[str, int] = changed_inputs.function(GOLD, INPUTS)
    return versions


def test_a_doubled_event_is_a_run_that_does_nothing(lake: str) -> None:
    assert told() == {"silver.flights": 0, "silver.planes": 0}
    publish(lake, GOLD, "r2", read=3, inputs={"silver.flights": 0, "silver.planes": 0})
    with pytest.raises(AirflowSkipException, match="was already made from these rows"):
        told()
    assert told(force=True) == {"silver.flights": 0, "silver.planes": 0}


def test_new_flights_reach_the_features_with_their_statistics() -> None:
    """Not twice: first with the statistics of the flights before, then with theirs."""
    declared = feature_table("arrival_delay_features")
    assert "silver.flights" in declared.inputs
    assert set(declared.triggers) == {*declared.inputs} - {"silver.flights"}
    assert feature_table("route_delay_statistics").triggers == ("silver.flights",)


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


def test_features_that_somebody_has_put_back_to_an_earlier_version_are_made_again(lake: str) -> None:
    inputs = {"silver.flights": 0, "silver.planes": 0}
    for run in ("r2", "r3"):
        publish(lake, GOLD, run, read=3, inputs=inputs)
    DeltaTable(TableRef.parse(GOLD).uri(lake)).restore(0)
    assert told() == inputs


def test_training_is_done_again_where_the_registry_has_not_the_version_that_the_lake_knows(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> int:
        context: Any = {"params": {"force": False}, "ti": NotedTask()}
        with set_current_context(context):
            version: int = model_dags.check_training_input.function("arrival_delay")
        return version

    publish(lake, GOLD, "r2", read=3)
    latest = {"version": 4, "input_version": 0, "code_version": catalog.code_version()}
    Storage(lake).write("models/arrival_delay/latest.json", json.dumps(latest).encode())
    known = ("arrival_delay", 4)
    monkeypatch.setattr(model_dags, "has_version", lambda *asked: asked == known)
    with pytest.raises(AirflowSkipException, match="version 4 was already trained"):
        asked()
    monkeypatch.setattr(model_dags, "has_version", lambda name, version: False)
    assert asked() == 0


def test_training_by_an_event_waits_for_rows_of_each_part(lake: str) -> None:
    """As when a few months of many are there. Asked for by hand, it is tried and ends with an error."""
    ti = NotedTask()

    def asked(run_type: str) -> int:
        run = SimpleNamespace(run_type=run_type)
        context: Any = {"params": {"force": False}, "ti": ti, "dag_run": run}
        with set_current_context(context):
            version: int = model_dags.check_training_input.function("arrival_delay")
        return version

    def add(*months: str) -> None:
        for month in months:
            publish(lake, GOLD, month, read=3, partition=month)

    add("2013-01", "2013-07")
    with pytest.raises(AirflowSkipException, match="no rows for validate, test yet"):
        asked("asset_triggered")
    assert ti.lines
    assert asked("manual") == history.read(TableRef.parse(GOLD), lake).version
    add("2013-08", "2013-10")
    assert asked("asset_triggered") == history.read(TableRef.parse(GOLD), lake).version


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        (["2013-01"], ["validate", "test"]),
        (["2013-01", "2013-08"], ["test"]),
        (["2013-01", "2013-08", None], []),
        (["2013-01", "2013-08", "2013-10"], []),
        # Of these it cannot be said here: the fit counts.
        ([1, 2], []),
    ],
)
def test_parts_of_a_split_by_time_that_have_no_row(values: list[object], missing: list[str]) -> None:
    assert TimeSplit("month", "2013-07", "2013-09").parts_without(values) == missing


def test_a_split_by_time_without_a_part_for_validation_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="validate_until has to come after train_until"):
        TimeSplit("month", "2013-09", "2013-09")


def to_score() -> dict[str, Any]:
    """What a run of the scoring DAG is to do."""
    context: Any = {"params": {"force": False}, "ti": NotedTask()}
    with set_current_context(context):
        answer: dict[str, Any] = model_dags.check_scoring_input.function("arrival_delay")
    return answer


def test_scoring_without_a_champion_says_why_there_is_none(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(lake, GOLD, "r2", read=3)
    monkeypatch.setattr(model_dags, "champion_version", lambda name: None)
    with pytest.raises(AirflowSkipException, match="has no champion yet: run train_arrival_delay"):
        to_score()
    reason = "test AUC-ROC 0.4996, 95 % interval 0.4950 to 0.5040, does not lie above 0.5"
    latest = {"version": 1, "alias": None, "reason": reason}
    Storage(lake).write("models/arrival_delay/latest.json", json.dumps(latest).encode())
    with pytest.raises(AirflowSkipException, match=f"no champion: version 1 was not promoted: {reason}"):
        to_score()


def test_scoring_skips_when_every_month_is_of_these_rows_and_this_model(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scored(partition: str, model: int) -> None:
        inputs = {GOLD: 1, "model.arrival_delay": model}
        publish(lake, "gold.arrival_delay_predictions", "r3", read=3, partition=partition, inputs=inputs)

    monkeypatch.setattr(model_dags, "champion_version", lambda name: 2)
    for month in ("2013-01", "2013-02"):
        publish(lake, GOLD, "r2", read=3, partition=month)
    scored("2013-01", model=2)
    assert to_score()["load"] == "full", "the other month has not been scored"
    for month in ("2013-01", "2013-02"):
        scored(month, model=1)
    scored("2013-01", model=2)
    assert (to_score()["model_version"], to_score()["load"]) == (2, "full")
    scored("2013-02", model=2)
    with pytest.raises(AirflowSkipException, match="was already made from these rows by this model"):
        to_score()


def test_a_run_by_watermark_that_is_cleared_starts_where_it_did(lake: str) -> None:
    def starts(run: str, full_refresh: bool = False) -> str | None:
        context: Any = {"params": {"full_refresh": full_refresh}, "dag_run": SimpleNamespace(run_id=run)}
        return ingest._watermark(catalog.contract("weather"), context)

    def ingested(run: str, watermark: str) -> None:
        landing = Landing(Storage(lake), "weather", run)
        file = landing.land(run, f"{run}.json", in_memory(run.encode()), watermark=watermark)
        landing.commit([], [file], watermark_low=starts(run))
        publish(lake, "silver.weather", run, read=1, watermark=watermark)

    assert starts("first") is None
    ingested("first", "2013-01-01")
    ingested("second", "2013-02-01")
    assert [starts(run) for run in ("first", "second", "third")] == [None, "2013-01-01", "2013-02-01"]
    assert starts("second", full_refresh=True) is None
