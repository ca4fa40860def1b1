"""The months of a run: chosen in the DAG's form, or that of its data interval."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from airflow.sdk import Param

from millstream.contracts.contract import Contract
from millstream.contracts.months import months
from millstream.errors import ConfigurationError, ContractError
from millstream_airflow import catalog
from millstream_airflow.tasks.watch_files import months_that_came

if TYPE_CHECKING:
    from airflow.sdk import Context


def months_of_run(contract: Contract, context: Context) -> list[str]:
    """The months that a run of a partitioned dataset ingests: those chosen in its form, otherwise one.

    That is the month of the data interval for a scheduled run and a backfill. A run by hand has the newest
    interval that is complete (see `schedules`); without an interval it takes the newest complete month. A run
    that files have started is about theirs.

    Raises: ConfigurationError: the source does not have one of the months.
    """
    if contract.partition is None:
        return []
    dag_run = context["dag_run"]
    assert dag_run is not None
    params = context["params"]
    start, end = params.get("start") or params.get("end"), params.get("end") or params.get("start")
    own = months(start, end) if start and end else months_that_came(context)
    asked = own or [_own_month(contract, context)]
    available = contract.months_at(dag_run.run_after)
    if absent := [month for month in asked if month not in available]:
        raise ConfigurationError(
            f"{contract.dataset}: the source does not have {', '.join(absent)}: its months are "
            f"{available[0]} to {available[-1]}, by partition.start and end_date in "
            f"dags/datasets/{contract.dataset}.yaml"
        )
    return asked


def _own_month(contract: Contract, context: Context) -> str:
    dag_run = context["dag_run"]
    assert dag_run is not None
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is not None and start != end:
        month = f"{start:%Y-%m}"
        # Of a daily schedule the newest interval lies in a month that has not ended.
        if dag_run.run_type != "manual" or month < f"{dag_run.run_after:%Y-%m}":
            return month
    return newest_complete(contract, dag_run.run_after)


def newest_complete(contract: Contract, moment: datetime) -> str:
    """The newest month of the source that has ended at `moment`; its first if none has."""
    available = contract.months_at(moment)
    ended = [month for month in available if month < f"{moment:%Y-%m}"]
    return ended[-1] if ended else available[0]


def of_source(contract: Contract, now: datetime) -> dict[str, Param]:
    """The params `start` and `end` of a partitioned dataset's ingest."""
    choices = contract.months_at(now)[::-1]
    neither = (
        "Neither chosen: the month of the run's data interval; for a run by hand that is the newest complete "
        f"month of the source, now {newest_complete(contract, now)}."
    )
    return {
        name: _chosen_from(
            choices,
            f"{which} month to ingest. Only one of the two chosen: that month alone. {neither}",
        )
        for name, which in (("start", "First"), ("end", "Last"))
    }


def of_any_source(description: str, now: datetime) -> Param:
    """A param for one month of any partitioned dataset."""
    available: set[str] = set()
    for dataset in catalog.datasets():
        # A wrong contract is shown as the import error of its own DAG.
        with suppress(ContractError):
            available.update(catalog.contract(dataset).months_at(now))
    return _chosen_from(sorted(available, reverse=True), description)


def _chosen_from(choices: list[str], description: str) -> Param:
    """A param that is one of `choices`, or none of them."""
    return Param(
        None,
        type=["null", "string"],
        enum=[None, *choices],
        values_display={"null": "not chosen"},
        description=description,
    )
