"""When what nobody waits for runs."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable


def at_next(cron: str) -> CronTriggerTimetable:
    """At the times of `cron` (UTC); the first run at the next of them, not when the DAG is first seen.

    For DAGs without a start date only: with one, Airflow 3.3 makes up for the last time at once. So it does
    for `run_immediately=False`, within a tenth of the period; nothing is what a span of zero makes up for.
    """
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(0))
