"""What people can write into params, XComs, run ids and contracts neither leaves the lake nor becomes SQL."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from millstream import jobs
from millstream.contracts.contract import Contract
from millstream.contracts.periods import periods
from millstream.errors import ConfigurationError, ContractError, SourceDataError
from millstream.jobs.fit_candidate import Result as Fitted
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.manifest import LandedFile, Manifest, manifests_of, read_manifest, run_key
from millstream.landing.run import Landing, in_memory
from millstream.models import model_spec
from millstream.settings import CHECKOUT, Settings
from millstream.sources import SourceFile

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
FITTED: dict[str, Any] = {
    "candidate": "decision_tree",
    "model_uri": f"{LAKE}/models/arrival_delay/manual__1/decision_tree",
    "params": {},
    "validation": {"auc_roc": 0.7},
    "threshold": 0.5,
    "rows": {},
    "seconds": 1.0,
    "mlflow_run_id": "0123456789abcdef0123456789abcdef",
    "mlflow_url": "http://127.0.0.1:5000",
}
CONTENT = b"carrier,name\n"
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
    jobs.parse("publish", {**PUBLISH, "inputs": {"silver.flights": 1, "model.arrival_delay": 2}})
    Fitted.model_validate(FITTED)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_job_takes_no_hostile_run_table_or_column(name: str) -> None:
    refused("publish", run=name)
    refused("publish", replay=name)
    refused("publish", table=name)
    refused("publish", table=f"silver.{name}")
    refused("publish", table=f"{name}.flights")
    refused("publish", partition_column=name)
    refused("publish", inputs={name: 1})
    refused("publish", inputs={f"model.{name}": 1})
    fit = {"lake_root": LAKE, "run": "manual__1", "model": "arrival_delay", "input_version": 1}
    with pytest.raises(ConfigurationError):
        jobs.parse("fit_candidate", {**fit, "code_version": "abc", "candidate": name})
    with pytest.raises(ValidationError):
        Fitted.model_validate({**FITTED, "candidate": name})
    with pytest.raises(ConfigurationError):
        jobs.parse(name, PUBLISH)
    with pytest.raises(ConfigurationError):
        model_spec(name)


@pytest.mark.parametrize(
    "scope",
    [
        {"load": "partition", "partitions": []},
        {"load": "partition", "partition_column": None},
        {"load": "full"},
        {"load": "watermark"},
    ],
    ids=str,
)
def test_what_is_replaced_follows_from_how_the_table_is_loaded(scope: dict[str, Any]) -> None:
    jobs.parse("publish", {**PUBLISH, "load": "full", "partitions": []})
    jobs.parse("publish", {**PUBLISH, "load": "full", "partitions": [], "partition_column": None})
    jobs.parse("publish", {**PUBLISH, "load": "watermark", "partitions": [], "partition_column": None})
    refused("publish", **scope)


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
        periods(month, "2013-02")


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


def test_a_gate_may_be_asked_without_the_tables_that_were_read() -> None:
    judged = {
        name: PUBLISH[name] for name in ("lake_root", "table", "run", "staged_uri", "staged_version", "suite")
    }
    assert jobs.parse("quality_gate", {**judged, "inputs": None}).inputs is None  # type: ignore[attr-defined]


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


@pytest.mark.parametrize(
    "name", ["a'b", "a`b", 'a"b', "a\\b", "a b", "a#b", "a%20b", "a?b", "a;b", "a:b", "a$b"]
)
def test_the_places_of_checkout_home_and_lake_mean_themselves_everywhere(name: str) -> None:
    for wrong in ({"lake_root": f"file:///{name}"}, {"home": f"/{name}"}, {"root": f"/{name}"}):
        with pytest.raises(ValidationError, match="move it to another folder"):
            Settings(**wrong)
    assert Settings(lake_root="file:///a@b+c=d~e").lake_root == "file:///a@b+c=d~e"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A lake with one landed file and one table; a secret lies beside it."""
    lake = Storage(f"file://{tmp_path}/lake")
    landing = Landing(lake, "airlines", "manual__1")
    landing.commit([], [landing.land("airlines.csv", "airlines.csv", in_memory(CONTENT))])
    lake.write("silver/planes/part-0.parquet", b"rows")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "credentials.json").write_text("secret")
    return lake


HOSTILE_PATHS = (
    "",
    ".",
    "/",
    "..",
    "../secrets/credentials.json",
    "/etc/passwd",
    "silver/planes",
    "landing",
    "landing/airlines",
    "landing/airlines/_manifests/manual__1.json",
    "landing/airlines/../../silver/planes",
    "landing/airlines/../0123456789ab-a.csv",
    "landing/../silver/0123456789ab-a.csv",
    "landing//0123456789ab-a.csv",
    "./landing/airlines/0123456789ab-a.csv",
    "landing/airlines/0123456789ab-..",
    "landing/airlines/0123456789ab-a.csv\n",
    "landing/airlines/0123456789ab-a\x00.csv",
    "landing/airlines/partition=../0123456789ab-a.csv",
    "landing/airlines/partition=2013-13/0123456789ab-a.csv",
    "file:///etc/passwd",
)


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "..a...b..", "ü" * 300])
def test_what_a_source_calls_its_file_makes_a_landed_path(storage: Storage, name: str) -> None:
    landing = Landing(storage, "flights", "manual__2")
    written = landing.commit(["2013-01"], [landing.land(name, name, in_memory(CONTENT), partition="2013-01")])
    assert read_manifest(storage, "flights", "manual__2") == written


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_landed_file_lies_in_the_landing_folder(storage: Storage, path: str) -> None:
    (file,) = read_manifest(storage, "airlines", "manual__1").files
    good = file.model_dump(mode="json")
    assert LandedFile.model_validate(good) == file
    with pytest.raises(ValidationError):
        LandedFile.model_validate({**good, "path": path})


