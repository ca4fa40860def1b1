"""The periods of a run: chosen in the DAG's form, or those of its data interval."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from millstream.contracts.contract import Contract
from millstream.contracts.periods import PATTERNS, SHAPES, Grain, period_at, periods, start_of
from millstream.errors import ConfigurationError, ContractError
from millstream_airflow import catalog
from millstream_airflow.tasks.watch_files import periods_that_came

if TYPE_CHECKING:
    from airflow.sdk import Context

# More than that nobody looks for in a list.
MOST_CHOICES = 500


def periods_of_run(contract: Contract, context: Context) -> list[str]:
    """The periods that a run of a partitioned dataset ingests: those chosen in its form, otherwise its own.

    These are the ones that lie whole in the data interval of a scheduled run and a backfill, or else the one
    in which it begins. A run by hand has the newest interval that is complete (see `schedules`); without an
    interval it takes the newest complete period. A run that files have started is about theirs.

    Raises: ConfigurationError: the source does not have one of the periods.
    """
    if contract.partition is None:
        return []
    grain, dag_run = contract.partition.grain, context["dag_run"]
    assert dag_run is not None
    params = context["params"]
    start, end = params.get("start") or params.get("end"), params.get("end") or params.get("start")
    chosen = periods(start, end) if start and end else periods_that_came(context)
    asked = chosen or _own_periods(contract, grain, context)
    available = contract.periods_at(dag_run.run_after)
    if absent := sorted(set(asked) - set(available)):
        raise ConfigurationError(
            f"{contract.dataset}: the source does not have {', '.join(absent)}: its {grain}s are "
            f"{available[0]} to {available[-1]}, by partition.start and end_date in "
            f"dags/datasets/{contract.dataset}.yaml"
        )
    return asked


def _own_periods(contract: Contract, grain: Grain, context: Context) -> list[str]:
    dag_run = context["dag_run"]
    assert dag_run is not None
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is not None and end is not None and start != end:
        own = _within(_in_utc(start), _in_utc(end), grain)
        # Of a schedule that is finer than the grain the newest interval lies in a period that has not ended.
        if dag_run.run_type != "manual" or own[-1] < period_at(dag_run.run_after, grain):
            return own
    return [newest_complete(contract, dag_run.run_after)]


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _within(start: datetime, end: datetime, grain: Grain) -> list[str]:
    """The periods that lie whole between two moments, or else the one in which the first lies."""
    first, last = period_at(start, grain), period_at(end, grain)
    touched = periods(first, last)
    return [one for one in touched if start_of(one) >= start and one < last] or [first]


def newest_complete(contract: Contract, moment: datetime) -> str:
    """The newest period of the source that has ended at `moment`; its first if none has."""
    assert contract.partition is not None
    available = contract.periods_at(moment)
    ended = [period for period in available if period < period_at(moment, contract.partition.grain)]
    return ended[-1] if ended else available[0]


def of_source(contract: Contract, now: datetime) -> dict[str, Param]:
    """The params `start` and `end` of a partitioned dataset's ingest."""
    assert contract.partition is not None
    grain, choices = contract.partition.grain, contract.periods_at(now)[::-1]
    neither = (
        f"Neither chosen: the {grain} of the run's data interval; for a run by hand that is the newest "
        f"complete {grain} of the source, now {newest_complete(contract, now)}."
    )
    return {
        name: _chosen_from(
            choices,
            f"{which} {grain} to ingest. Only one of the two chosen: that {grain} alone. {neither}",
            [grain],
        )
        for name, which in (("start", "First"), ("end", "Last"))
    }


def of_any_source(description: str, now: datetime) -> Param:
    """A param for one period of any partitioned dataset."""
    available: set[str] = set()
    grains: set[Grain] = set()
    for dataset in catalog.datasets():
        # A wrong contract is shown as the import error of its own DAG.
        with suppress(ContractError):
            contract = catalog.contract(dataset)
            available.update(contract.periods_at(now))
            grains.update({contract.partition.grain} if contract.partition else ())
    return _chosen_from(sorted(available, reverse=True), description, sorted(grains))


def _chosen_from(choices: list[str], description: str, grains: list[Grain]) -> Param:
    """A param that is one of `choices`, or none of them; of very many it is written, not chosen."""
    values: dict[str, Any] = {"enum": [None, *choices], "values_display": {"null": "not chosen"}}
    if len(choices) > MOST_CHOICES:
        shapes = " or ".join(SHAPES[grain] for grain in grains)
        values = {"pattern": f"^({'|'.join(PATTERNS[grain] for grain in grains)})$"}
        description = f"{description} Written {shapes}, from {choices[-1]} to {choices[0]}."
    return Param(None, type=["null", "string"], description=description, **values)
