"""Changes at the source are found over Connect too, as every ingest of the stack runs."""

from __future__ import annotations

from pathlib import Path

from millstream.engines import sessions
from millstream.settings import Settings
from tests.support.chain import Chain, contract_of, small_suite

SOURCE = {"kind": "files", "connection": "drop", "format": "csv", "path": "planes.csv"}
ROWS = """\
tailnum,year,type,manufacturer,model,engines,seats,speed,engine,wings
N1,2004,Fixed wing,EMBRAER,EMB,2,55,432.5,jet,2
N2,2004.0,Fixed wing,EMBRAER,EMB,2,many,432.5,jet,2
"""


def test_columns_and_values_that_changed_are_told(server: Settings, tmp_path: Path) -> None:
    contract = contract_of("planes", source=SOURCE, load="full")
    with sessions.connect(server.connect_url, "drift/1", [], tag="drift") as spark:
        chain = Chain(spark, tmp_path, contract, small_suite())
        chain.put("planes.csv", ROWS)
        chain.land("r1", [])
        staged = chain.stage("r1")
        found = spark.read.format("delta").load(staged["staged_uri"]).orderBy("tailnum").collect()
    assert staged["rows"] == 2
    assert [(change["kind"], change["column"], change["rows"]) for change in staged["drift"]] == [
        ("added", "wings", None),
        ("retyped", "seats", 1),
        ("widened", "year", 1),
    ]
    assert [(row["year"], row["seats"], row["_malformed"]) for row in found] == [
        (2004, 55, []),
        (2004, None, ["seats: not of type int: many"]),
    ]
