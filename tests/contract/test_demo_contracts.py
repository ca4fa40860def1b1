"""The contracts beside the DAGs and the demo's sources fit: every row arrives, with the promised columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from millstream.bronze.rows import delivered
from millstream.contracts import drift
from millstream.contracts.contract import Contract
from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest, verify
from millstream.landing.run import Landing
from millstream.sources import FilesExtractor, HttpEndpoint, HttpExtractor, SqlExtractor
from millstream_demo import docstrings
from millstream_demo.airports import publish_airports
from millstream_demo.docstrings import publish_docstrings
from millstream_demo.flights import publish_flights
from millstream_demo.register import publish_register
from millstream_demo.weather_api import create_app, weather_records
from tests.support.decoding import records_of
from tests.support.loopback import serve

CONTRACTS = Path(__file__).parents[2] / "dags" / "datasets"
TOKEN = "t0ken-only-for-tests"

# Lines of the reference files, counted with wc, without their headers.
ROWS = {"airlines": 16, "airports": 1458, "flights": 336_776, "planes": 3322, "weather": 26_115}


def contract(dataset: str) -> Contract:
    return Contract.load_file(CONTRACTS / f"{dataset}.yaml")


@pytest.fixture
def land(tmp_path):
    storage = Storage(f"file://{tmp_path / 'lake'}")

    def land(extractor, dataset: str) -> Manifest:
        landing = Landing(storage, dataset, "manual__1")
        files = [file for piece in extractor.plan([]) for file in extractor.fetch(piece, landing)]
        manifest = landing.commit([], files)
        verify(storage, manifest)
        return manifest

    return land


def decoded_rows(lake: Path, contract: Contract, manifest: Manifest) -> int:
    """Rows that the platform's own decoder reads from the landed files, none of them broken."""
    count = 0
    for file in manifest.files:
        with (lake / file.path).open("rb") as stream:
            assert drift.of_columns(contract, delivered(contract, stream, file.path).names) == []
        with (lake / file.path).open("rb") as stream:
            for values, error, _, added in records_of(contract, stream):
                assert error is None
                assert added is None
                assert len(values) == len(contract.columns)
                count += 1
    return count


@pytest.mark.parametrize(
    ("dataset", "publish", "files"), [("airports", publish_airports, 1), ("flights", publish_flights, 12)]
)
def test_files(tmp_path, land, dataset, publish, files):
    publish(tmp_path)
    manifest = land(FilesExtractor(contract(dataset), tmp_path / "drop"), dataset)
    assert len(manifest.files) == files
    assert decoded_rows(tmp_path / "lake", contract(dataset), manifest) == ROWS[dataset]


def test_docstrings(tmp_path, land, monkeypatch):
    source = tmp_path / "lib.py"
    source.write_text('"""A library."""\n\n\ndef work():\n    """Works."""\n')
    monkeypatch.setattr(docstrings, "public_modules", lambda: [("lib", str(source))])
    publish_docstrings(tmp_path)
    manifest = land(FilesExtractor(contract("docstrings"), tmp_path / "drop"), "docstrings")
    assert decoded_rows(tmp_path / "lake", contract("docstrings"), manifest) == 2


def test_weather(tmp_path, land):
    with serve(create_app(weather_records(), TOKEN)) as url:
        endpoint = HttpEndpoint(url, headers={"Authorization": f"Bearer {TOKEN}"})
        manifest = land(HttpExtractor(contract("weather"), endpoint), "weather")
    assert len(manifest.files) == 6
    assert decoded_rows(tmp_path / "lake", contract("weather"), manifest) == ROWS["weather"]
    assert manifest.watermark_high == "2013-12-30T23:00:00Z"


@pytest.mark.parametrize(("dataset", "watermark"), [("airlines", None), ("planes", "2013-12-31T00:55:21")])
def test_register(tmp_path, land, dataset, watermark):
    publish_register(tmp_path)
    engine = sa.create_engine(f"sqlite:///{tmp_path}/source.db")
    manifest = land(SqlExtractor(contract(dataset), engine), dataset)
    tables = [pq.read_table(tmp_path / "lake" / file.path) for file in manifest.files]
    assert sum(table.num_rows for table in tables) == ROWS[dataset]
    assert set(contract(dataset).column_names) <= set(tables[0].column_names)
    # Entered one a second from midnight on: the last of 3,322 planes after 3,321 seconds.
    assert manifest.watermark_high == watermark


def test_every_dataset_of_the_demo_has_a_contract():
    assert {*ROWS, "docstrings"} <= {path.stem for path in CONTRACTS.glob("*.yaml")}
