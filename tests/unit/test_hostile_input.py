"""What people can write into params, XComs, run ids and contracts neither leaves the lake nor becomes SQL."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from millstream import jobs
from millstream.contract import Contract, months
from millstream.errors import ConfigurationError, ContractError
from millstream.lake.tables import TableRef
from millstream.landing import run_key
from millstream.models import model_spec
from millstream.settings import CHECKOUT, Settings

LAKE = "file:///lake"
PUBLISH: dict[str, Any] = {
    "lake_root": LAKE,
    "table": "silver.flights",
    "run": "manual__1",
    "sequence": 1,
    "staged_uri": f"{LAKE}/staging/silver.flights/manual__1",
    "staged_version": 0,
    "rows_read": 1,
    "load": "partition",
    "partitions": ["2013-01"],
    "partition_column": "month",
    "suite": {},
    "code_version": "abc",
}
HOSTILE_NAMES = (
    "",
    ".",
    "..",
    "../../etc",
    "a/b",
    "/etc/passwd",
    "a\\b",
    "a\n",
    "a\x00",
    "a'; DROP TABLE silver.flights; --",
    "a` WHERE 1=1 --",
    "%2e%2e%2fetc",
    "${jndi:ldap://127.0.0.1/x}",
    "{{ conn.mlflow_default.password }}",
    "\uff41",
)


def refused(job: str, **hostile: Any) -> None:
    with pytest.raises(ConfigurationError):
        jobs.parse(job, {**PUBLISH, **hostile})


def test_the_arguments_that_follow_are_good_but_for_the_hostile_one() -> None:
    jobs.parse("publish", PUBLISH)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_job_takes_no_hostile_run_table_or_column(name: str) -> None:
    refused("publish", run=name)
    refused("publish", replay=name)
    refused("publish", table=name)
    refused("publish", table=f"silver.{name}")
    refused("publish", table=f"{name}.flights")
    refused("publish", partition_column=name)
    with pytest.raises(ConfigurationError):
        jobs.parse(name, PUBLISH)
    with pytest.raises(ConfigurationError):
        model_spec(name)


@pytest.mark.parametrize(
    "month",
    [
        *HOSTILE_NAMES,
        "2013-01\n",
        "2013-1",
        "2013-13",
        "0000-01",
        "\u0662\u0660\u0661\u0663-\u0660\u0661",
        "2013-01') OR ('1'='1",
        "2013-01\\') OR 1=1 --",
    ],
)
def test_a_partition_is_a_month(month: str) -> None:
    refused("publish", partitions=["2013-01", month])
    if month:
        chosen = {"lake_root": LAKE, "run": "manual__1", "contract": {}, "partition": month}
        with pytest.raises(ConfigurationError):
            jobs.parse("find_quarantined", chosen)
    with pytest.raises(ContractError):
        months(month, "2013-02")


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        f"{LAKE}/silver/flights",
        f"{LAKE}/staging/silver.flights",
        f"{LAKE}/staging/silver.flights/",
        f"{LAKE}/staging/silver.flights/../../silver/flights",
        f"{LAKE}/staging/silver.flights/r1/../r2",
        f"{LAKE}/staging/../silver/flights",
        f"{LAKE}/staging/silver.flights/r1`; DROP TABLE x; --",
        f"{LAKE}-other/staging/silver.flights/r1",
        f"{LAKE}//staging/silver.flights/r1",
        "hdfs://elsewhere:8020/staging/silver.flights/r1",
    ],
)
def test_what_is_published_was_staged_in_this_lake(uri: str) -> None:
    refused("publish", staged_uri=uri)
    judged = {name: PUBLISH[name] for name in ("lake_root", "table", "run", "staged_version", "suite")}
    with pytest.raises(ConfigurationError):
        jobs.parse("quality_gate", {**judged, "staged_uri": uri})


@given(st.text())
def test_any_run_id_becomes_a_folder_below_its_table(run_id: str) -> None:
    table = TableRef(zone="silver", name="flights")
    uri = PurePosixPath(table.staging_uri("file:///lake", run_key(run_id)).removeprefix("file://"))

    assert uri.parent == PurePosixPath("/lake/staging/silver.flights")
    assert ".." not in uri.parts
    jobs.parse("publish", {**PUBLISH, "run": run_key(run_id)})


def contract(**changes: Any) -> dict[str, Any]:
    real = Contract.load_file(CHECKOUT / "dags" / "datasets" / "flights.yaml").model_dump(mode="json")
    return {**real, **changes, "source": {**real["source"], **changes.get("source", {})}}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_contract_takes_no_hostile_name(name: str) -> None:
    column = contract()["columns"][0]
    for change in (
        {"dataset": name},
        {"source": {"connection": name}},
        {"columns": [{**column, "name": name}]},
        {"primary_key": [name]},
        {"partition": {"column": name, "start": "2013-01"}},
        {"partition": {"column": "month", "start": name}},
    ):
        with pytest.raises(ContractError):
            Contract.from_dict(contract(**change), origin="hostile")


@pytest.mark.parametrize("path", ["/etc/{partition}", "../{partition}", "a/../../{partition}", "a/..", ".."])
def test_a_contracts_files_lie_below_the_connections_folder(path: str) -> None:
    with pytest.raises(ContractError):
        Contract.from_dict(contract(source={"path": path}), origin="hostile")


@pytest.mark.parametrize(
    "endpoint", ["evil.invalid", "/x?to=//evil.invalid", "/x#y", "/a b", "/a\n", "/a\x00", ""]
)
def test_a_contracts_endpoint_is_a_path(endpoint: str) -> None:
    source = {"kind": "http", "connection": "demo_weather_api", "endpoint": endpoint}
    data = contract(load="full", partition=None)
    Contract.from_dict({**data, "source": {**source, "endpoint": "/v1/weather"}}, origin="good")
    with pytest.raises(ContractError):
        Contract.from_dict({**data, "source": source}, origin="hostile")


@pytest.mark.parametrize(
    "table", ["flights; DROP TABLE x", "flights WHERE 1=1", 'a"b', "a.b.c", "flights\n", "(SELECT 1)", ""]
)
def test_a_contracts_table_is_a_name(table: str) -> None:
    source = {"kind": "sql", "connection": "demo_sql", "table": table, "key": "flight"}
    data = contract(load="full", partition=None)
    Contract.from_dict({**data, "source": {**source, "table": "flights"}}, origin="good")
    with pytest.raises(ContractError):
        Contract.from_dict({**data, "source": source}, origin="hostile")


@pytest.mark.parametrize("root", ["file:///a'b", "file:///a`b", 'file:///a"b', "file:///a\\b"])
def test_the_lakes_root_can_stand_in_a_query(root: str) -> None:
    with pytest.raises(ValidationError, match="cannot stand in a query"):
        Settings(lake_root=root)
