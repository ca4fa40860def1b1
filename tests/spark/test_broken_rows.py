"""A broken row costs itself: every shipped dataset, by its shipped contract and suite, on its real rows with
broken ones among them."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from millstream.bronze.loads import landed_rows
from millstream.bronze.typed import typed
from millstream.errors import QualityGateError
from millstream.lake.storage import Storage
from millstream.landing.manifest import read_manifest
from millstream.landing.run import Landing, in_memory
from millstream.publishing.counts import row_hash
from millstream.quality.parameters import run_parameters
from millstream.quality.suite import Suite
from millstream.settings import CHECKOUT
from millstream.sources.sql import SqlExtractor
from millstream.transforms import table_of
from millstream_demo import docstrings, register
from millstream_demo.reference import flight_lines, rows
from millstream_demo.weather_api import weather_records
from tests.support.broken_records import Case, Source, cases, csv_line, json_line, mixed, xml
from tests.support.chain import FLIGHTS_HEADER, Chain, contract_of, suite_of
from tests.support.thorough import thorough

pytestmark = pytest.mark.spark

DATASETS = sorted(path.stem for path in (CHECKOUT / "dags" / "datasets").glob("*.yaml"))
# The fewest that the suite takes for a month.
FLIGHTS = 31 * 400
# Until June, in two pages.
OBSERVATIONS = 4_000
AA1141 = "2013,1,1,542,540,2,923,850,33,AA,1141,N619AA,JFK,MIA,160,1089,5,40,2013-01-01T10:00:00Z"
PAGE = 2_500


class Delivery:
    """The real records of one dataset, how they are broken, and how they land."""

    source: Source
    months: tuple[str, ...] = ()
    # Real rows that the suite keeps back.
    flaws = 0

    def good(self) -> list[Any]:
        """The real records, as `source.write` makes them."""
        raise NotImplementedError

    def land(self, chain: Chain, run: str, records: list[Any]) -> None:
        raise NotImplementedError

    def place(self, row: Any) -> Any:
        """Where a quarantined row stands among the records."""
        return int(row["_source_row_id"].rpartition("#")[2])


class Flights(Delivery):
    months = ("2013-01",)
    source = Source(
        write=csv_line,
        example=dict(zip(FLIGHTS_HEADER.split(","), AA1141.split(","), strict=True)),
        key=lambda number: {"flight": str(9000 + number)},
        named={
            "dep_delay_min": "dep_delay",
            "arr_delay_min": "arr_delay",
            "air_time_min": "air_time",
            "distance_mi": "distance",
        },
        special={
            "flight_date is between first_date and last_date": (
                {"year": "2012"},
                "month: 2012-01 in the delivery for 2013-01",
            ),
            # A cancelled flight, which needs no time of departure.
            "sched_dep_utc is not null": (
                {"hour": "25", "dep_time": "NA", "dep_delay": "NA", "arr_delay": "NA"},
                None,
            ),
            "dep_utc is not null where cancelled == False": ({"dep_delay": "NA"}, None),
            "dep_utc is null where cancelled == True": ({"dep_time": "NA", "arr_delay": "NA"}, None),
            "arr_delay_min is null where cancelled == True": ({"dep_time": "NA", "dep_delay": "NA"}, None),
        },
    )

    def good(self) -> list[Any]:
        return [line.rstrip(b"\n") for line in islice(flight_lines(), 1, FLIGHTS + 1)]

    def land(self, chain: Chain, run: str, records: list[Any]) -> None:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("flights.csv", b"\n".join([FLIGHTS_HEADER.encode(), *records, b""]))
        chain.put("flights/flights_2013-01.csv.zip", content.getvalue())
        chain.land(run, ["2013-01"])


class Airports(Delivery):
    source = Source(
        write=xml,
        example=rows("airports.csv")[0],
        key=lambda number: {"faa": f"{900 + number}"},
        named={"alt_ft": "alt", "tz_offset_h": "tz"},
        special={},
    )

    def good(self) -> list[Any]:
        return [xml(row) for row in rows("airports.csv")]

    def land(self, chain: Chain, run: str, records: list[Any]) -> None:
        chain.put("airports/airports.xml", "\n".join(["<airports>", *records, "</airports>"]))
        chain.land(run, [])


class Docstrings(Delivery):
    source = Source(
        write=json_line,
        example={
            "qualified_name": "broken",
            "library": "broken",
            "module": "broken",
            "kind": "module",
            "docstring": "Says something.",
        },
        key=lambda number: {"qualified_name": f"broken.row{number}"},
        named={},
        special={"docstring length is at least 1": ({"docstring": None}, "docstring: missing")},
    )

    def good(self) -> list[Any]:
        modules = [one for one in docstrings.public_modules() if one[0].startswith("pyspark.")]
        found = [
            json_line(one) for name, path in modules for one in docstrings.docstrings_of(name, Path(path))
        ]
        assert len(found) > 2000
        return found

    def land(self, chain: Chain, run: str, records: list[Any]) -> None:
        chain.put("docstrings/docstrings.jsonl.gz", gzip.compress(b"\n".join([*records, b""])))
        chain.land(run, [])


class Weather(Delivery):
    # A wind of 1,048 miles per hour.
    flaws = 1
    source = Source(
        write=json.dumps,
        example=weather_records()[0],
        key=lambda number: {"year": 2014, "month": 1 + number // 28, "day": 1 + number % 28},
        named={
            "temp_f": "temp",
            "dewp_f": "dewp",
            "humid_pct": "humid",
            "wind_dir_deg": "wind_dir",
            "wind_speed_mph": "wind_speed",
            "wind_gust_mph": "wind_gust",
            "precip_in": "precip",
            "pressure_mb": "pressure",
            "visib_mi": "visib",
            "observed_utc": "time_hour",
        },
        special={"observed_local is between 2013-01-01 00:00:00 and tomorrow": ({"year": 2012}, None)},
    )

    def good(self) -> list[Any]:
        return [json.dumps(record) for record in weather_records()[:OBSERVATIONS]]

    def land(self, chain: Chain, run: str, records: list[Any]) -> None:
        """Pages as its extractor lands them; tests/contract/test_extract_http.py has that."""
        landing = Landing(Storage(chain.root), "weather", run)
        files = [
            landing.land(
                f"page {start}",
                f"page-{start // PAGE:05d}.json",
                in_memory(f'{{"results": [{", ".join(records[start : start + PAGE])}]}}'.encode()),
            )
            for start in range(0, len(records), PAGE)
        ]
        landing.commit([], files)

    def place(self, row: Any) -> Any:
        path, _, number = row["_source_row_id"].rpartition("#")
        return int(path.rpartition("page-")[2].removesuffix(".json")) * PAGE + int(number)


def register_rows(table: str) -> list[dict[str, str | None]]:
    found = rows(f"{table}.csv")
    return [{name: None if value == "NA" else value for name, value in row.items()} for row in found]


class Register(Delivery):
    """A table of the register; its columns are text, so that they can hold anything."""

    def __init__(self, table: str, key: str) -> None:
        self.table, self.key = table, key

    def good(self) -> list[Any]:
        return register_rows(self.table)

    def land(self, chain: Chain, run: str, records: list[Any]) -> None:
        path = chain.drop / f"{run}.db"
        engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
        watermark = [sa.Column("updated_at", sa.DateTime)] if self.table == "planes" else []
        columns = [sa.Column(name, sa.String, primary_key=name == self.key) for name in records[0]]
        table = sa.Table(self.table, sa.MetaData(), *columns, *watermark)
        table.create(engine)
        more = {"updated_at": register.FIRST_ENTRY} if watermark else {}
        with engine.begin() as connection:
            connection.execute(sa.insert(table), [{**record, **more} for record in records])
        extractor = SqlExtractor(chain.contract, engine)
        landing = Landing(Storage(chain.root), self.table, run)
        landing.commit([], [file for piece in extractor.plan([]) for file in extractor.fetch(piece, landing)])

    def place(self, row: Any) -> Any:
        return json.loads(row["_source_record"])[self.key]


class Planes(Register):
    source = Source(
        write=lambda record: record,
        example=register_rows("planes")[0],
        key=lambda number: {"tailnum": f"N{90000 + number}"},
        named={"speed_mph": "speed"},
        special={},
        typed=True,
    )


class Airlines(Register):
    source = Source(
        write=lambda record: record,
        example=register_rows("airlines")[0],
        key=lambda number: {"carrier": f"{number:02d}"},
        named={},
        special={},
        typed=True,
    )


DELIVERIES: dict[str, Callable[[], Delivery]] = {
    "airlines": lambda: Airlines("airlines", "carrier"),
    "airports": Airports,
    "docstrings": Docstrings,
    "flights": Flights,
    "planes": lambda: Planes("planes", "tailnum"),
    "weather": Weather,
}


def test_every_shipped_dataset_is_tried() -> None:
    assert sorted(DELIVERIES) == DATASETS


# From files; the others come from other kinds of sources.
@pytest.mark.parametrize(
    "dataset", ["flights", *thorough("airlines", "airports", "docstrings", "planes", "weather")]
)
def test_a_broken_row_costs_itself(spark: SparkSession, tmp_path: Path, dataset: str) -> None:
    delivery = DELIVERIES[dataset]()
    chain = Chain(spark, tmp_path, contract_of(dataset), suite_of(dataset))
    suite = Suite.from_dict(chain.suite, run_parameters(delivery.months))
    broken = cases(chain.contract, suite, delivery.source)
    good = delivery.good()
    records, places = mixed(good, [case.content for case in broken])
    if delivery.source.typed:
        places = {number: case.content[delivery.key] for number, case in enumerate(broken)}  # type: ignore[attr-defined]
    clean = clean_rows(chain, delivery, good)

    delivery.land(chain, "r1", records)
    staged = chain.stage("r1")
    chain.job(
        "quality_gate",
        "r1",
        **chain._judged(staged),
        suite=chain.suite,
        partitions=list(delivery.months),
    )
    result = chain.publish("r1", staged, list(delivery.months))

    kept = {delivery.place(row): row for row in chain.rows(chain.table.quarantine).collect()}
    wrong = [
        told for number, case in enumerate(broken) if (told := problem(case, kept.pop(places[number], None)))
    ]
    assert wrong == []
    assert len(kept) == delivery.flaws
    published = hashes(chain.rows(), table_of(dataset).schema)
    more = [case.name for case in broken if case.reasons == ()]
    assert (published - clean).total() == len(more), more
    assert (clean - published).total() == delivery.flaws + result["deduplicated"]
    assert result["read"] == len(records) - [case.reasons for case in broken].count(None)


def clean_rows(chain: Chain, delivery: Delivery, good: list[Any]) -> Counter[int]:
    """What the good records make alone."""
    delivery.land(chain, "clean", good)
    manifest = read_manifest(Storage(chain.root), chain.contract.dataset, "clean")
    table = table_of(chain.contract.dataset, chain.contract)
    landed = landed_rows(chain.spark, chain.contract, chain.root, manifest)
    return hashes(table.rows(typed(landed, chain.contract)), table.schema)


def hashes(frame: DataFrame, schema: StructType) -> Counter[int]:
    return Counter(row[0] for row in frame.select(row_hash(schema)).collect())


def problem(case: Case, row: Any) -> str | None:
    """What is not as the case expects; None when all is."""
    if not case.reasons:
        return f"{case.name}: in quarantine: {row['_reasons']}" if row else None
    if row is None:
        return f"{case.name}: not in quarantine"
    reasons = row["_reasons"]
    if len(reasons) != len(case.reasons) or not all(map(str.startswith, reasons, case.reasons)):
        return f"{case.name}: {reasons} for {case.reasons}"
    record = row["_source_record"]
    if isinstance(case.received, str):
        return None if record == case.received else f"{case.name}: {record[:200]} for {case.received[:200]}"
    values = json.loads(record)
    expected = {name: None if value is None else str(value) for name, value in case.received.items()}
    if {name: values[name] or None for name in expected} != expected:
        return f"{case.name}: {values} for {expected}"
    return None


def test_a_gate_that_blocks_shows_the_rows_that_stopped_it(spark: SparkSession, tmp_path: Path) -> None:
    delivery = Airports()
    chain = Chain(spark, tmp_path, contract_of("airports"), suite_of("airports"))
    base, key = delivery.source.example, delivery.source.key
    far = [xml({**base, **key(number), "lat": "91"}) for number in range(20)]
    unread = [xml({**base, **key(number), "alt": "high"}) for number in range(20, 50)]
    delivery.land(chain, "r1", [*delivery.good()[:1000], *far, *unread])
    staged = chain.stage("r1")
    docs = tmp_path / "lake" / "data_docs"
    with pytest.raises(QualityGateError) as refusal:
        chain.job(
            "quality_gate",
            "r1",
            **chain._judged(staged),
            suite=chain.suite,
            contract=chain.contract.model_dump(mode="json"),
            data_docs=True,
        )
    message = str(refusal.value)
    assert (
        "lat is between -90 and 90: 20 of 1,020 rows break it (1.96%), 10 allowed because "
        "mostly is 0.99" in message
    )
    assert (
        "every value can be read as its column's type: 30 of 1,050 rows break it (2.86%), 10 allowed because "
        "malformed_mostly is 0.99" in message
    )
    (file,) = read_manifest(Storage(chain.root), "airports", "r1").files
    shown = [line for line in message.splitlines() if line.startswith("- ")]
    assert len(shown) == 5
    assert shown[0].startswith(f"- {file.path}, row 1021: alt: not of type int: high; received as {{")
    assert shown[1].startswith(f'- {file.path}, row 1001: {{"lat":91.0}}; received as {{"faa":"900"')
    page = (docs / f"silver.airports/r1-v{staged['staged_version']}.html").read_text()
    for number in (1001, 1020, 1021, 1040):
        assert f"{file.path}, row {number}" in page
    # No more than a person reads.
    assert f"row {1041}" not in page
