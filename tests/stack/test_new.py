"""`make new` on files that others wrote: what it writes can be loaded, and says what is not sure."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from airflow.dag_processing.dagbag import DagBag
from deltalake import write_deltalake
from rich.console import Console

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError, SourceDataError
from millstream.marts import load_mart
from millstream.marts.partitions import require_by_month
from millstream.settings import Settings
from millstream_demo.airports import publish_airports
from millstream_demo.reference import reference_file
from millstream_stack.__main__ import main
from millstream_stack.commands.new.columns import guess, names_for
from millstream_stack.commands.new.contracts import contract_text
from millstream_stack.commands.new.databases import at_table
from millstream_stack.commands.new.dataset import new_dataset
from millstream_stack.commands.new.mart import new_mart
from tests.support.new_models import publish_notes
from tests.support.packages import write_packages

SCREEN = Console(quiet=True)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MILLSTREAM_ROOT", str(tmp_path))
    return Settings()


def made(settings: Settings, dataset: str, origin: Path) -> Contract:
    new_dataset(settings, dataset, str(origin), SCREEN)
    return Contract.load_file(settings.root / "dags" / "datasets" / f"{dataset}.yaml")


def kinds(contract: Contract) -> dict[str, str]:
    return {column.name: column.type for column in contract.columns}


def test_a_year_of_flights(settings: Settings) -> None:
    contract = made(settings, "departures", reference_file("flights.csv.zip"))
    assert contract.primary_key == ("carrier", "flight", "time_hour")
    assert contract.null_values == ("", "NA")
    assert contract.source.format == "csv.zip"
    found = kinds(contract)
    assert {found[name] for name in ("year", "dep_time", "arr_delay", "distance")} == {"int"}
    assert {found[name] for name in ("carrier", "tailnum", "origin")} == {"string"}
    assert found["time_hour"] == "timestamp"
    text = (settings.root / "dags" / "datasets" / "departures.yaml").read_text()
    assert "# Proposed from the first 50000 rows: read and correct it." in text
    assert "primary_key: [carrier, flight, time_hour]  # of the rows that were looked at" in text
    bag = DagBag(str(settings.root / "dags"))
    assert (bag.import_errors, list(bag.dags)) == ({}, ["ingest_departures"])


def test_hours_of_weather_without_the_hour_that_comes_twice(settings: Settings) -> None:
    contract = made(settings, "observations", reference_file("weather.csv"))
    assert contract.primary_key == ("origin", "time_hour")
    assert kinds(contract)["wind_gust"] == "double"


def test_elements_of_xml_below_a_connection_that_is_there(settings: Settings) -> None:
    publish_airports(settings.home / "demo")
    contract = made(settings, "fields", settings.home / "demo" / "drop" / "airports" / "airports.xml")
    assert contract.source.model_dump(exclude_unset=True) == {
        **{"kind": "files", "connection": "demo_drop", "format": "xml", "path": "airports/airports.xml"},
        "row_tag": "airport",
    }
    assert contract.primary_key == ("faa",)


def test_descriptions_of_packages_with_names_that_no_column_may_have(settings: Settings) -> None:
    target = settings.root / "packages.jsonl"
    write_packages(target)
    contract = made(settings, "packages", target)
    aliases = {column.name: column.aliases for column in contract.columns}
    assert aliases["installed_size"] == ("Installed-Size",)
    assert kinds(contract)["installed_size"] == "int"
    assert contract.primary_key == ("package",)


def test_nothing_is_overwritten(settings: Settings) -> None:
    made(settings, "planes", reference_file("planes.csv"))
    dag = settings.root / "dags" / "ingest_planes.py"
    dag.write_text("mine")
    with pytest.raises(ConfigurationError, match=r"planes\.yaml.*ingest_planes\.py is there already"):
        made(settings, "planes", reference_file("planes.csv"))
    (settings.root / "dags" / "datasets" / "planes.yaml").unlink()
    with pytest.raises(ConfigurationError, match="is there already: nothing was written"):
        made(settings, "planes", reference_file("planes.csv"))
    assert dag.read_text() == "mine"
    assert not (settings.root / "dags" / "datasets" / "planes.yaml").exists()


def test_the_delimiter_is_seen(settings: Settings) -> None:
    path = settings.root / "x.csv"
    path.write_text("a;b\n1;2\n", encoding="utf-8")
    made(settings, "orders", path)
    contract = Contract.load_file(settings.root / "dags" / "datasets" / "orders.yaml")
    assert contract.format_options.delimiter == ";"
    assert contract.column_names == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("x.csv", "", "has no header: every line of it is blank"),
        ("x.csv", "a,b\n", "has no record that can be read"),
        ("x.pdf", "a,b\n", "no format is known by this name"),
        ("x.csv", b"PK\x03\x04aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "x.csv"),
    ],
)
def test_what_cannot_be_looked_at_writes_nothing(
    settings: Settings, name: str, content: str | bytes, why: str
) -> None:
    path = settings.root / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises((ConfigurationError, SourceDataError), match=why):
        made(settings, "orders", path)
    assert not (settings.root / "dags").exists()


@pytest.mark.parametrize(
    ("name", "content", "source", "found"),
    [
        ("x.csv", b"a;b\n1;2,5\n", {"delimiter": ";"}, {"a": "int", "b": "string"}),
        ("x.tsv", b"a\tb\n1\tx\n", {"delimiter": "\t"}, {"a": "int", "b": "string"}),
        ("x.csv", b"# made by hand\na,b\n1,x\n", {"comment": "#"}, {"a": "int", "b": "string"}),
        ("x.csv", b"name,b\nM\xfcller,2\n", {"encoding": "cp1252"}, {"name": "string", "b": "int"}),
        # As TPC-H's own generator writes tables.
        (
            "x.tbl",
            b"1|O|173665.47|1996-01-02|\n2|O|46929.18|1996-12-01|\n",
            {"delimiter": "|", "trailing_delimiter": True, "header": ["c1", "c2", "c3", "c4"]},
            {"c1": "int", "c2": "string", "c3": "decimal(18,2)", "c4": "date"},
        ),
        ("x.json", b'{"data": {"items": [{"a": 1}]}}', {"records": "data.items"}, {"a": "int"}),
        ("x.ndjson", b'{"a": 1}\n', {}, {"a": "int"}),
    ],
)
def test_what_has_to_be_said_of_a_file_is_seen(
    settings: Settings, name: str, content: bytes, source: dict[str, Any], found: dict[str, str]
) -> None:
    path = settings.root / name
    path.write_bytes(content)
    contract = made(settings, "orders", path)
    usual = {"kind", "connection", "format", "path"}
    written = contract.source.model_dump(mode="json", exclude=usual, exclude_unset=True)
    assert {key: value for key, value in written.items() if value is not None} == source
    assert kinds(contract) == found


@pytest.mark.parametrize(
    ("values", "kind", "unsure"),
    [
        (["1", "-2", None, ""], "int", ""),
        (["1", "3000000000"], "bigint", ""),
        (["1", "99999999999999999999"], "double", "more digits than a double holds"),
        (["1.5", "NA", "2"], "double", ""),
        (["10.357019999999999"], "double", ""),
        (["0.1234567890123456789"], "double", "more digits than a double holds"),
        (["007", "12"], "string", "digits that begin with 0: a code, or a number?"),
        (["0", "1"], "int", ""),
        (["Y", "N"], "boolean", "words for yes and no: N, Y"),
        (["2013-01-01", "2012-02-29"], "date", ""),
        (["2013-01-01T05:30+02:00"], "timestamp", ""),
        (["31.12.2013", "soon"], "string", ""),
        (["01/02/2013"], "string", "dates written as dd/MM/yyyy or MM/dd/yyyy?"),
        (["31/12/2013", "12/31/2013"], "string", ""),
        (["30.02.2013"], "string", ""),
        (["20131231"], "int", "dates? then type: date, format: yyyyMMdd"),
        (["1.5", "2.25"], "double", ""),
        (["1.234", "2.250"], "double", ""),
        (["1,5", "2,5"], "string", ""),
        (["12.50", "NaN"], "decimal(18,2)", ""),
        ([f"{10**40 + 1}.50"], "double", "more digits than a double holds"),
        (["NA"], "string", "only NA seen"),
        ([None], "string", "no value seen"),
        (["NA", "Namibia"], "string", ""),
    ],
)
def test_a_type_is_one_that_reads_every_value(values: list[str | None], kind: str, unsure: str) -> None:
    found = guess("x", "x", values)
    assert (found.kind, found.unsure) == (kind, unsure)


@pytest.mark.parametrize(
    ("values", "kind", "written"),
    [
        (["12.50", "-0.99", " 1000.00"], "decimal(18,2)", {}),
        (["12.50", "1,234,567.89"], "decimal(18,2)", {"thousands_mark": ","}),
        (["12,50", "0,99"], "decimal(18,2)", {"decimal_mark": ","}),
        (["12,50", "1.234,00"], "decimal(18,2)", {"decimal_mark": ",", "thousands_mark": "."}),
        (["1.0842"], "decimal(18,4)", {}),
        ([f"{10**14}.00"], "decimal(38,2)", {}),
        (["31.12.2013", "01.02.2013"], "date", {"format": "dd.MM.yyyy"}),
        (["31.12.2013", "1.2.2013"], "date", {"format": "d.M.yyyy"}),
        (["31/12/2013", "01/02/2013"], "date", {"format": "dd/MM/yyyy"}),
        (["12/31/2013", "01/02/2013"], "date", {"format": "MM/dd/yyyy"}),
        (["2013/12/31"], "date", {"format": "yyyy/MM/dd"}),
        (["31.12.2013 23:59"], "timestamp", {"format": "dd.MM.yyyy HH:mm"}),
        (["12/31/2013T23:59:58"], "timestamp", {"format": "MM/dd/yyyy'T'HH:mm:ss"}),
    ],
)
def test_how_amounts_and_dates_are_written_is_seen(
    settings: Settings, values: list[str], kind: str, written: dict[str, str]
) -> None:
    path = settings.root / "x.jsonl"
    path.write_text("".join(json.dumps({"id": value, "x": value}) + "\n" for value in values))
    column = made(settings, "orders", path).columns[1]
    entries = ("format", "decimal_mark", "thousands_mark")
    assert column.type == kind
    assert {name: value for name in entries if (value := getattr(column, name))} == written


def test_every_name_becomes_one_that_a_contract_takes() -> None:
    sources = ["Order ID", "orderId", "Größe", "2013", "%", "a" * 90, "order_id", "名前"]
    assert names_for(sources) == [
        *("order_id", "order_id_2", "grosse", "c_2013", "column", "a" * 58, "order_id_3", "column_2")
    ]


def test_a_table_of_a_database(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as shop:
        shop.execute(
            'CREATE TABLE orders ("orderId" INTEGER PRIMARY KEY, total FLOAT, tax DECIMAL(9, 3), '
            "paid BOOLEAN)"
        )
        shop.execute("ALTER TABLE orders ADD COLUMN updated_at DATETIME")
        shop.execute("INSERT INTO orders VALUES (1, 2.5, 0.475, 1, '2026-01-01 00:00:00')")
        shop.execute("CREATE TABLE loose (a TEXT)")
        shop.execute('CREATE TABLE items ("orderId" INTEGER, line TEXT, PRIMARY KEY ("orderId", line))')
    engine = sa.create_engine(f"sqlite:///{path}")
    text = contract_text("orders", at_table(engine, "shop_db", "orders"))
    (tmp_path / "orders.yaml").write_text(text)
    contract = Contract.load_file(tmp_path / "orders.yaml")
    assert contract.load == "watermark"
    assert contract.primary_key == ("order_id",)
    assert kinds(contract) == {
        "order_id": "int",
        "total": "double",
        "tax": "decimal(9,3)",
        "paid": "boolean",
        "updated_at": "timestamp",
    }
    (tmp_path / "items.yaml").write_text(contract_text("items", at_table(engine, "shop_db", "items")))
    contract = Contract.load_file(tmp_path / "items.yaml")
    assert contract.primary_key == ("order_id", "line")
    assert contract.source.own_columns == {"orderId", "line"}
    for table, why in (
        ("loose", "unique columns, and declares none"),
        ("gone", "has no table gone; it has"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            at_table(engine, "shop_db", table)
    (tmp_path / "loose.yaml").write_text(
        contract_text("loose", at_table(engine, "shop_db", "loose", ["a"]), ["a"])
    )
    contract = Contract.load_file(tmp_path / "loose.yaml")
    assert (contract.primary_key, contract.source.own_columns) == (("a",), {"a"})
    with pytest.raises(ConfigurationError, match="KEY: loose has no column b; it has a"):
        at_table(engine, "shop_db", "loose", ["b"])


def test_a_key_and_names_that_are_said_are_taken(settings: Settings) -> None:
    path = settings.root / "x.tbl"
    path.write_text("1|a|5|\n1|b|5|\n", encoding="utf-8")
    new_dataset(settings, "lines", str(path), SCREEN, key="order, line", columns="order,line,amount")
    file = settings.root / "dags" / "datasets" / "lines.yaml"
    contract = Contract.load_file(file)
    assert contract.primary_key == ("order", "line")
    assert contract.format_options.header == ("order", "line", "amount")
    assert "no line with names" not in file.read_text()
    with pytest.raises(ConfigurationError, match="KEY: there is no column price; there are order, line"):
        new_dataset(settings, "other", str(path), SCREEN, key="price", columns="order,line,amount")
    records = settings.root / "x.jsonl"
    records.write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="name their columns themselves"):
        new_dataset(settings, "other", str(records), SCREEN, columns="a")


def test_a_dag_file_for_a_mart_that_is_there(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "own"
    monkeypatch.setenv("MILLSTREAM_PROJECT", str(project))
    with pytest.raises(ConfigurationError, match="loud_notes"):
        new_mart(Settings(), "loud_notes", "", SCREEN)
    (project / "marts").mkdir(parents=True)
    select = "SELECT count(*) AS notes FROM silver.notes WHERE volume > 60\n"
    (project / "marts" / "loud_notes.sql").write_text(select)
    new_mart(Settings(), "loud_notes", "", SCREEN)
    assert (project / "marts" / "loud_notes.sql").read_text() == select
    assert 'mart_dag("loud_notes")' in (project / "dags" / "mart_loud_notes.py").read_text()
    with pytest.raises(ConfigurationError, match=r"marts/loud_notes.sql is written already"):
        new_mart(Settings(), "loud_notes", "", SCREEN, key="notes")


def test_a_select_with_the_key_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_PROJECT", str(tmp_path / "own"))
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
    publish_notes(f"file://{tmp_path}/lake", 3)
    new_mart(Settings(), "notes_again", "silver.notes", SCREEN, key="note, shelf")
    assert load_mart(tmp_path / "own", "notes_again").head.key == ("note", "shelf")
    new_mart(Settings(), "notes_more", "silver.notes", SCREEN)
    assert load_mart(tmp_path / "own", "notes_more").head.key == ()
    with pytest.raises(ConfigurationError, match=r"KEY: silver.notes has no column id; it has note, words"):
        new_mart(Settings(), "notes_other", "silver.notes", SCREEN, key="id")


def test_of_a_table_that_is_cut_the_head_says_how_to_make_the_mart_by_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"file://{tmp_path}/lake"
    monkeypatch.setenv("MILLSTREAM_PROJECT", str(tmp_path / "own"))
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", root)
    rows = pa.table({"month": ["2013-01"], "n": [1]})
    write_deltalake(f"{root}/silver/notes", rows, partition_by=["month"])
    new_mart(Settings(), "by_month", "silver.notes", SCREEN)
    file = tmp_path / "own" / "marts" / "by_month.sql"
    assert load_mart(tmp_path / "own", "by_month").head.partition is None
    file.write_text(file.read_text().replace("# partition:", "partition:"))
    mart = load_mart(tmp_path / "own", "by_month")
    assert mart.head.partition == "month"
    require_by_month(mart, {"silver.notes": "month"})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--mart", "m", "--from", "silver.notes", "--names", "a"], "a mart takes no NAMES"),
        (["--mart", "m", "--all", "1", "--label", "a > 1"], "a mart takes no ALL, LABEL"),
        (["--model", "m", "--from", "silver.notes", "--label", "a", "--key", "a"], "a model takes no KEY"),
        (["--dataset", "d", "--from", "shop:orders", "--text", "a"], "a dataset takes no TEXT"),
        (["--dataset", "d", "--from", "shop:orders", "--names", "a"], "leave out NAMES"),
        (["--dataset", "d", "--from", "shop:orders", "--all", "1"], "knows its key: leave out ALL"),
        (["--model", "m", "--from", "silver.notes"], "say what is new"),
    ],
)
def test_what_is_not_taken_is_refused(
    settings: Settings, capsys: pytest.CaptureFixture[str], given: list[str], why: str
) -> None:
    assert main(["new", *given]) != 0
    assert why in " ".join(capsys.readouterr().err.split())
    assert not [*settings.root.rglob("*.py")]
