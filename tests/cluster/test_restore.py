"""A backup of the running cluster, restored into an empty one: nothing is missing, the next run goes on."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from millstream.settings import CHECKOUT
from millstream_stack.clients.airflow_api import AirflowApi
from millstream_stack.cluster.secret_files import NAMES
from tests.support.compose import Cluster
from tests.support.dag_runs import at_rest, run

pytestmark = pytest.mark.timeout(2400)

BACKUP_TIMEOUT_S = 1200.0
# Of each Delta table its version and its rows.
TABLES = """
import json
from deltalake import DeltaTable
from millstream.lake.storage import Storage
from millstream.settings import Settings
root = Settings().lake_root
found = {}
for zone in ("bronze", "silver", "gold"):
    for name in Storage(root).list(zone):
        uri = f"{root}/{zone}/{name}"
        if DeltaTable.is_deltatable(uri):
            table = DeltaTable(uri)
            found[f"{zone}.{name}"] = [table.version(), table.count()]
print(json.dumps(found))
"""
FLIGHTS = """
import json
from deltalake import DeltaTable
from millstream.lake.tables import TableRef
from millstream.settings import Settings
key = ["flight_date", "carrier", "flight", "origin"]
table = DeltaTable(TableRef(zone="silver", name="flights").uri(Settings().lake_root)).to_pyarrow_table(
    columns=["month", *key]
)
counts = table.group_by("month").aggregate([("month", "count")]).to_pylist()
distinct = table.group_by(["month", *key]).aggregate([]).num_rows
print(json.dumps([{row["month"]: row["month_count"] for row in counts}, distinct, table.num_rows]))
"""


def command(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["stack/cluster-backup", *arguments], env=cluster.environment, cwd=CHECKOUT, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=BACKUP_TIMEOUT_S,
    )  # fmt: skip
    return done


def tables(cluster: Cluster) -> dict[str, list[int]]:
    """As a container that is up, and that reaches the lake, sees them."""
    found: dict[str, list[int]] = cluster.python("airflow-worker", TABLES)
    return found


def dumped(cluster: Cluster, dump: Path) -> str:
    """A database's dump as SQL."""
    with dump.open("rb") as stream:
        done = subprocess.run(
            ["docker", "compose", "exec", "-T", "postgres", "pg_restore", "--file=-"],
            env=cluster.environment, cwd=CHECKOUT, text=True, stdin=stream, capture_output=True, check=True,
        )  # fmt: skip
    return done.stdout


def states(airflow: AirflowApi) -> dict[tuple[str, str], str]:
    """Of all runs there ever were."""
    return {one.key: one.state for one in airflow.runs_since(datetime(2000, 1, 1, tzinfo=UTC))}


def test_a_restored_cluster_goes_on_where_the_backup_was_made(
    cluster: Cluster, airflow: AirflowApi, tmp_path: Path
) -> None:
    run(airflow, "ingest_flights", {"start": "2013-01", "end": "2013-01"})
    # What runs that its event has started change would differ before and after.
    at_rest(airflow)
    before, runs = tables(cluster), states(airflow)
    backup = tmp_path / "backup"
    done = command(cluster, "save", str(backup))
    assert done.returncode == 0, done.stderr
    text = "".join(dumped(cluster, backup / f"{name}.dump") for name in ("airflow", "mlflow"))
    assert "demo_weather_api" in text
    assert [name for name in NAMES if cluster.secret(name) in text] == []
    # Over what is there it would be half of each.
    refused = command(cluster, "load", str(backup))
    assert refused.returncode != 0
    assert "tables already" in refused.stderr
    assert tables(cluster) == before

    cluster.down()
    restored = command(cluster, "load", str(backup))

    assert restored.returncode == 0, f"{restored.stdout}\n{restored.stderr}"
    assert tables(cluster) == before
    assert states(airflow).items() >= runs.items()
    run(airflow, "ingest_flights", {"start": "2013-01", "end": "2013-02"})
    months, distinct, rows = cluster.python("airflow-worker", FLIGHTS)
    assert set(months) == {"2013-01", "2013-02"}
    assert months["2013-01"] == before["silver.flights"][1]
    assert distinct == rows
