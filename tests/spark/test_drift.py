"""Changes at the source, by kind of source and of change: what is loaded, what is told, what is refused.

Planes are delivered in every format that there is; all of them end in the same rows.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import sqlalchemy as sa
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from millstream.bronze.typed import typed
from millstream.contracts.contract import Contract
from millstream.errors import ContractError, SchemaDriftError
from millstream.lake import history
from millstream.lake.delta import TableDefinition, create_table, replace, require_columns
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.manifest import read_manifest
from millstream.landing.run import Landing, in_memory
from millstream.sources.sql import SqlExtractor
from millstream.transforms import column
from tests.support.chain import Chain, contract_of, small_suite
from tests.support.thorough import thorough

ANY_ROWS = {
    "type": "expect_table_row_count_to_be_between",
    "kwargs": {"min_value": 1},
    "severity": "critical",
    "meta": {},
}
Row = dict[str, Any]
BRONZE = TableRef(zone="bronze", name="planes")
COLUMNS = contract_of("planes").column_names
N1: Row = dict(zip(COLUMNS, ["N1", 2004, "Fixed wing", "EMBRAER", "EMB", 2, 55, 432.5, "jet"], strict=True))
N2: Row = {**N1, "tailnum": "N2", "seats": 182}

FILES = {"kind": "files", "connection": "drop"}
SOURCES: dict[str, dict[str, Any]] = {
    "csv": {**FILES, "format": "csv", "path": "p.csv"},
    "csv.zip": {**FILES, "format": "csv.zip", "path": "p.csv.zip"},
    "jsonl.gz": {**FILES, "format": "jsonl.gz", "path": "p.jsonl.gz"},
    "xml": {**FILES, "format": "xml", "path": "p.xml", "row_tag": "plane"},
    "http": {"kind": "http", "connection": "api", "endpoint": "/planes"},
    "sql": {"kind": "sql", "connection": "db", "table": "planes", "key": "tailnum"},
}


def csv_file(rows: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def zipped(rows: list[Row]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("planes.csv", csv_file(rows))
    return stream.getvalue()


def xml_file(rows: list[Row]) -> bytes:
    planes = (
        "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in row.items()) for row in rows
    )
    return f"<planes>{''.join(f'<plane>{plane}</plane>' for plane in planes)}</planes>".encode()


WRITE: dict[str, Callable[[list[Row]], bytes]] = {
    "csv": csv_file,
    "csv.zip": zipped,
    "jsonl.gz": lambda rows: gzip.compress("\n".join(map(json.dumps, rows)).encode()),
    "xml": xml_file,
    "http": lambda rows: json.dumps({"results": rows}).encode(),
}


def contract(kind: str = "csv", columns: dict[str, dict[str, Any]] | None = None, **more: Any) -> Contract:
    """The planes' contract for another source; `columns` are changes by column."""
    real = contract_of("planes").model_dump(mode="json")["columns"]
    changed = [{**column, **(columns or {}).get(column["name"], {})} for column in real]
    return contract_of("planes", source=SOURCES[kind], load="full", columns=changed, **more)


class Planes(Chain):
    """The chain of planes, delivered in the format of its contract."""

    def deliver(self, run: str, *rows: Row) -> None:
        landing = Landing(Storage(self.root), "planes", run)
        if self.contract.source.kind == "sql":
            engine = self._database(list(rows))
            extractor = SqlExtractor(self.contract, engine)
            files = [file for piece in extractor.plan([]) for file in extractor.fetch(piece, landing)]
        else:
            content = WRITE[self._kind](list(rows))
            files = [landing.land("planes", f"planes.{self._kind}", in_memory(content))]
        landing.commit([], files)

    def load(self, run: str, *rows: Row) -> dict[str, Any]:
        self.deliver(run, *rows)
        return self.load_bronze(run)

    @property
    def _kind(self) -> str:
        return next(kind for kind, source in SOURCES.items() if source.items() <= self._source.items())

    @property
    def _source(self) -> dict[str, Any]:
        return self.contract.source.model_dump(mode="json")

    def _database(self, rows: list[Row]) -> sa.Engine:
        path = self.drop / "planes.db"
        path.unlink(missing_ok=True)
        words = {str: "TEXT", int: "BIGINT", float: "DOUBLE"}
        columns = ", ".join(f"`{name}` {words[type(value)]}" for name, value in rows[0].items())
        with sqlite3.connect(path) as database:
            database.execute(f"CREATE TABLE planes ({columns})")
            marks = ", ".join("?" * len(rows[0]))
            database.executemany(
                f"INSERT INTO planes VALUES ({marks})", [tuple(row.values()) for row in rows]
            )
        return sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)

    def bronze_rows(self) -> list[Row]:
        return [row.asDict() for row in self.rows(BRONZE).orderBy("_source_row").collect()]

    def staged_rows(self, run: str, **more: Any) -> tuple[dict[str, Row], dict[str, Any]]:
        staged = self.stage(run, **more)
        found = self.spark.read.format("delta").load(staged["staged_uri"]).collect()
        return {row["tailnum"]: row.asDict() for row in found}, staged


