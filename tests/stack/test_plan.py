"""`make plan`: what it says of each kind of DAG, on a lake with real table histories and without a stack."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from pyspark.sql.pandas.types import to_arrow_schema
from rich.console import Console

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError
from millstream.lake import history
from millstream.lake.staging import SOURCE_ROW_ID
from millstream.lake.tables import TableRef
from millstream.marts import load_mart
from millstream.ml.mlflow_api import MlflowApi
from millstream.quality.suite import Suite
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT, Settings
from millstream.transforms import table_of
from millstream_stack.commands.plan import Touch, plan_of, show_plan
from millstream_stack.credentials import load_or_create
from tests.support import ledger_tables
from tests.support.ledger_tables import write

DATASETS = ("flights", "weather", "planes", "airports", "airlines")
FEATURES = "gold.arrival_delay_features"


def columns_of(table: str) -> pa.Schema:
    """As publishing by the present code would make them."""
    made = to_arrow_schema(table_of(table.partition(".")[2]).schema, timezone="UTC")
    fields = [field.with_nullable(True) for field in made if field.name != SOURCE_ROW_ID]
    return pa.schema([*fields, pa.field(SOURCE_ROW_ID, pa.string())])


def publish(root: str, table: str, run: str, **account: Any) -> None:
    ledger_tables.publish(root, table, run, schema=columns_of(table), **account)


def recorded(dataset: str, **changes: Any) -> dict[str, Any]:
    """What the table's history would have of the present contract, with `changes`."""
    contract = Contract.load_file(CHECKOUT / "dags" / "datasets" / f"{dataset}.yaml")
    return {**contract.schema_in_short(), **changes}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", lake_root=f"file://{tmp_path}/lake")


@pytest.fixture
def lake(settings: Settings) -> str:
    """Two months of flights, the other tables, and the features made from all five."""
    root = settings.lake_root
    publish(root, "silver.flights", "r1", read=9, partition="2013-01", contract=recorded("flights"))
    publish(root, "silver.flights", "r2", read=4, partition="2013-02", contract=recorded("flights"))
    for dataset in DATASETS[1:]:
        publish(root, f"silver.{dataset}", "r3", read=2, contract=recorded(dataset))
    inputs = {f"silver.{dataset}": 0 for dataset in DATASETS}
    publish(root, FEATURES, "r4", read=9, partition="2013-01", inputs=inputs)
    return root


def touched(settings: Settings, dag_id: str, partitions: str = "") -> dict[str, Touch]:
    return {str(touch.table): touch for touch in plan_of(settings, dag_id, partitions).tables}


def printed(settings: Settings, dag_id: str, partitions: str = "") -> tuple[bool, str]:
    screen = io.StringIO()
    fine = show_plan(settings, dag_id, partitions, Console(file=screen, width=200))
    return fine, screen.getvalue()


def test_an_ingest_of_months(settings: Settings, lake: str) -> None:
    plan = plan_of(settings, "ingest_flights", "2013-02:2013-03")
    found = {str(touch.table): (touch.action, touch.version) for touch in plan.tables}
    assert found == {
        "silver.airlines": ("reads", 0),
        "silver.airports": ("reads", 0),
        "silver.planes": ("reads", 0),
        "bronze.flights": ("replaces these partitions, of whichever run", None),
        "silver.flights": ("replaces these partitions", 1),
        "silver.flights_quarantine": ("replaces its broken rows", None),
    }
    assert touched(settings, "ingest_flights", "2013-02:2013-03")["silver.flights"].partitions == {
        "2013-02": 4,
        "2013-03": None,
    }
    assert plan.suites == ["dags/datasets/flights.yaml", "expectations/flights.json"]
    assert [(one.table, one.changes) for one in plan.contracts] == [("silver.flights", ())]
    assert not plan.refused


@pytest.mark.parametrize(
    ("dag_id", "action"),
    [("ingest_airports", "replaces all rows"), ("ingest_planes", "replaces this run's rows")],
)
def test_bronze_is_replaced_as_its_dataset_is_loaded(
    settings: Settings, lake: str, dag_id: str, action: str
) -> None:
    name = dag_id.removeprefix("ingest_")
    assert touched(settings, dag_id)[f"bronze.{name}"].action == action


