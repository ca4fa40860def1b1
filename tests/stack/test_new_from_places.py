"""`make new` on files at other places than a path of this machine: what it writes reads exactly these."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError, SourceDataError
from millstream.settings import Settings
from millstream.sources.files import FilesExtractor
from millstream_airflow.connections.files import resolved
from millstream_stack.commands.new import places
from millstream_stack.commands.new.dataset import new_dataset

SCREEN = Console(quiet=True)
ORDERS = "id,total\n1,10.50\n2,7.25\n"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    before = dict(os.environ)
    monkeypatch.setenv("MILLSTREAM_ROOT", str(tmp_path / "checkout"))
    yield Settings()
    # The command gives Airflow its connections by its own environment.
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """Three files of orders, of which the newest has a column more, and one of something else."""
    folder = tmp_path / "drop"
    files = {
        "2024-01/a.csv": ORDERS,
        "2024-02/b.csv": ORDERS,
        "2024-03/c.csv": "id,total,day\n3,1.00,2024-03-01\n",
        "readme.jsonl": "{}\n",
    }
    for number, (name, text) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (number, number))
    return folder


def made(settings: Settings, origin: str | Path, dataset: str = "orders") -> tuple[Contract, str]:
    new_dataset(settings, dataset, str(origin), SCREEN)
    path = settings.project / "dags" / "datasets" / f"{dataset}.yaml"
    return Contract.load_file(path), path.read_text()


def read(contract: Contract, folder: Path) -> list[str]:
    """The files that a run would land."""
    pieces = FilesExtractor(contract, folder).plan([])
    return [file.path for piece in pieces for file in piece.files]


def test_a_folder_is_all_its_files_of_one_format(settings: Settings, drop: Path) -> None:
    contract, text = made(settings, drop)
    assert contract.source.model_dump()["path"] == "**/*.csv"
    assert read(contract, drop) == ["2024-01/a.csv", "2024-02/b.csv", "2024-03/c.csv"]
    assert contract.column_names == ["id", "total", "day"]
    assert "# 3 files; looked at the newest, 2024-03/c.csv" in text
    assert "# 2024-01/a.csv lacks day" in text
    assert f"""AIRFLOW_CONN_ORDERS_FILES='{{"conn_type": "fs", "extra": {{"path": "{drop}"}}}}'""" in text


def test_a_pattern_is_what_matches_it(settings: Settings, drop: Path) -> None:
    contract, text = made(settings, drop / "2024-0*" / "*.csv")
    assert contract.source.model_dump()["path"] == "2024-0*/*.csv"
    assert len(read(contract, drop)) == 3
    assert "Proposed from the first 1 rows" in text


@pytest.mark.parametrize("origin", ["2024-01", "shop:2024-01/a.csv", "shop:2024-01"])
def test_below_a_connections_folder_the_path_is_its_own(
    settings: Settings, drop: Path, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    shop = {"conn_type": "fs", "extra": {"path": str(drop)}}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(shop))
    contract, text = made(settings, origin if ":" in origin else drop / origin)
    assert contract.source.connection == "shop"
    assert read(contract, drop) == ["2024-01/a.csv"]
    assert "AIRFLOW_CONN" not in text


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("drop/*.parquet", r"no file matches .*/drop/\*\.parquet"),
        ("nowhere", "is neither a file nor a folder"),
        ("empty", "no file there, and none below it, whose name says a known format"),
        ("drop/2024-01/a.pdf", "is neither a file nor a folder"),
    ],
)
def test_where_nothing_is_found_nothing_is_written(
    settings: Settings, drop: Path, origin: str, said: str
) -> None:
    (drop.parent / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=said):
        made(settings, drop.parent / origin)
    assert not (settings.project / "dags").exists()


def test_of_a_large_file_whole_lines_are_looked_at(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    lines = "".join(f"{number},1.25\n" for number in range(1000))
    (folder / "a.csv").write_text(f"id,total\n{lines}")
    monkeypatch.setattr(places, "SAMPLE_BYTES", 100)
    monkeypatch.setattr(places, "CHUNK_BYTES", 64)
    contract, text = made(settings, folder)
    assert "Proposed from the first 16 rows" in text
    assert {one.name: one.type for one in contract.columns} == {"id": "int", "total": "decimal(18,2)"}


@pytest.fixture
def address(drop: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(drop))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_is_a_download(settings: Settings, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    contract, text = made(settings, f"{address}/2024-01/a.csv")
    assert contract.source.model_dump()["path"] == "2024-01/a.csv"
    (line,) = (line for line in text.splitlines() if "AIRFLOW_CONN_ORDERS_FILES" in line)
    # As it says to be done.
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS_FILES", line.partition("='")[2].rstrip("'"))
    with resolved(contract.source.connection).open("2024-01/a.csv") as stream:
        assert stream.read().decode() == ORDERS


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/2024-01/none.csv", "none.csv is not there"),
        ("/2024-01/a.csv?key=s3cret", "login and parameters go into a connection"),
    ],
)
def test_an_address_that_cannot_be_read_is_told(
    settings: Settings, address: str, path: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        made(settings, f"{address}{path}")
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_none_of_its_format_is_told_with_its_name(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "wrong"
    folder.mkdir()
    (folder / "a.parquet").write_text(ORDERS)
    with pytest.raises(SourceDataError, match=rf"^{folder}/a\.parquet is not a readable"):
        made(settings, folder)