@pytest.fixture
def planes(spark: SparkSession, tmp_path: Path) -> Callable[..., Planes]:
    return lambda wanted: Planes(spark, tmp_path, wanted, small_suite(ANY_ROWS))


def without(row: Row, *names: str, **more: Any) -> Row:
    return {name: value for name, value in {**row, **more}.items() if name not in names}


def told(staged: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (change["kind"], change["column"], change["policy"], change["detail"], change["rows"])
        for change in staged["drift"]
    ]


# With the test that follows each kind of source is met once; the thorough part has all of both.
@pytest.mark.parametrize("kind", ["http", *thorough("csv", "csv.zip", "jsonl.gz", "sql", "xml")])
def test_a_removed_column_loads_nothing_and_a_rename_or_an_addition_loses_nothing(
    planes: Callable[..., Planes], kind: str
) -> None:
    chain = planes(contract(kind, {"seats": {"aliases": ["places"]}}))
    loaded = chain.load("r1", N1)
    assert loaded["drift"] == []

    with pytest.raises(SchemaDriftError, match="column removed at the source: seats; found tailnum, year"):
        chain.load("r2", without(N1, "seats"))
    assert history.version(BRONZE, chain.root) == loaded["version"]

    chain.deliver("r3", without(N1, "seats", places=55, wings=2), without(N2, "seats", places=182, wings=4))
    rows, staged = chain.staged_rows("r3")
    assert told(staged) == [
        ("renamed", "seats", "evolve", "delivered as places", None),
        ("added", "wings", "evolve", "", None),
    ]
    assert [rows[name]["seats"] for name in ("N1", "N2")] == [55, 182]
    assert [row["_malformed"] for row in rows.values()] == [[], []]
    assert [json.loads(row["_added"]) for row in chain.bronze_rows()] == [{"wings": "2"}, {"wings": "4"}]


@pytest.mark.parametrize("kind", ["xml", *thorough("csv", "csv.zip", "http", "jsonl.gz", "sql")])
def test_a_removed_column_that_may_be_null_is_announced_in_both_modes(
    planes: Callable[..., Planes], kind: str
) -> None:
    chain = planes(contract(kind, drift={"removed": "evolve"}))
    chain.deliver("r1", without(N1, "seats"), without(N2, "seats"))
    for mode in ("elt", "etl"):
        rows, staged = chain.staged_rows("r1", mode=mode)
        assert told(staged) == [("removed", "seats", "evolve", "", None)]
        assert [(row["seats"], row["_malformed"]) for row in rows.values()] == [(None, []), (None, [])]
    with pytest.raises(SchemaDriftError, match="column removed at the source: tailnum"):
        chain.load("r2", without(N1, "tailnum"))


@pytest.mark.parametrize("kind", ["xml", *thorough("jsonl.gz", "http")])
def test_a_record_that_lacks_a_field_is_kept_apart_not_filled_with_a_null(
    planes: Callable[..., Planes], kind: str
) -> None:
    chain = planes(contract(kind))
    chain.deliver("r1", without(N1, "engine"), N2)
    rows, staged = chain.staged_rows("r1")
    assert staged["drift"] == []
    assert rows[None]["_malformed"] == ["record: field missing: engine"]
    assert "N1" in rows[None]["_source_record"]
    assert rows["N2"]["_malformed"] == []


@pytest.mark.parametrize("kind", ["http", *thorough("jsonl.gz", "xml")])
def test_a_field_that_only_some_records_have_is_announced_with_how_many_lack_it(
    planes: Callable[..., Planes], kind: str
) -> None:
    chain = planes(contract(kind, drift={"removed": "evolve"}))
    chain.deliver("r1", N1, without(N2, "seats"), without(N2, "seats", "engine", tailnum="N3"))
    for mode in ("elt", "etl"):
        rows, staged = chain.staged_rows("r1", mode=mode)
        assert told(staged) == [
            ("removed", "seats", "evolve", "not in every record", 2),
            ("removed", "engine", "evolve", "not in every record", 1),
        ]
        assert [(rows[name]["seats"], rows[name]["engine"]) for name in ("N1", "N2", "N3")] == [
            (55, "jet"),
            (None, "jet"),
            (None, None),
        ]


