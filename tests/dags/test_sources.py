"""Airflow connections become extractors: folder, HTTP endpoint with its login, database."""

from __future__ import annotations

import json
import sqlite3
import ssl
import sys

import httpx
import pytest

from millstream import sources
from millstream.contracts import sources as contract_kinds
from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError, ContractError
from millstream.lake.storage import Storage
from millstream.landing.run import Landing
from millstream.sources import (
    FilesExtractor,
    FileSlice,
    HttpExtractor,
    HttpSlice,
    SourceFile,
    SqlExtractor,
    SqlSlice,
)
from millstream_airflow import catalog, connections
from millstream_airflow.connections import extractor_for, slice_of
from millstream_airflow.pipelines.reconcile import against_source
from millstream_demo.register import publish_register
from tests.support.decoding import records_of
from tests.support.ledger_tables import publish

SOURCES = {
    "files": {"kind": "files", "connection": "other_system", "format": "csv", "path": "a.csv"},
    "http": {"kind": "http", "connection": "other_system", "endpoint": "/weather"},
    "sql": {"kind": "sql", "connection": "other_system", "table": "planes", "key": "tailnum"},
}


def contract(kind: str) -> Contract:
    return Contract.from_dict(
        {
            "dataset": "planes",
            "version": 1,
            "description": "Planes of another system.",
            "owner": "data",
            "source": SOURCES[kind],
            "load": "full",
            "start_date": "2013-01-01",
            "columns": [{"name": "tailnum", "type": "string", "description": "Tail number"}],
            "primary_key": ["tailnum"],
        },
        origin="planes.yaml",
    )


@pytest.fixture
def connect(monkeypatch):
    def connect(**connection) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_SYSTEM", json.dumps(connection))

    return connect


def request_of(extractor: HttpExtractor) -> httpx.Request:
    """What the extractor's client would send."""
    endpoint = extractor._endpoint
    client = httpx.Client(auth=endpoint.auth, headers=dict(endpoint.headers))
    request = client.build_request("GET", endpoint.base_url)
    return next(endpoint.auth.sync_auth_flow(request)) if endpoint.auth else request


def test_folder(connect, tmp_path):
    (tmp_path / "a.csv").write_text("tailnum\nN1\n")
    connect(conn_type="fs", extra={"path": str(tmp_path)})
    extractor = extractor_for(contract("files"))
    assert isinstance(extractor, FilesExtractor)
    assert extractor.plan([]) == [FileSlice(files=(SourceFile(path="a.csv"),))]


def test_folder_without_a_path(connect):
    connect(conn_type="fs")
    with pytest.raises(ConfigurationError, match="connection other_system: its extra names no path"):
        extractor_for(contract("files"))


def test_http_with_a_password_alone_is_a_bearer_token(connect):
    connect(conn_type="http", schema="https", host="weather.example", port=8443, password="t0ken")
    extractor = extractor_for(contract("http"))
    request = request_of(extractor)
    assert str(request.url) == "https://weather.example:8443"
    assert request.headers["Authorization"] == "Bearer t0ken"
    assert "t0ken" not in repr(extractor._endpoint)


def test_http_with_login_and_password_is_basic(connect):
    connect(conn_type="http", host="weather.example", login="anna", password="s3cret")
    request = request_of(extractor_for(contract("http")))
    assert str(request.url) == "http://weather.example"
    # base64 of anna:s3cret
    assert request.headers["Authorization"] == "Basic YW5uYTpzM2NyZXQ="


def test_http_with_a_token_url_is_a_client_of_oauth(connect):
    extra = {"token_url": "https://login.example/token", "scope": "read", "X-Tenant": "7"}
    connect(conn_type="http", host="weather.example", login="collector", password="s3cret", extra=extra)
    endpoint = extractor_for(contract("http"))._endpoint
    asked = next(endpoint.auth.sync_auth_flow(httpx.Request("GET", endpoint.base_url)))
    assert (asked.method, str(asked.url)) == ("POST", "https://login.example/token")
    assert asked.content == b"grant_type=client_credentials&scope=read"
    assert asked.headers["Authorization"] == "Basic Y29sbGVjdG9yOnMzY3JldA=="
    assert dict(endpoint.headers) == {"X-Tenant": "7"}
    assert "s3cret" not in repr(endpoint)