def test_an_increment_is_merged_once_there_is_something_to_merge_it_with(settings: Settings) -> None:
    """As publishing decides it (`tests/unit/test_decide.py`)."""
    assert touched(settings, "ingest_planes")["silver.planes"].action == "replaces all rows"
    publish(settings.lake_root, "silver.planes", "r1", read=2, contract=recorded("planes"))
    assert touched(settings, "ingest_planes")["silver.planes"].action == "merges by key"


def test_features_training_and_scoring_rest_on_the_contracts_of_what_they_are_made_from(
    settings: Settings, lake: str
) -> None:
    features = plan_of(settings, "build_features")
    assert {str(touch.table) for touch in features.tables if touch.action == "reads"} == {
        *(f"silver.{dataset}" for dataset in DATASETS),
        "gold.route_delay_statistics",
    }
    assert touched(settings, "build_features")[FEATURES].partitions == {"2013-01": 9}
    for dag_id in ("build_features", "train_arrival_delay", "score_arrival_delay"):
        tables = {one.table for one in plan_of(settings, dag_id).contracts}
        assert tables == {f"silver.{dataset}" for dataset in DATASETS}, dag_id


def test_aliases_are_named_with_what_is_known_of_them(settings: Settings, lake: str) -> None:
    unknown = "champion unknown: the stack has never been started"
    training, scoring = plan_of(settings, "train_arrival_delay"), plan_of(settings, "score_arrival_delay")
    assert training.models == {
        "arrival_delay": f"{unknown}; registers a version, which gets the alias champion, challenger or none"
    }
    assert training.suites == []
    assert scoring.models == {"arrival_delay": f"{unknown}; scores with it"}
    assert scoring.suites == ["expectations/arrival_delay_predictions.json"]
    written = touched(settings, "score_arrival_delay", "2013-01")["gold.arrival_delay_predictions"]
    assert (written.action, written.partitions) == ("replaces these partitions", {"2013-01": None})


def test_a_server_that_does_not_answer_is_said_so(settings: Settings, lake: str) -> None:
    load_or_create(settings)
    silent = settings.model_copy(update={"mlflow_port": 1})
    (text,) = plan_of(silent, "train_arrival_delay").models.values()
    assert text.startswith("champion unknown: MLflow at http://127.0.0.1:1 does not answer")


def test_a_champion_is_named_with_its_version(
    settings: Settings, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_or_create(settings)
    answers = {
        "registered-models/alias": {"model_version": {"version": "7", "run_id": "r"}},
        "runs/get": {"run": {"info": {"run_id": "r", "status": "FINISHED"}, "data": {}}},
    }
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=answers[request.url.path.removeprefix("/api/2.0/mlflow/")])

    with_answers = partial(MlflowApi, transport=httpx.MockTransport(answer))
    monkeypatch.setattr("millstream_stack.commands.plan.MlflowApi", with_answers)
    assert plan_of(settings, "score_arrival_delay").models == {
        "arrival_delay": "champion is version 7; scores with it"
    }
    assert dict(asked[0].url.params) == {"name": "arrival_delay", "alias": "champion"}


def test_a_breaking_contract_is_shown_with_the_version_it_needs_and_what_it_touches(
    settings: Settings, lake: str
) -> None:
    columns = {**recorded("planes")["columns"], "wings": "int"}
    publish(lake, "silver.planes", "r5", read=2, contract=recorded("planes", columns=columns, version=1))
    fine, text = printed(settings, "ingest_planes")
    assert not fine
    assert "column wings removed" in text
    assert "breaking: refused; needs version 2" in text
    assert (
        f"planes: its change touches silver.planes, silver.planes_quarantine, bronze.planes, {FEATURES}"
        in (text.replace("\n", " "))
    )
    assert "model arrival_delay" in text

    fine, text = printed(settings, "ingest_flights", "2013-01")
    assert fine
    assert "unchanged" in text


def test_a_compatible_contract_is_shown_as_such(settings: Settings, lake: str) -> None:
    columns = recorded("planes")["columns"]
    fewer = {name: kind for name, kind in columns.items() if name != "engine"}
    publish(lake, "silver.planes", "r5", read=2, contract=recorded("planes", columns=fewer))
    fine, text = printed(settings, "ingest_planes")
    assert fine
    assert "column engine added (string)" in text
    assert "compatible" in text


