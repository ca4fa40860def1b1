"""What starts a mart's DAG: each of its inputs, but those that another input is made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.errors import ContractError
from millstream.marts import Mart, load_mart
from millstream.settings import CHECKOUT
from millstream_airflow.pipelines.marts import mart_dag, triggers_of


def reading(*tables: str) -> Mart:
    return Mart(name="read", head={}, sql=f"SELECT 1 AS a FROM {', '.join(tables)}")


def test_a_change_of_the_features_builds_a_mart_on_their_predictions_once() -> None:
    assert triggers_of(load_mart(CHECKOUT, "model_quality_by_month")) == ("gold.arrival_delay_predictions",)
    dag = mart_dag("model_quality_by_month")
    assert [asset.name for asset in dag.schedule.objects] == ["gold.arrival_delay_predictions"]


@pytest.mark.parametrize(
    ("tables", "triggers"),
    [
        (("silver.flights", "silver.weather"), ("silver.flights", "silver.weather")),
        (("silver.flights", "gold.delays_by_airport_and_hour"), ("gold.delays_by_airport_and_hour",)),
        (("silver.planes", "gold.arrival_delay_features"), ("gold.arrival_delay_features",)),
        # The predictions follow when the features have other rows, which need not be when the flights have.
        (
            ("gold.route_delay_statistics", "gold.arrival_delay_predictions"),
            ("gold.arrival_delay_predictions", "gold.route_delay_statistics"),
        ),
    ],
)
def test_what_another_input_is_made_from_does_not_start_it(
    tables: tuple[str, ...], triggers: tuple[str, ...]
) -> None:
    assert triggers_of(reading(*tables)) == triggers


@pytest.mark.parametrize(
    "table", ["silver.readings", "gold.airport_delays_speed", "silver.flights_quarantine", "gold.flights"]
)
def test_an_input_that_no_dag_publishes_is_refused(table: str) -> None:
    with pytest.raises(ContractError, match=rf"marts/read.sql: no DAG publishes {table}"):
        triggers_of(reading("silver.flights", table))


def test_its_dag_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "marts").mkdir()
    (tmp_path / "marts" / "read.sql").write_text("SELECT 1 AS a FROM gold.airport_delays_speed")
    monkeypatch.setenv("MILLSTREAM_PROJECT", str(tmp_path))
    with pytest.raises(ContractError, match=r"no DAG publishes gold\.airport_delays_speed"):
        mart_dag("read")