def loaded_under_a_smaller_contract(chain: Planes, kind: str, *rows: Row) -> None:
    """Bronze has the columns `seats` and `engine` from another run; r1's contract knew neither."""
    chain.load("r0", N1)
    whole = chain.contract
    few = [column for column in whole.columns if column.name not in ("seats", "engine")]
    chain.contract = whole.model_copy(update={"columns": tuple(few)})
    chain.load("r1", *rows)
    chain.contract = whole


def remove_landing(chain: Planes, run: str) -> None:
    storage = Storage(chain.root)
    for path in read_manifest(storage, "planes", run).paths:
        storage.remove(path)


@pytest.mark.parametrize(
    ("kind", "landing_is_gone"),
    [
        ("csv", False),
        ("sql", True),
        *thorough(("csv", True), ("sql", False), ("xml", False), ("xml", True)),
    ],
)
def test_a_column_that_the_contract_names_later_is_not_null_in_what_was_loaded_before(
    planes: Callable[..., Planes], kind: str, landing_is_gone: bool
) -> None:
    chain = planes(contract(kind, {"engine": {"aliases": ["motor"]}}))
    rows = [without(row, "engine", motor=row["engine"]) for row in (N1, N2)]
    loaded_under_a_smaller_contract(chain, kind, *rows)
    if landing_is_gone:
        remove_landing(chain, "r1")
    for transform in (
        lambda: chain.transform("r1"),
        lambda: chain.transform("q1", "replay", source_run="r1"),
    ):
        staged = transform()
        found = chain.spark.read.format("delta").load(staged["staged_uri"]).collect()
        assert {row["tailnum"]: (row["seats"], row["engine"], row["_malformed"]) for row in found} == {
            "N1": (55, "jet", []),
            "N2": (182, "jet", []),
        }
        assert told(staged) == [("renamed", "engine", "evolve", "delivered as motor", None)]


@pytest.mark.parametrize("landing_is_gone", [True, *thorough(False)])
def test_a_column_that_the_contract_names_later_and_that_never_came_is_removed(
    planes: Callable[..., Planes], landing_is_gone: bool
) -> None:
    chain = planes(contract("csv"))
    loaded_under_a_smaller_contract(chain, "csv", without(N1, "seats"), without(N2, "seats"))
    if landing_is_gone:
        remove_landing(chain, "r1")
    with pytest.raises(SchemaDriftError, match="column removed at the source: seats"):
        chain.transform("r1")
    with pytest.raises(SchemaDriftError, match="column removed at the source: seats"):
        chain.transform("q1", "replay", source_run="r1")

    chain.contract = contract("csv", drift={"removed": "evolve"})
    for staged in (chain.transform("r1"), chain.transform("q1", "replay", source_run="r1")):
        assert told(staged) == [("removed", "seats", "evolve", "", None)]


def test_a_type_that_only_the_contract_has_widened_publishes_nothing(planes: Callable[..., Planes]) -> None:
    """A merge would put 5 into the table for 5.5, and the account would be of 5.5."""
    chain = planes(contract())
    chain.deliver("r1", N1)
    staged = chain.stage("r1")
    chain.judge("r1", staged)
    chain.publish("r1", staged, [])

    chain.contract = contract(columns={"seats": {"type": "double"}})
    chain.deliver("r2", {**N1, "seats": 5.5})
    staged = chain.stage("r2")
    chain.judge("r2", staged)
    with pytest.raises(ContractError, match=r"no longer makes so: seats int\. Nothing was published"):
        chain.publish("r2", staged, [])
    assert [row["seats"] for row in chain.rows(chain.table).collect()] == [55]


@pytest.mark.parametrize(
    ("kind_of_change", "delivered"),
    [("added", {**N1, "wings": 2}), ("renamed", without(N1, "seats", places=55))],
)
def test_a_frozen_change_of_columns_stops_both_modes_before_anything_is_written(
    planes: Callable[..., Planes], kind_of_change: str, delivered: Row
) -> None:
    chain = planes(contract(columns={"seats": {"aliases": ["places"]}}, drift={kind_of_change: "freeze"}))
    chain.deliver("r1", delivered)
    told = f"column {kind_of_change} at the source: (wings|seats)"
    with pytest.raises(SchemaDriftError, match=told):
        chain.load_bronze("r1")
    with pytest.raises(SchemaDriftError, match=told):
        chain.transform("r1", "etl")
    assert history.version(BRONZE, chain.root) is None


