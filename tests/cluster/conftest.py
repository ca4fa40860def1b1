"""One cluster for all tests here, with its images as they are: `tests/cluster/with_engine.sh` builds them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millstream.settings import CHECKOUT
from millstream_stack.clients.airflow_api import AirflowApi, wait_for_dags
from tests.support.compose import Cluster
from tests.support.loopback import free_ports

PARSE_TIMEOUT_S = 180.0


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    services = ("AIRFLOW", "DASHBOARDS", "MLFLOW", "SPARK_UI")
    names = [f"MILLSTREAM_{service}_PORT" for service in services]
    cluster = Cluster("millstream-test", tmp_path_factory.mktemp("cluster") / "secrets", free_ports(*names))
    cluster.write_secrets()
    cluster.down()
    cluster.up()
    yield cluster
    cluster.down()


@pytest.fixture(scope="session")
def airflow(cluster: Cluster) -> Iterator[AirflowApi]:
    url = f"http://127.0.0.1:{cluster.ports['MILLSTREAM_AIRFLOW_PORT']}"
    with AirflowApi(url, "admin", cluster.secret("airflow_admin_password")) as api:
        wait_for_dags(api, {path.stem for path in (CHECKOUT / "dags").glob("*.py")}, PARSE_TIMEOUT_S)
        yield api
