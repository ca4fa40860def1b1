"""What an increment reads again changes no table, no quarantine and no decision; what is late arrives."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from pyspark.sql import SparkSession

from millstream.formats.readers.parquet import UNFIT
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.landing.run import Landing, in_memory
from millstream.sources.sql import SqlExtractor
from millstream.upkeep import reconcile
from tests.support.chain import Chain, contract_of, small_suite
from tests.support.replays import NEW, SEATED


class Register:
    """The planes of a database, and runs that ingest them from where the run before had come to."""

    def __init__(self, chain: Chain, folder: Path) -> None:
        self.chain = chain
        self.path = folder / "source.db"
        kinds = {
            "tailnum": "TEXT NOT NULL PRIMARY KEY",
            "year": "INTEGER",
            "seats": "INTEGER",
            "engine": "BLOB",
        }
        columns = [f"{name} {kinds.get(name, 'TEXT')}" for name in chain.contract.column_names]
        self.write(f"CREATE TABLE planes ({', '.join(columns)}, updated_at DATETIME)")

    def write(self, statement: str, *values: Any) -> None:
        with sqlite3.connect(self.path) as connection:
            connection.execute(statement, values)

    def enter(
        self, tailnum: str, at: str, year: int = 2000, seats: int = 10, engine: bytes | None = None
    ) -> None:
        self.write(
            "INSERT INTO planes (tailnum, year, seats, engine, updated_at) VALUES (?, ?, ?, ?, ?)",
            *(tailnum, year, seats, engine, at),
        )

    def land(self, run: str) -> list[str]:
        """The tail numbers that land."""
        chain, known = self.chain, history.read(self.chain.table, self.chain.root).watermark
        landing = Landing(Storage(chain.root), "planes", run)
        landing.begin()
        extractor = SqlExtractor(chain.contract, sa.create_engine(f"sqlite:///{self.path}"))
        files = [file for piece in extractor.plan([], known) for file in extractor.fetch(piece, landing)]
        if not files:
            return []
        landing.commit([], files, known)
        landed = [pq.read_table(pa.BufferReader(landing.bytes_of(file))) for file in files]
        return sorted(pa.concat_tables(landed)["tailnum"].to_pylist())

    def publish(self, run: str) -> dict[str, Any]:
        staged = self.chain.stage(run)
        self.chain.judge(run, staged)
        high = Landing(Storage(self.chain.root), "planes", run).landed()
        assert high is not None
        return self.chain.publish(run, staged, [], watermark=high.watermark_high)


def published(chain: Chain) -> set[str]:
    return {row["tailnum"] for row in chain.rows().collect()}


def quarantined(chain: Chain) -> dict[str, str]:
    rows = chain.rows(chain.table.quarantine).collect()
    found = {row["tailnum"]: row["_reasons"][0] for row in rows}
    assert len(found) == len(rows), "a row is there twice"
    return found


@pytest.mark.thorough
def test_a_look_back_brings_what_is_late_and_leaves_the_rest_as_it_was(
    spark: SparkSession, tmp_path: Path
) -> None:
    chain = Chain(spark, tmp_path, contract_of("planes"), small_suite(NEW, SEATED))
    register = Register(chain, tmp_path)
    register.enter("N1", "2013-01-01T05:00:00Z")
    register.enter("N2", "2013-01-01 05:00:01", seats=0)
    register.enter("N3", "2013-01-01 05:00:02", year=1980)
    register.enter("N4", "2013-01-01 05:00:03", engine=b"\x00\xff'")
    assert register.land("r1") == ["N1", "N2", "N3", "N4"]
    register.publish("r1")
    assert published(chain) == {"N1"}
    reasons = quarantined(chain)
    assert reasons["N4"] == "record: engine: bytes, not of type string: \\x00ff27"
    assert sorted(reasons) == ["N2", "N3", "N4"]
    chain.decide("q1", "accept", reason="year")
    chain.decide("q2", "drop", reason="bytes")
    chain.replay("q3")
    assert (published(chain), sorted(quarantined(chain))) == ({"N1", "N3"}, ["N2"])

    before = chain.version(), history.version(chain.table.quarantine, chain.root)
    assert register.land("r2") == []
    # It was entered hours before what has been read, and its transaction has ended only now.
    register.enter("N0", "2013-01-01 01:00:00")
    assert register.land("r3") == ["N0"]
    result = register.publish("r3")
    assert {name: result[name] for name in ("read", "written", "quarantined", "deduplicated")} == {
        "read": 1,
        "written": 1,
        "quarantined": 0,
        "deduplicated": 0,
    }
    assert (published(chain), sorted(quarantined(chain))) == ({"N0", "N1", "N3"}, ["N2"])
    assert register.land("r4") == []
    assert chain.version() == (before[0] or 0) + 1
    assert history.read(chain.table, chain.root).watermark == "2013-01-01T05:00:03"
    assert [str(one) for one in reconcile.compare(chain.root, {}, {}, chain.now())] == []


def test_rows_of_a_page_that_have_been_seen_are_not_judged_and_a_time_without_end_is_kept_apart(
    spark: SparkSession, tmp_path: Path
) -> None:
    strict = {**NEW, "kwargs": {**NEW["kwargs"], "mostly": 0.9}}
    chain = Chain(spark, tmp_path, contract_of("planes"), small_suite(strict))
    rows: dict[str, Any] = {
        **{name: pa.nulls(4) for name in chain.contract.column_names},
        # N1 comes as it was, and as it is now; N2 would break the rule.
        "tailnum": ["N1", "N2", "N3", "N1"],
        "year": pa.array([2000, 1980, None, 2001]),
        UNFIT: pa.array([None, None, [("year", "infinity")], None], pa.map_(pa.string(), pa.string())),
    }
    content = pa.BufferOutputStream()
    pq.write_table(pa.table(rows), content)
    landing = Landing(Storage(chain.root), "planes", "r1")
    file = landing.land("r1", "r1.parquet", in_memory(content.getvalue().to_pybytes()), watermark="1")
    landing.commit([], [file.model_copy(update={"seen": ((1, 1), (2, 2))})])
    staged = chain.stage("r1", "etl")
    chain.judge("r1", staged)
    result = chain.publish("r1", staged, [], watermark="1")
    assert {name: result[name] for name in ("read", "written", "quarantined", "deduplicated")} == {
        "read": 4,
        "written": 1,
        "quarantined": 1,
        "deduplicated": 2,
    }
    assert [row["year"] for row in chain.rows().collect()] == [2001]
    assert quarantined(chain) == {"N3": "year: not of type int: infinity"}
    (kept,) = chain.rows(chain.table.quarantine).collect()
    assert '"year":"infinity"' in kept["_source_record"]