def test_http_with_a_key_among_the_parameters(connect):
    connect(conn_type="http", host="weather.example", password="k3y", extra={"api_key_param": "appid"})
    extractor = extractor_for(contract("http"))
    request = request_of(extractor)
    assert str(request.url) == "http://weather.example?appid=k3y"
    assert "Authorization" not in request.headers
    assert extractor._endpoint.hidden_params == {"appid"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scope": "read"}, "scope means nothing without token_url"),
        ({"token_url": "login.example"}, "token_url has to begin with https://"),
        ({"token_url": 7}, "token_url has to be a text"),
        ({"token_url": "https://login.example"}, "needs the client id as the login"),
        ({"token_url": "https://login.example", "login": "x", "client_authentication": "jwt"}, "'basic' or"),
        ({"api_key_param": "key", "token_url": "https://login.example"}, "goes with none of token_url"),
        ({"api_key_param": "key", "password": ""}, "api_key_param needs the key as the password"),
    ],
)
def test_http_extra_that_says_no_whole_login_is_refused(connect, given, said):
    fields = {name: given.pop(name) for name in ("login", "password") if name in given}
    connect(conn_type="http", host="weather.example", **{"password": "s3cret", **fields}, extra=given)
    with pytest.raises(ConfigurationError, match=f"connection other_system: .*{said}"):
        extractor_for(contract("http"))


def test_http_extra_gives_headers_and_options(connect):
    connect(
        conn_type="http",
        host="weather.example",
        password="x",
        extra={"Authorization": "Key 1", "verify": False},
    )
    extractor = extractor_for(contract("http"))
    assert request_of(extractor).headers["Authorization"] == "Key 1"
    assert "verify" not in request_of(extractor).headers
    assert "python-requests" not in request_of(extractor).headers["User-Agent"]
    assert extractor._endpoint.verify is False


def test_http_authorities_of_ones_own(connect):
    connect(conn_type="http", host="weather.example", extra={"verify": ssl.get_default_verify_paths().cafile})
    assert isinstance(extractor_for(contract("http"))._endpoint.verify, ssl.SSLContext)


def test_sqlite_by_path(connect, tmp_path):
    connect(conn_type="sqlite", host=str(tmp_path / "source.db"))
    extractor = extractor_for(contract("sql"))
    assert isinstance(extractor, SqlExtractor)
    assert str(extractor._at_source._engine.url) == f"sqlite:///{tmp_path}/source.db"


def test_postgresql(connect):
    connect(
        conn_type="postgres",
        host="db.example",
        port=5433,
        login="reader",
        password="s3cret@/",
        schema="fleet",
    )
    engine = extractor_for(contract("sql"))._at_source._engine
    assert engine.url.render_as_string(hide_password=False).endswith(
        "://reader:s3cret%40%2F@db.example:5433/fleet"
    )
    assert engine.url.get_backend_name() == "postgresql"
    assert "s3cret" not in repr(engine)


def test_sql_source_on_a_connection_of_another_kind(connect):
    connect(conn_type="http", host="db.example")
    with pytest.raises(ConfigurationError) as refused:
        extractor_for(contract("sql"))
    assert (
        str(refused.value)
        == "connection other_system: its type, http, is no SQL database; correct it, or name another"
    )


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (
            "oracle",
            "its type, oracle, is not known here. Correct it; or install the Airflow provider that brings "
            "it, mostly apache-airflow-providers-oracle. Add it to the dependencies in pyproject.toml",
        ),
        ("generic", "its type, generic, is not known here"),
        ("", "it has no type; choose the database's, for example postgres"),
    ],
)
def test_connection_of_a_type_that_is_not_installed_says_how_to_install_it(connect, kind, told):
    connect(conn_type=kind, host="db.example")
    with pytest.raises(ConfigurationError, match=f"connection other_system: ({told})"):
        extractor_for(contract("sql"))