BAD = {**N2, "year": "2004.5", "seats": "many", "manufacturer": "", "engine": "solar", "engines": "4.0"}
STRICT = {"manufacturer": {"nullable": False}, "engine": {"categories": ["jet"]}}
SEEN = {
    "widened": ("year", "2004.5"),
    "retyped": ("seats", "many"),
    "nullability": ("manufacturer", None),
    "new_category": ("engine", "solar"),
}


def test_values_that_break_the_contract_are_kept_apart_with_reasons_and_told(
    planes: Callable[..., Planes],
) -> None:
    chain = planes(contract(columns=STRICT))
    chain.deliver("r1", N1, BAD)
    rows, staged = chain.staged_rows("r1")
    assert rows["N1"]["_malformed"] == []
    assert rows["N2"]["_malformed"] == [
        "year: wider than int: 2004.5",
        "manufacturer: missing",
        "seats: not of type int: many",
        "engine: not one of the known categories: solar",
    ]
    assert rows["N2"]["engines"] == 4
    assert told(staged) == [
        ("new_category", "engine", "quarantine", "for example solar", 1),
        ("nullability", "manufacturer", "quarantine", "", 1),
        ("retyped", "seats", "quarantine", "for example many", 1),
        ("widened", "engines", "evolve", "for example 4.0", 1),
        ("widened", "year", "evolve", "for example 2004.5", 1),
    ]


def test_a_number_too_large_for_its_type_is_kept_apart_not_turned_into_another(
    planes: Callable[..., Planes],
) -> None:
    chain = planes(contract(columns={"engines": {"type": "bigint"}}))
    huge, huger = "9" * 20, "9" * 40
    chain.deliver(
        "r1",
        N1,
        {**N1, "tailnum": "N2", "year": "2147483648"},
        {**N1, "tailnum": "N3", "engines": huge},
        {**N1, "tailnum": "N4", "seats": huge, "engines": huger},
        {**N1, "tailnum": "N5", "year": "1e400"},
    )
    chain.load_bronze("r1")
    rows = typed(chain.rows(BRONZE), chain.contract).collect()
    assert {row["tailnum"]: row["_malformed"] for row in rows} == {
        "N1": [],
        "N2": ["year: wider than int: 2147483648"],
        "N3": [f"engines: wider than bigint: {huge}"],
        "N4": [f"engines: not of type bigint: {huger}", f"seats: wider than int: {huge}"],
        "N5": ["year: not of type int: 1e400"],
    }


def test_a_double_too_large_is_kept_apart_not_turned_into_infinity(planes: Callable[..., Planes]) -> None:
    chain = planes(contract())
    chain.deliver("r1", N1, {**N2, "speed": "1e400"}, {**N2, "tailnum": "N3", "speed": "-1e400"})
    rows, _ = chain.staged_rows("r1")
    assert rows["N2"]["_malformed"] == ["speed: not of type double: 1e400"]
    assert rows["N3"]["_malformed"] == ["speed: not of type double: -1e400"]


def test_values_are_taken_where_the_contract_evolves_and_refused_where_it_freezes(
    planes: Callable[..., Planes],
) -> None:
    bad = {**N2, "seats": "182.0", "engine": "solar"}
    chain = planes(contract(columns=STRICT, drift={"new_category": "evolve"}))
    chain.deliver("r1", N1, bad)
    chain.load_bronze("r1")
    rows, staged = chain.staged_rows("r1")
    assert (rows["N2"]["seats"], rows["N2"]["engine"], rows["N2"]["_malformed"]) == (182, "solar", [])
    assert {change["kind"] for change in staged["drift"]} == {"widened", "new_category"}

    chain.contract = contract(columns=STRICT, drift={"new_category": "evolve", "widened": "quarantine"})
    rows, _ = chain.staged_rows("r1")
    assert rows["N2"]["_malformed"] == ["seats: wider than int: 182.0"]