@pytest.mark.parametrize("month", [*HOSTILE_NAMES, "2013-13", "../../../../escaped", "all"])
def test_what_is_fetched_is_of_a_month_or_of_none(storage: Storage, month: str) -> None:
    (file,) = read_manifest(storage, "airlines", "manual__1").files
    for model, good in ((LandedFile, file.model_dump()), (SourceFile, {"path": "a.csv"})):
        model.model_validate({**good, "partition": "2013-01"})
        with pytest.raises(ValidationError):
            model.model_validate({**good, "partition": month})


@pytest.mark.parametrize(
    "path", ["", "..", "../a.csv", "a/../../b.csv", "/etc/passwd", "a\n.csv", "a\x00.csv"]
)
def test_a_slices_file_lies_below_the_connections_folder(path: str) -> None:
    SourceFile(path="in/a b.csv")
    with pytest.raises(ValidationError):
        SourceFile(path=path)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "../airlines"},
        {"dataset": "planes"},
        {"key": "../../silver/planes"},
        {"key": ".."},
        {"partitions": ["../../escaped"]},
        {"path": "silver/planes"},
    ],
    ids=str,
)
def test_a_manifest_names_files_of_its_dataset_only(storage: Storage, change: dict[str, Any]) -> None:
    manifest = read_manifest(storage, "airlines", "manual__1")
    good = manifest.model_dump(mode="json")
    assert Manifest.model_validate(good) == manifest
    if "path" in change:
        change = {"files": [{**good["files"][0], **change}]}
    storage.write(manifest.path, json.dumps({**good, **change}).encode())
    with pytest.raises(SourceDataError, match=r"_manifests/manual__1\.json is not a manifest"):
        manifests_of(storage, "airlines")


@pytest.mark.parametrize("path", ["..", "../secrets/credentials.json", "landing/../../secrets", "/", "/etc"])
def test_storage_touches_nothing_outside_its_root(storage: Storage, path: str, tmp_path: Path) -> None:
    inside = "silver/planes/part-0.parquet"
    for touch in (
        lambda: storage.exists(path),
        lambda: storage.list(path),
        lambda: storage.files(path),
        lambda: storage.read(path),
        lambda: storage.write(path, b"x"),
        lambda: storage.write(f"{path}/x", b"x"),
        lambda: storage.rename(path, "silver/x"),
        lambda: storage.rename(inside, path),
        lambda: storage.remove(path),
    ):
        with pytest.raises(ConfigurationError, match="leads out of"):
            touch()
    assert (tmp_path / "secrets" / "credentials.json").read_text() == "secret"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["lake", "secrets"]
    assert storage.read(inside) == b"rows"


@pytest.mark.parametrize("path", ["", ".", "./", ".//."])
def test_storage_does_not_remove_its_root(storage: Storage, path: str) -> None:
    with pytest.raises(ConfigurationError, match="is all of"):
        storage.remove(path)
    assert storage.exists("silver/planes/part-0.parquet")


def test_what_a_link_in_the_lake_leads_to_is_not_removed_with_it(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "lake" / "silver" / "planes" / "link").symlink_to(tmp_path / "secrets")
    storage.remove("silver/planes")
    assert not storage.exists("silver/planes")
    assert (tmp_path / "secrets" / "credentials.json").read_text() == "secret"


# What a field of each name must never take, in whichever job it stands.
NEVER: dict[str, object] = {
    "run": "../r1",
    "source_run": "a/b",
    "replay": "../r1",
    "table": "silver/flights",
    "partition": "2013-13",
    "partitions": ["2013-01' OR 1=1"],
    "partition_column": "month; DROP",
    "candidate": "../tree",
    "inputs": {"silver/../x": 1},
    "staged_uri": "file:///elsewhere/staging/silver.flights/r1",
}
ARGUMENTS = {
    f"{path.stem}.{name}": (path.stem, name)
    for path in sorted((CHECKOUT / "spark_jobs" / "millstream" / "jobs").glob("*.py"))
    if path.stem != "__init__"
    for name in jobs.load(path.stem).Args.model_fields
    if name in NEVER
}


@pytest.mark.parametrize(("job", "name"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_no_job_takes_a_name_that_could_lead_elsewhere(job: str, name: str) -> None:
    """Other arguments may be missing besides: what counts is that this one is named."""
    model = jobs.load(job).Args
    # The place of a staged table is looked at once all the others are right.
    others = {
        field: PUBLISH[field] for field in PUBLISH if name == "staged_uri" and field in model.model_fields
    }
    with pytest.raises(ConfigurationError, match=rf"job {job}: .*\b{name}\b|not a lake table"):
        jobs.parse(job, {**others, name: NEVER[name]})


def test_every_kind_of_name_is_asked_of_some_job() -> None:
    assert {name for _, name in ARGUMENTS.values()} == set(NEVER)
