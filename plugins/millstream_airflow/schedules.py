"""Timetables of the DAGs, and the data interval of a run by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.sdk import CronTriggerTimetable

# Custom timetables derive from core's, which the scheduler asks; `airflow.sdk` has only their declarations.
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

if TYPE_CHECKING:
    from pendulum import DateTime

    from millstream.contracts.contract import Contract


def at_next(cron: str) -> CronTriggerTimetable:
    """A schedule at the times of `cron` (UTC) that starts no run when the DAG is first seen.

    Only for DAGs without a start date: with one, Airflow 3.3 starts a run for the last past time at once.
    With `run_immediately=False` it still does if that time is within a tenth of the period, so the span is
    zero.
    """
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(0))


def of_contract(contract: Contract) -> SourceTimetable | None:
    """The timetable of a dataset's ingest, limited to the dates of its contract; None without a schedule."""
    if contract.schedule is None or contract.start_date is None:
        return None
    return SourceTimetable(contract.schedule, contract.start_date, contract.end_date)


class SourceTimetable(CronDataIntervalTimetable):
    """Data intervals by a cron expression (UTC) that begin from `first` to `last`, both days included.

    Scheduled runs and backfills are made for these intervals alone. A run by hand is about the newest of them
    that was complete at its logical date, or the first.

    The bounds are here because a DAG's `start_date` and `end_date` bound its tasks too: Airflow 3.3 makes
    no task instance for a logical date outside, not even in runs by hand, and such a run ends as a success
    without having done anything (apache/airflow#38513).
    """

    def __init__(self, cron: str, first: date, last: date | None = None) -> None:
        super().__init__(cron, "UTC")
        self.first, self.last = first, last

    @property
    def summary(self) -> str:
        return f"{super().summary}, {self.first} to {self.last}" if self.last else super().summary

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        earliest, latest = self._bounds()
        if restriction.earliest is not None:
            earliest = max(earliest, restriction.earliest)
        if restriction.latest is not None:
            latest = min(latest or restriction.latest, restriction.latest)
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval,
            restriction=TimeRestriction(earliest, latest, restriction.catchup),
        )

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        earliest, latest = self._bounds()
        start = super().infer_manual_data_interval(run_after=run_after).start
        if latest is not None and start > latest:
            start = self._align_to_prev(latest)
        start = max(start, self._align_to_next(earliest))
        return DataInterval(start=start, end=self._get_next(start))

    def _bounds(self) -> tuple[DateTime, DateTime | None]:
        """The first moment at which an interval may begin, and the last."""
        return _at(self.first, time.min), None if self.last is None else _at(self.last, time.max)

    def serialize(self) -> dict[str, Any]:
        return {
            "cron": self._expression,
            "first": self.first.isoformat(),
            "last": None if self.last is None else self.last.isoformat(),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> SourceTimetable:
        last = data["last"] and date.fromisoformat(data["last"])
        return cls(data["cron"], date.fromisoformat(data["first"]), last)


def _at(day: date, moment: time) -> DateTime:
    return pendulum.instance(datetime.combine(day, moment, UTC))
