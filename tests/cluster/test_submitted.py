"""Cluster mode, as an administrator chooses it: `spark_connect` becomes what `spark_default` is."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from millstream_stack.clients.airflow_api import AirflowApi
from millstream_stack.cluster.hadoop import RESOURCEMANAGER
from tests.support.compose import Cluster
from tests.support.dag_runs import at_rest, run

pytestmark = pytest.mark.timeout(1800)

LAKE = "hdfs://namenode:8020/lake"
JOBS = ("load_bronze", "transform", "quality_gate", "publish")
APPLICATIONS = f"""
import httpx
print(httpx.get("{RESOURCEMANAGER}/ws/v1/cluster/apps", timeout=30, trust_env=False).text)
"""
AIRLINES = """
import json
from deltalake import DeltaTable
from millstream.lake.tables import TableRef
from millstream.settings import Settings
table = DeltaTable(TableRef.parse("silver.airlines").uri(Settings().lake_root))
print(json.dumps([table.table_uri, table.version(), table.count()]))
"""


@pytest.fixture
def cluster_mode(cluster: Cluster, airflow: AirflowApi) -> Iterator[Cluster]:
    """The same DAGs, each of whose jobs is a driver of its own on YARN."""
    # What runs would begin in one mode and end in the other.
    at_rest(airflow)
    url = f"http://127.0.0.1:{cluster.ports['MILLSTREAM_AIRFLOW_PORT']}"
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        login = {"username": "admin", "password": cluster.secret("airflow_admin_password")}
        token = client.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        path = "/api/v2/connections/{}"
        names = ("conn_type", "host", "port", "extra")
        before, wanted = (
            {name: client.get(path.format(one)).raise_for_status().json()[name] for name in names}
            for one in ("spark_connect", "spark_default")
        )

        def set_to(values: dict[str, object]) -> None:
            body = {"connection_id": "spark_connect", **values}
            client.patch(path.format("spark_connect"), json=body).raise_for_status()

        set_to(wanted)
        try:
            yield cluster
        finally:
            set_to(before)


def submitted(cluster: Cluster) -> dict[str, tuple[str, str, str]]:
    """Spark's applications in cluster mode by their ids: name, state and how each ended."""
    listed = cluster.python("airflow-worker", APPLICATIONS)["apps"]
    return {
        app["id"]: (app["name"], app["state"], app["finalStatus"])
        for app in (listed or {}).get("app", ())
        if app["applicationType"] == "SPARK" and app["applicationTags"]
    }


def test_a_dataset_by_drivers_of_their_own_on_yarn(cluster_mode: Cluster, airflow: AirflowApi) -> None:
    before = submitted(cluster_mode).keys()
    run(airflow, "ingest_airlines", {})
    own = [app for name, app in submitted(cluster_mode).items() if name not in before]
    assert sorted(own) == sorted((job, "FINISHED", "SUCCEEDED") for job in JOBS)
    place, _, rows = cluster_mode.python("airflow-worker", AIRLINES)
    assert place.startswith(f"{LAKE}/silver/airlines")
    assert rows == 16
