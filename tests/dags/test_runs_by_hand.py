"""What becomes of a run that a person asks for: by the form, the REST API, the command, a backfill."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError
from millstream.settings import CHECKOUT
from millstream_airflow import catalog
from millstream_airflow.periods import of_source, periods_of_run
from tests.support.airflow_home import run_in

BOUNDED = ("airlines", "airports", "flights", "planes", "weather")
PAST = """
from datetime import UTC, datetime
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("past", start_date=datetime(2013, 1, 1, tzinfo=UTC), end_date=datetime(2013, 12, 31, tzinfo=UTC)):
    EmptyOperator(task_id="only")
"""
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
YEAR = [f"2013-{month:02d}" for month in range(1, 13)]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    home = tmp_path_factory.mktemp("airflow")
    (home / "own").mkdir()
    (home / "own" / "past.py").write_text(PAST)
    return run_in(home, "runs_in_a_database.py", str(CHECKOUT / "dags"), str(home / "own"))


@pytest.fixture(scope="module")
def made(outcome: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(outcome.stdout.splitlines()[-1])
    return loaded


def test_a_run_by_hand_has_its_tasks_at_any_logical_date(made: dict[str, Any]) -> None:
    shipped = {path.stem for path in (CHECKOUT / "dags").glob("*.py")}
    assert made.keys() == shipped | {"past"}
    for dag_id in shipped:
        counts = {name: run["tasks"] for name, run in made[dag_id]["by_hand"].items()}
        assert counts.keys() == {"now", "none", "early", "within", "command"}
        assert min(counts.values()) >= 2, (dag_id, counts)
        assert len(set(counts.values())) == 1, (dag_id, counts)


def test_a_run_by_hand_is_about_an_interval_that_the_source_covers(made: dict[str, Any]) -> None:
    flights = made["ingest_flights"]["by_hand"]
    assert {name: run["interval"] for name, run in flights.items()} == {
        "now": "2013-12-01",
        "within": "2013-04-01",
        "early": "2013-01-01",
        "none": None,
        "command": None,
    }


def test_backfills_reach_from_the_first_to_the_last_interval(made: dict[str, Any]) -> None:
    assert made["ingest_flights"]["backfilled"] == [f"{month}-01" for month in YEAR]
    for dataset in BOUNDED:
        days = made[f"ingest_{dataset}"]["backfilled"]
        assert days[0] == "2013-01-01", dataset
        assert days[-1] == ("2013-12-01" if dataset == "flights" else "2013-12-31"), dataset


def test_nothing_starts_by_itself_but_what_keeps_the_lake_and_follows_a_stream(made: dict[str, Any]) -> None:
    # The docstrings are of today: their source has no end.
    starting = {dag_id for dag_id, found in made.items() if found["starts_at"]}
    following = {"build_airport_delays", "compare_views", "watch_streams"}
    assert starting == {"maintain_lake", "reconcile", *following}


def test_a_run_that_ended_without_any_task_is_an_alert(
    made: dict[str, Any], outcome: subprocess.CompletedProcess[str]
) -> None:
    assert made["past"]["by_hand"]["now"] == {
        "tasks": 0,
        "interval": made["past"]["by_hand"]["now"]["interval"],
        "state": "success",
    }
    assert made["past"]["by_hand"]["within"]["tasks"] == 1
    alerts = [line for line in outcome.stderr.splitlines() + outcome.stdout.splitlines() if "ALERT" in line]
    assert len(alerts) == 2, "one for a moment after the end, one for a moment before the start"
    for line in alerts:
        assert "past did nothing in run manual__" in line
        assert "outside the start_date and end_date" in line


def ran(contract: Contract, interval: tuple[str, str] | None = None, **params: str | None) -> list[str]:
    """The months of a run whose data interval is between two days, with what its form says."""
    start, end = (datetime.fromisoformat(f"{day}T00:00Z") for day in interval) if interval else (None, None)
    context: Any = {
        "dag_run": SimpleNamespace(run_after=NOW, run_type=params.pop("run_type", "manual")),
        "params": {"start": None, "end": None, **params},
        "data_interval_start": start,
        "data_interval_end": end,
    }
    return periods_of_run(contract, context)


def test_a_runs_months_are_those_chosen_or_its_own() -> None:
    flights = catalog.contract("flights")
    assert ran(flights) == ["2013-12"]
    assert ran(flights, ("2013-05-01", "2013-06-01")) == ["2013-05"]
    assert ran(flights, ("2026-11-29", "2026-11-29")) == ["2013-12"], "no interval: scheduled by hand only"
    assert ran(flights, ("2013-05-01", "2013-06-01"), start="2013-02") == ["2013-02"]
    assert ran(flights, end="2013-03") == ["2013-03"]
    assert ran(flights, start="2013-01", end="2013-12") == YEAR
    assert ran(catalog.contract("airlines"), ("2013-05-01", "2013-06-01")) == []


def test_a_runs_periods_lie_in_its_interval() -> None:
    flights = catalog.contract("flights").model_dump(mode="json")
    hours = [f"2013-05-01T{hour:02d}" for hour in range(24)]
    for grain, start, interval, expected in (
        ("day", "2013-01-01", ("2013-05-01", "2013-05-03"), ["2013-05-01", "2013-05-02"]),
        (
            "hour",
            "2013-01-01T00",
            ("2013-05-01", "2013-05-02"),
            hours,
        ),
        ("year", "2013", ("2013-05-01", "2013-05-02"), ["2013"]),
        ("month", "2013-01", ("2013-05-28", "2013-06-04"), ["2013-05"]),
    ):
        partition = {"grain": grain, "column": "month", "start": start}
        of = Contract.from_dict({**flights, "partition": partition}, origin="flights.yaml")
        assert ran(of, interval) == expected, grain


def test_of_very_many_periods_one_is_written_in_the_form() -> None:
    flights = catalog.contract("flights").model_dump(mode="json")
    partition = {"grain": "hour", "column": "month", "start": "2013-01-01T00"}
    of = Contract.from_dict({**flights, "partition": partition}, origin="flights.yaml")
    start = of_source(of, NOW)["start"]
    assert "enum" not in start.schema
    assert "Written YYYY-MM-DDTHH, from 2013-01-01T00 to 2013-12-31T23." in str(start.description)
    start.value = "2013-05-01T07"
    assert start.resolve() == "2013-05-01T07"
    start.value = "2013-05-01"
    with pytest.raises(ParamValidationError):
        start.resolve()


def test_a_month_that_the_source_does_not_have_is_refused_in_words() -> None:
    flights = catalog.contract("flights")
    with pytest.raises(
        ConfigurationError,
        match=r"flights: the source does not have 2026-10: its months are 2013-01 to 2013-12",
    ):
        ran(flights, ("2026-10-01", "2026-11-01"))
    with pytest.raises(ConfigurationError, match="does not have 2012-12"):
        ran(flights, start="2012-12", end="2013-01")


def test_the_form_offers_the_sources_months_newest_first() -> None:
    flights = catalog.contract("flights")
    params = of_source(flights, NOW)
    for param in params.values():
        assert param.schema["enum"] == [None, *reversed(YEAR)]
        assert "now 2013-12" in (param.description or "")
    # Without an end: up to the present month, of which the complete ones are taken by themselves.
    endless = flights.model_copy(update={"end_date": None})
    choices = of_source(endless, NOW)["start"].schema["enum"]
    assert choices[:3] == [None, "2026-11", "2026-10"]
    assert ran(endless) == ["2026-10"]
    yesterday = ("2026-11-28", "2026-11-29")
    assert ran(endless, yesterday) == ["2026-10"]
    assert ran(endless, yesterday, run_type="scheduled") == ["2026-11"]