@pytest.mark.parametrize("kind_of_change", ["retyped", *thorough("widened", "nullability", "new_category")])
def test_a_frozen_change_publishes_nothing_says_why_and_heals(
    planes: Callable[..., Planes], kind_of_change: str
) -> None:
    name, example = SEEN[kind_of_change]
    chain = planes(contract(columns=STRICT, drift={kind_of_change: "freeze"}))
    chain.deliver("r1", N1)
    chain.stage("r1")
    chain.deliver("r2", N1, {**N2, name: BAD[name]})
    with pytest.raises(SchemaDriftError) as refused:
        chain.stage("r2")
    shown = f", 1 rows{f' (for example {example})' if example else ''}. Nothing was published. What to do:"
    assert f"at the source: {name}{shown}" in str(refused.value)
    assert chain.version() is None

    chain.deliver("r3", N1, N2)
    assert chain.stage("r3")["drift"] == []


def test_changes_and_contract_are_in_the_tables_history(planes: Callable[..., Planes]) -> None:
    chain = planes(contract())

    def published(run: str, *rows: Row) -> dict[str, Any]:
        chain.deliver(run, *rows)
        staged = chain.stage(run)
        chain.judge(run, staged)
        return chain.publish(run, staged, [])

    first = published("r1", N1)
    assert chain.account().contract == chain.contract.schema_in_short()
    assert chain.account().drift == ()

    second = published("r2", {**N1, "wings": 2})
    (change,) = chain.account().drift
    assert str(change) == "column added at the source: wings"
    assert second["version"] > first["version"]
    assert not published("r3", {**N1, "wings": 2})["changed"]

    noted = json.loads(DeltaTable(BRONZE.uri(chain.root)).history(1)[0]["userMetadata"])
    assert [one["column"] for one in noted["drift"]] == ["wings"]

    chain.contract = contract(columns={"seats": {"type": "string"}})
    bronze = history.version(BRONZE, chain.root)
    chain.deliver("r4", N2)
    with pytest.raises(ContractError, match="column seats: int → string"):
        chain.load_bronze("r4")
    with pytest.raises(ContractError, match="set version to 2"):
        chain.transform("r4", "etl")
    assert (history.version(BRONZE, chain.root), chain.version()) == (bronze, second["version"])
    chain.contract = contract(version=2)
    assert published("r4", N2)["changed"]
    assert chain.account().contract_version == 2


def test_a_databases_column_may_change_its_type_bronze_keeps_text(planes: Callable[..., Planes]) -> None:
    chain = planes(contract("sql"))
    chain.load("r1", N1)
    chain.deliver("r2", {**N1, "seats": "55"}, {**N2, "seats": "many"})
    rows, staged = chain.staged_rows("r2")
    assert (rows["N1"]["seats"], rows["N1"]["_malformed"]) == (55, [])
    assert rows["N2"]["_malformed"] == ["seats: not of type int: many"]
    assert told(staged) == [("retyped", "seats", "quarantine", "for example many", 1)]
    assert {row["seats"] for row in chain.bronze_rows()} == {"55", "many"}
    assert DeltaTable(BRONZE.uri(chain.root)).metadata().partition_columns == ["_partition"]


def test_a_delivery_without_rows_has_no_changes(planes: Callable[..., Planes]) -> None:
    chain = planes(contract("http", allow_empty=True))
    chain.deliver("r1")
    for mode in ("elt", "etl"):
        staged = chain.stage("r1", mode=mode)
        assert (staged["rows"], staged["drift"]) == (0, [])


def test_a_table_gets_the_columns_that_its_transform_has_more_and_loses_none(
    spark: SparkSession, tmp_path: Path
) -> None:
    uri = f"file://{tmp_path}/silver/planes"
    number, seats = column("number", "int", "Number", key=True), column("seats", "int", "Seats")
    create_table(spark, uri, TableDefinition(StructType([number, seats]), "Planes"))
    replace(spark.createDataFrame([(1, 55)], "number int, seats int"), uri, None)

    wider = StructType([number, seats, column("wings", "int", "Wings")])
    create_table(spark, uri, TableDefinition(wider, "Planes"), history.snapshot(uri))
    assert [row.asDict() for row in spark.read.format("delta").load(uri).collect()] == [
        {"number": 1, "seats": 55, "wings": None}
    ]
    assert spark.read.format("delta").load(uri).schema["wings"].metadata == {"comment": "Wings"}

    require_columns(uri, wider, history.snapshot(uri))
    for fewer in ([number, wider["wings"]], [number, column("seats", "string", "Seats"), wider["wings"]]):
        with pytest.raises(ContractError, match=r"no longer makes so: seats int\. Nothing was published"):
            require_columns(uri, StructType(fewer), history.snapshot(uri))
