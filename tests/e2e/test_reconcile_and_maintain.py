"""Reconcile and maintenance on the real stack, after the months of `test_one_month.py`."""

from __future__ import annotations

import io
import sqlite3
from typing import Any

import pytest
from rich.console import Console

from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream_stack.commands.reconcile import reconcile
from millstream_stack.commands.sql import run_query
from tests.e2e.test_one_month import lake_rows
from tests.support.airflow_user import AirflowUser
from tests.support.carried import carry

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

PLANES = TableRef.parse("silver.planes")
FEATURES = TableRef.parse("gold.arrival_delay_features")


def events(api: AirflowUser, table: TableRef) -> list[dict[str, Any]]:
    (asset,) = [asset for asset in api.assets() if asset["name"] == str(table)]
    return api.asset_events(asset["id"])


def lose_events(settings: Settings, table: TableRef) -> None:
    """As a metadata database restored from an old backup would."""
    database = sqlite3.connect(settings.home / "airflow" / "airflow.db", timeout=60)
    database.execute("PRAGMA foreign_keys = ON")
    with database:
        database.execute(
            "DELETE FROM asset_event WHERE asset_id IN (SELECT id FROM asset WHERE name = ?)", (str(table),)
        )
    database.close()


def reconciled(settings: Settings, api: AirflowUser) -> str:
    screen = io.StringIO()
    assert reconcile(settings, api, Console(file=screen, width=200)), screen.getvalue()
    return screen.getvalue()


def test_after_a_month_all_agree(api: AirflowUser, settings: Settings) -> None:
    assert "agree" in reconciled(settings, api)


def test_a_lost_event_is_told_again_by_the_dag_and_its_reader_finds_nothing_new(
    api: AirflowUser, settings: Settings
) -> None:
    features = history.version(FEATURES, settings.lake_root)
    lose_events(settings, PLANES)
    assert events(api, PLANES) == []
    _, tasks = carry(api, "reconcile")
    (event,) = events(api, PLANES)
    assert event["extra"]["version"] == history.version(PLANES, settings.lake_root)
    assert event["extra"]["repaired"]
    assert event["source_dag_id"] == "reconcile"
    # Whether it builds is not said: what was last made of newer inputs may have come out the same, and then
    # no version names them.
    assert "build_features" in {task.dag_id for task in tasks}
    assert history.version(FEATURES, settings.lake_root) == features
    assert "agree" in reconciled(settings, api)


def test_a_lost_event_is_told_again_by_hand(api: AirflowUser, settings: Settings) -> None:
    lose_events(settings, PLANES)
    assert "told the readers of silver.planes again" in reconciled(settings, api)
    assert len(events(api, PLANES)) == 1
    assert "agree" in reconciled(settings, api)


@pytest.mark.thorough
def test_maintenance_leaves_every_row_and_starts_nothing(api: AirflowUser, settings: Settings) -> None:
    before = sorted(map(str, lake_rows(settings, "silver.flights")))
    _, tasks = carry(api, "maintain_lake")
    assert {task.dag_id for task in tasks} == {"maintain_lake"}
    assert sorted(map(str, lake_rows(settings, "silver.flights"))) == before
    assert "agree" in reconciled(settings, api)


def test_the_ledger_answers(settings: Settings) -> None:
    screen = io.StringIO()
    query = """
        select table, sum(rows_written) as written from ops.ledger
        where partition between '2013-03' and '2013-12' group by table order by table
    """
    run_query(settings, query, Console(file=screen, width=200))
    assert "silver.flights" in screen.getvalue()
    months = history.read(TableRef.parse("silver.flights"), settings.lake_root).latest_by_partition()
    assert str(sum(counts.written for _, counts in months.values())) in screen.getvalue()