def test_a_table_that_its_transform_no_longer_makes_is_refused(settings: Settings, lake: str) -> None:
    """Whatever the contracts say: its publish would fail."""
    of_this_code = columns_of("silver.airlines")
    fewer = pa.schema([field for field in of_this_code if field.name != "name"])
    write(lake, "silver.airlines", 1, fewer)
    assert not plan_of(settings, "ingest_airlines").refused

    more = of_this_code.append(pa.field("wings", pa.int32()))
    columns = {**recorded("airlines")["columns"], "wings": "int"}
    allowed = recorded("airlines", columns=columns, version=0)
    ledger_tables.publish(lake, "silver.airlines", "r5", read=1, schema=more, contract=allowed)
    assert plan_of(settings, "ingest_airlines").refused
    fine, text = printed(settings, "ingest_airlines")
    assert not fine
    told = " ".join(text.split())
    assert "silver.airlines: refused: " in told
    assert "the table has columns that its transform no longer makes so: wings int" in told
    assert "give them back, or start the ingest with rebuild" in told
    assert "refused: the table's columns, see above" in told
    assert "allowed" not in told
    # Its readers' runs do not write it.
    assert not plan_of(settings, "build_features").refused


@pytest.mark.parametrize(
    ("dag_id", "table"),
    [("build_features", FEATURES), ("score_arrival_delay", "gold.arrival_delay_predictions")],
)
def test_gold_tables_are_held_against_their_transforms_too(
    settings: Settings, lake: str, dag_id: str, table: str
) -> None:
    write(lake, table, 1, pa.schema([("wings", pa.int32())]))
    assert list(plan_of(settings, dag_id).refusals) == [table]


def test_a_mart_is_shown_with_what_is_made_and_why(settings: Settings, lake: str) -> None:
    predictions, table = "gold.arrival_delay_predictions", "gold.model_quality_by_month"
    mart = load_mart(CHECKOUT, "model_quality_by_month")
    suite = Suite.from_dict(suite_in(CHECKOUT, mart.name))

    def planned() -> tuple[str, dict[str, int | None]]:
        touch = touched(settings, "mart_model_quality_by_month")[table]
        return touch.action, touch.partitions

    def made(run: str, code_version: str = mart.version) -> None:
        inputs = {name: history.version(TableRef.parse(name), lake) for name in mart.inputs}
        versions = {"code_version": code_version, "suite_version": suite.version}
        ledger_tables.publish(lake, table, run, read=1, partition="2013-01", inputs=inputs, **versions)

    assert planned() == (f"leaves as it is: not published yet: {predictions}", {})
    publish(lake, predictions, "r5", read=9, partition="2013-01")
    assert planned()[0].startswith(f"replaces all rows: {table} is not published yet")
    made("r6")
    assert planned() == ("leaves as it is: no row of its tables has changed", {})
    publish(lake, predictions, "r7", read=4, partition="2013-02")
    assert planned() == (f"replaces these partitions: changed in {predictions}", {"2013-02": None})
    made("r8", code_version="of another SQL")
    assert planned() == ("replaces all rows: marts/model_quality_by_month.sql has changed", {"2013-01": 1})
    assert printed(settings, "mart_model_quality_by_month")[0]
    # One that is not made by month, too.
    hours = touched(settings, "mart_delays_by_airport_and_hour")["gold.delays_by_airport_and_hour"]
    assert hours.action == "replaces all rows: it is not made by month"


def test_an_empty_lake_has_a_plan_too(settings: Settings) -> None:
    fine, text = printed(settings, "ingest_airports")
    assert fine
    assert "not there yet" in text
    assert "nothing to compare with" in text


@pytest.mark.parametrize(
    ("dag_id", "partitions", "message"),
    [
        (
            "ingest_nothing",
            "",
            "no such DAG: 'ingest_nothing'; there are build_airport_delays, build_features",
        ),
        ("../dags/build_features", "", "no such DAG"),
        ("reconcile", "", "publishes no table and registers no model"),
        ("replay_quarantine", "", "is known only when it runs: trigger it with dry_run"),
        ("ingest_planes", "2013-01", "ingest_planes is not run by partition"),
        (
            "ingest_flights",
            "2012-12:2013-01",
            "no such partition: 2012-12; the months of flights are 2013-01 to 2013-12",
        ),
        ("score_arrival_delay", "2013-07", f"no such partition: 2013-07; {FEATURES} has 2013-01"),
    ],
)
def test_what_cannot_be_planned_is_said_clearly(
    settings: Settings, lake: str, dag_id: str, partitions: str, message: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        plan_of(settings, dag_id, partitions)
    assert message in str(refused.value)