@pytest.mark.parametrize("kind", ["files", "http", "sql"])
def test_connection_that_is_not_defined(kind, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_OTHER_SYSTEM", raising=False)
    with pytest.raises(ConfigurationError) as refused:
        extractor_for(contract(kind))
    assert str(refused.value) == (
        "connection other_system is not defined: add it under Admin > Connections, or as the environment "
        "variable AIRFLOW_CONN_OTHER_SYSTEM"
    )


def test_reconcile_asks_the_sources_of_the_shipped_contracts(tmp_path, monkeypatch):
    root = f"file://{tmp_path}/lake"
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", root)
    monkeypatch.setenv(
        "AIRFLOW_CONN_DEMO_SQL", json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/source.db"})
    )
    publish_register(tmp_path)
    planes = catalog.contract("planes")
    landing = Landing(Storage(root), "planes", "r1")
    extractor = extractor_for(planes)
    files = [file for piece in extractor.plan([]) for file in extractor.fetch(piece, landing)]
    manifest = landing.commit([], files)
    began = {"fetch_began": manifest.fetch_began}
    publish(root, "silver.planes", "r1", read=3322, watermark=manifest.watermark_high, **began)
    assert [against_source(dataset) for dataset in ("planes", "airlines", "weather", "flights")] == [[]] * 4

    with sqlite3.connect(tmp_path / "source.db") as register:
        register.execute("UPDATE planes SET updated_at = '2013-12-01 00:00:00' WHERE tailnum = 'N10156'")
        register.execute("INSERT INTO planes (tailnum, updated_at) VALUES ('N0', '2013-12-01T00:00:00Z')")
    (found,) = against_source("planes")
    assert found.remedy == "person"
    assert "2 are missing: they were committed later than source.lookback reaches back" in found.text

    (tmp_path / "source.db").unlink()
    (found,) = against_source("planes")
    assert (found.subject, found.remedy) == ("silver.planes", "none")
    assert "not compared with its source: table planes of sqlite" in found.text


@pytest.mark.parametrize(
    ("kind", "piece"),
    [
        ("files", FileSlice(files=(SourceFile(path="a.csv", partition="2013-01"),))),
        ("http", HttpSlice(since="2013-01-01T00:00:00Z")),
        ("sql", SqlSlice(number=2, after="N1", upto="N9", since="2013-01-01", until="2013-01-02")),
    ],
)
def test_slices_survive_their_way_through_xcom(kind, piece):
    assert slice_of(contract(kind), json.loads(json.dumps(piece.model_dump(mode="json")))) == piece


KIND = """
from typing import ClassVar, Literal
from millstream.contracts import sources


class Source(sources.Source):
    kind: Literal["numbers"]
    format: Literal["jsonl"] = "jsonl"
    upto: int
    may_be_blank: ClassVar[bool] = True
"""
EXTRACTOR = """
from typing import Literal
from pydantic import BaseModel
from millstream.landing.run import in_memory


class Slice(BaseModel):
    kind: Literal["numbers"] = "numbers"
    upto: int


class Extractor:
    def __init__(self, contract, start):
        self.source, self.start = contract.source, start

    def plan(self, partitions, watermark=None):
        return [Slice(upto=self.source.upto)]

    def fetch(self, piece, landing):
        lines = "".join(f'{{"tailnum": "N{number}"}}\\n' for number in range(self.start, piece.upto))
        return [landing.land(source="numbers", name="numbers.jsonl", read=in_memory(lines.encode()))]


EXTRACTOR, SLICE = Extractor, Slice
"""
CONNECTION = """
from airflow.sdk import BaseHook


def resolved(connection):
    return BaseHook.get_connection(connection).port
"""


def test_a_kind_of_source_is_added_by_three_files(connect, tmp_path, monkeypatch):
    for package, text in ((contract_kinds, KIND), (sources, EXTRACTOR), (connections, CONNECTION)):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / "numbers.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        monkeypatch.delitem(sys.modules, f"{package.__name__}.numbers", raising=False)
    monkeypatch.setitem(SOURCES, "numbers", {"kind": "numbers", "connection": "other_system", "upto": 12})
    connect(conn_type="generic", port=10)
    of = contract("numbers")
    extractor = extractor_for(of)
    landing = Landing(Storage(f"file://{tmp_path}/lake"), "planes", "1")
    (piece,) = [slice_of(of, planned.model_dump(mode="json")) for planned in extractor.plan([])]
    (file,) = extractor.fetch(piece, landing)
    with landing.storage.reading(file.path) as stream:
        assert [record and record.values for record in records_of(of, stream)] == [["N10"], ["N11"]]
    # What it cannot do it has not said that it can.
    with pytest.raises(ContractError, match="a source of kind numbers is not read by partition"):
        Contract.from_dict(
            {**of.model_dump(mode="json"), "load": "partition", "partition": {"start": "2013-01"}},
            origin="planes.yaml",
        )
