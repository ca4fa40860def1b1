"""Dashboards without their notebooks: the queries, the login, the index."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from millstream.errors import ConfigurationError
from millstream.lake.tables import TableRef
from millstream.settings import CHECKOUT, Settings
from millstream.streams import served
from millstream.transforms.airport_delays_batch import AS_OF, COLUMNS, FIGURES
from millstream_stack.dashboards import NoTableError, query, table_exists
from millstream_stack.dashboards.server import GUARDS, make_app, notebooks
from tests.support.loopback import closed_port


@pytest.fixture
def lake(tmp_path: Path) -> str:
    root = f"file://{tmp_path}/lake"
    rows = pa.table({"month": ["2013-01", "2013-01", "2013-02"], "delay": [1, 3, 8]})
    write_deltalake(TableRef.parse("silver.flights").uri(root), rows, partition_by=["month"])
    return root


def test_a_select_reads_the_tables_that_it_names(lake: str) -> None:
    found = query(
        "WITH late AS (SELECT * FROM silver.flights WHERE delay > $least) "
        "SELECT month, count(*) AS flights FROM late GROUP BY month ORDER BY month",
        lake,
        least=1,
    )
    assert found.to_dict("records") == [
        {"month": "2013-01", "flights": 1},
        {"month": "2013-02", "flights": 1},
    ]
    assert table_exists("silver.flights", lake)


def test_each_query_reads_the_newest_version(lake: str) -> None:
    count = "SELECT count(*) AS rows FROM silver.flights"
    assert query(count, lake)["rows"].item() == 3
    write_deltalake(
        TableRef.parse("silver.flights").uri(lake),
        pa.table({"month": ["2013-03"], "delay": [0]}), mode="append",
    )  # fmt: skip
    assert query(count, lake)["rows"].item() == 4


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ("SELECT * FROM gold.nowhere", NoTableError, "the lake has no gold.nowhere, or not yet"),
        ("SELECT * FROM gold.airport_delays", NoTableError, "gold.airport_delays is not there yet"),
        ("DROP TABLE silver.flights", ConfigurationError, "asks with one SELECT"),
        ("SELECT 1; SELECT 2", ConfigurationError, "asks with one SELECT"),
        ("SELECT FROM WHERE", ConfigurationError, "cannot be read"),
    ],
)  # fmt: skip
def test_what_it_cannot_answer_is_said(lake: str, asked: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        query(asked, lake)
    assert not table_exists("gold.airport_delays", lake)


def test_times_are_utc_wherever_the_service_runs(lake: str) -> None:
    moment = pa.array([datetime(2013, 1, 1, 23, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    write_deltalake(TableRef.parse("silver.moments").uri(lake), pa.table({"moment": moment}))
    program = (
        "import sys; from millstream_stack.dashboards import query; "
        "rows = query('SELECT moment, hour(moment) AS hour FROM silver.moments', sys.argv[1]); "
        "print(rows.to_dict('records'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, lake],
        env={**os.environ, "TZ": "America/New_York"}, text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[{'moment': Timestamp('2013-01-01 23:00:00+0000', tz='UTC'), 'hour': 23}]"


def test_names_are_those_of_the_lake_whatever_their_case(lake: str) -> None:
    assert query("SELECT count(*) AS rows FROM Silver.FLIGHTS", lake)["rows"].item() == 3


def test_a_query_takes_no_more_memory_than_its_share(lake: str) -> None:
    with pytest.raises(Exception, match="memory"):
        query("SELECT list(i) FROM range(100000000) AS r(i)", lake)


def test_an_answer_of_too_many_rows_is_refused_and_says_so(lake: str) -> None:
    assert len(query("SELECT * FROM range(204800) AS r(i)", lake)) == 204_800
    with pytest.raises(ConfigurationError, match=r"more than 204,800 rows: add them up"):
        query("SELECT * FROM range(204801) AS r(i)", lake)


def test_no_file_outside_of_the_lake_is_read(lake: str) -> None:
    with pytest.raises(Exception, match="disabled by configuration"):
        query(f"SELECT * FROM read_text('{CHECKOUT}/README.md')", lake)


def test_the_view_of_delays_is_that_of_make_sql(lake: str) -> None:
    """Of two rows of a group the one that is further."""

    def rows(table: TableRef, as_of: int, departed: int) -> None:
        figures = {name: pa.array([departed], pa.int64()) for name in FIGURES}
        key = {"airport": ["EWR"], "carrier": ["UA"], "hour": ["2013-01-01T10:00:00Z"]}
        columns = {**key, **figures, AS_OF: pa.array([as_of], pa.int64())}
        write_deltalake(table.uri(lake), pa.table({name: columns[name] for name in COLUMNS}))

    rows(served.BATCH, 5, 1)
    rows(served.SPEED, 9, 2)
    assert query("SELECT departed FROM gold.airport_delays", lake)["departed"].tolist() == [2]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards" / "mine.py").write_text('"""What is <mine>.\n\nAnd more."""\n')
    (tmp_path / "dashboards" / "broken.py").write_text("def (")
    (tmp_path / "dashboards" / "_part.py").write_text('"""No notebook."""\n')
    (tmp_path / "dashboards" / "a.b.py").write_text('"""A name that is none."""\n')
    (tmp_path / "dashboards" / "latin.py").write_bytes(b'"""\xff"""\n')
    (tmp_path / "dashboards" / "sub").mkdir()
    (tmp_path / "dashboards" / "sub" / "inner.py").write_text('"""Not listed."""\n')
    return Settings(project=tmp_path, home=tmp_path / "home")


@pytest.fixture
def client(settings: Settings) -> TestClient:
    with closed_port() as port:
        return TestClient(make_app(settings, f"http://127.0.0.1:{port}"), follow_redirects=False)


def test_without_a_login_nothing_is_shown(client: TestClient) -> None:
    for path in ("/", "/d/mine/", "/d/mine/api/status", "/anything"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}")
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/d/mine/ws"):
        pass
    assert client.get("/health").json() == {"status": "healthy"}
    client.cookies.set("dashboards", "eyJ1c2VyIjogImFkbWluIn0=.aaaa.bbbb")
    assert client.get("/").status_code == 303
    assert dict(GUARDS)[b"content-security-policy"].decode() in client.get("/login").headers.get_list(
        "content-security-policy"
    )


def test_pages_of_other_addresses_are_refused(client: TestClient) -> None:
    """Another port of this machine is one: browsers send it the same cookie."""
    for origin in ("http://testserver:8080", "http://elsewhere.example", "null", "http://["):
        answer = client.post("/login", data={"user": "x"}, headers={"Origin": origin})
        assert answer.status_code == 403
        assert answer.text.startswith("asked from another address than this service's")
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            client.websocket_connect("/d/mine/ws", headers={"Origin": origin}),
        ):
            pass
        assert refused.value.code == 4403
    own = client.post("/login", data={"user": "x"}, headers={"Origin": "http://testserver"})
    assert own.status_code == 401


def test_a_form_that_is_none_is_not_read_to_its_end(client: TestClient) -> None:
    assert client.post("/login", content=b"x" * 100_000).status_code == 413


def test_where_somebody_wanted_to_go_is_kept_with_its_query(client: TestClient) -> None:
    assert client.get("/d/mine/?a=1&b=2").headers["location"] == "/login?next=/d/mine/%3Fa%3D1%26b%3D2"


def test_airflow_that_is_away_lets_nobody_in(client: TestClient) -> None:
    answer = client.post("/login", data={"user": "admin", "password": "x", "next": "/d/mine/"})
    assert answer.status_code == 401
    assert "does not answer, and it knows the logins" in answer.text
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    "target", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", ""]
)
def test_a_login_leads_nowhere_else(client: TestClient, target: str) -> None:
    page = client.get("/login", params={"next": target}).text
    assert '<input type="hidden" name="next" value="/">' in page


def test_notebooks_are_listed_by_what_they_say_of_themselves(settings: Settings) -> None:
    found = notebooks(settings.project / "dashboards")
    assert found.keys() == {"broken", "latin", "mine"}
    assert found["broken"] == "cannot be read: invalid syntax (<unknown>, line 1)"
    assert found["latin"].startswith("cannot be read: ")
    assert found["mine"] == "What is <mine>."


def test_shipped_notebooks_say_what_they_show() -> None:
    assert set(notebooks(CHECKOUT / "dashboards")) == {"flights", "live"}
    assert all(notebooks(CHECKOUT / "dashboards").values())
