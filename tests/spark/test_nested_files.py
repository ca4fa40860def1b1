"""Lists, records and maps in files that others wrote."""

from __future__ import annotations

import gzip
import io
import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest
import yaml
from pyspark.sql import SparkSession

from millstream_stack.commands.new.contracts import contract_text
from millstream_stack.commands.new.looks import at_file
from tests.support.chain import Chain
from tests.support.updates import chain_of

pytestmark = pytest.mark.spark

DATASET: dict[str, Any] = {"dataset": "orders", "primary_key": ["id"]}


def source(format_: str, **more: Any) -> dict[str, Any]:
    return {"kind": "files", "connection": "drop", "format": format_, "path": f"orders.{format_}", **more}


ORC = Path(pa.__file__).parent / "tests" / "data" / "orc" / "TestOrcFile.test1.orc"
ORC_ROWS = ORC.with_suffix(".jsn.gz")


def proposed(spark: SparkSession, folder: Path, file: Path, **changes: Any) -> Chain:
    """A chain by the contract that `make new` proposes for the file, which is there already."""
    text = contract_text("things", at_file(file, {"drop": file.parent}, "drop"))
    chain = chain_of(spark, folder, {"dataset": "things", **yaml.safe_load(text), **changes})
    chain.put(file.name, file.read_bytes())
    return chain


def test_an_orc_file_of_its_makers_is_what_they_say(spark: SparkSession, tmp_path: Path) -> None:
    """Of the ORC project, as pyarrow brings it, with its rows as JSON."""
    chain = proposed(spark, tmp_path, ORC)
    part = "struct<int1:int,string1:string>"
    kinds = {column.name: column.type for column in chain.contract.columns}
    assert (kinds["middle"], kinds["list"]) == (f"struct<list:array<{part}>>", f"array<{part}>")
    assert (kinds["map"], kinds["float1"]) == (f"map<string,{part}>", "float")
    chain.run("r1")
    expected = [json.loads(line) for line in gzip.decompress(ORC_ROWS.read_bytes()).splitlines()]
    for row in expected:
        row["bytes1"] = bytes(row["bytes1"])
        row["map"] = {entry["key"]: entry["value"] for entry in row["map"]}
    found = [row.asDict(recursive=True) for row in chain.rows().select(*kinds).collect()]
    assert sorted(found, key=lambda row: row["float1"]) == expected


AVRO = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "id", "type": "int"},
        {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}},
        {"name": "rates", "type": {"type": "map", "values": ["null", "double", "string"]}},
        {
            "name": "buyer",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "buyer",
                    "fields": [
                        {"name": "born", "type": {"type": "int", "logicalType": "date"}},
                        {"name": "size", "type": {"type": "enum", "name": "size", "symbols": ["S", "L"]}},
                        {"name": "key", "type": "bytes"},
                    ],
                },
            ],
        },
    ],
}


def test_avro_records_arrays_and_maps(spark: SparkSession, tmp_path: Path) -> None:
    types = {
        "tags": "array<string>",
        "rates": "map<string,double>",
        "buyer": "struct<born:date,size:string,key:binary>",
    }
    rows = {
        1: {"tags": ["a", None], "rates": {"x": 0.1, "y": None, "z": math.inf}, "buyer": None},
        2: {"tags": [], "rates": {}, "buyer": {"born": date(1815, 12, 10), "size": "L", "key": b"\x00\xff"}},
    }
    columns = [{"name": "id", "type": "int"}, *({"name": name, "type": of} for name, of in types.items())]
    chain = chain_of(spark, tmp_path, {**DATASET, "columns": columns, "source": source("avro")})
    stream = io.BytesIO()
    fastavro.writer(stream, AVRO, [{"id": id_, **row} for id_, row in rows.items()])
    chain.put("orders.avro", stream.getvalue())
    chain.run("r1")
    found = [row.asDict(recursive=True) for row in chain.rows().select("id", *types).collect()]
    assert {row.pop("id"): row for row in found} == rows


SBOM = "deltalake-*.dist-info/sboms/deltalake-python.cyclonedx.json"


def test_a_bill_of_materials_that_others_wrote(spark: SparkSession, tmp_path: Path) -> None:
    """CycloneDX: components with lists of records."""
    (path,) = Path(pa.__file__).parent.parent.glob(SBOM)
    chain = proposed(spark, tmp_path, path)
    chain.run("r1")
    names = {(*column.aliases, column.name)[0]: column.name for column in chain.contract.columns}
    assert {"hashes", "externalReferences", "licenses"} < names.keys()
    found = {row["bom_ref"]: row.asDict(recursive=True) for row in chain.rows().collect()}
    components = json.loads(path.read_text())["components"]
    assert len(found) == len(components) > 100
    for one in components:
        row = found[one["bom-ref"]]
        assert {source: row[name] for source, name in names.items()} == {
            source: one.get(source) for source in names
        }
