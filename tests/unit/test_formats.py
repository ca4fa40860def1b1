"""Formats with types of their own: files that others wrote, read as text; the damaged are refused."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from millstream.bronze.decoding import batches, decoded
from millstream.bronze.parts import Part, parts_of
from millstream.contracts.contract import Contract
from millstream.errors import ContractError, SourceDataError
from millstream.formats import readers
from millstream.formats.arrow_text import as_text
from millstream.formats.registry import format_of
from millstream.lake.storage import Storage
from millstream.landing.checks import check_file
from millstream.landing.run import Landing
from millstream.sources.files import FilesExtractor
from tests.support.decoding import records_of

OTHERS = Path(pa.__file__).parent / "tests" / "data"


def contract(file_format: str, *columns: str, **source: Any) -> Contract:
    """A contract of columns of text, whatever the file calls them."""
    return Contract.from_dict(
        {
            "dataset": "things",
            "version": 1,
            "description": "Things in files of others.",
            "owner": "tests",
            "source": {"kind": "files", "connection": "drop", "format": file_format, "path": "f", **source},
            "load": "full",
            "start_date": "2024-01-01",
            "columns": [
                {"name": f"c_{name.lower()}", "type": "string", "description": "Of a file", "aliases": [name]}
                for name in columns
            ],
            "primary_key": [f"c_{columns[0].lower()}"],
        },
        origin="test",
    )


def rows(of: Contract, content: bytes) -> list[list[str | None] | None]:
    """The values of each record."""
    return [record and record.values for record in records_of(of, io.BytesIO(content))]


def names(of: Contract, content: bytes) -> list[str]:
    return format_of(of).delivered(io.BytesIO(content), of).names


EVERY_TYPE = {
    "flag": pa.array([True, None]),
    "small": pa.array([-7, None], pa.int8()),
    "large": pa.array([2**64 - 1, None], pa.uint64()),
    "half": pa.array([np.float16(0.5), None], pa.float16()),
    "single": pa.array([0.1, None], pa.float32()),
    "whole": pa.array([3.0, float("nan")]),
    "money": pa.array([Decimal("-0.10"), None], pa.decimal128(18, 2)),
    "tiny": pa.array([Decimal("1E-18"), Decimal(0)], pa.decimal128(38, 18)),
    "day": pa.array([date(2024, 2, 29), None]),
    "span": pa.array([-5400250000001, None], pa.duration("ns")),
    "spans": pa.array([[timedelta(seconds=59.6), timedelta(days=2)], None], pa.list_(pa.duration("us"))),
    "longest": pa.array([2**62, None], pa.duration("s")),
    "clock": pa.array([time(1, 2, 3, 500000), None], pa.time64("us")),
    "nanos": pa.array([1709171999123456789, None], pa.timestamp("ns")),
    "moment": pa.array([datetime(2024, 2, 29, 23, 30, tzinfo=UTC), None], pa.timestamp("us", "Asia/Tokyo")),
    "raw": pa.array([b"\x00\xff", None]),
    "word": pa.array(["Zoë", None]).dictionary_encode(),
    "list": pa.array([[1, None], None]),
    "nested": pa.array([{"a": 1.0, "b": Decimal("1.10"), "c": [b"\x01"]}, None]),
    "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())),
}
AS_TEXT = {
    "flag": "true",
    "small": "-7",
    "large": "18446744073709551615",
    "half": "0.5",
    "single": "0.1",
    "whole": "3.0",
    "money": "-0.10",
    "tiny": "0.000000000000000001",
    "day": "2024-02-29",
    "span": "-01:30:00.250000001",
    "spans": '["00:00:59.6", "48:00:00"]',
    "longest": "1281023894007607:45:04",
    "clock": "01:02:03.5",
    "nanos": "2024-02-29 01:59:59.123456789",
    "moment": "2024-02-29 23:30:00Z",
    "raw": "\\x00ff",
    "word": "Zoë",
    "list": "[1, null]",
    "nested": '{"a": 1.0, "b": 1.10, "c": ["\\\\x01"]}',
    "map": '{"k": 1}',
}


def parquet_of(columns: dict[str, pa.Array], **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, **options)
    return stream.getvalue()


def test_every_type_of_parquet_has_its_text() -> None:
    of = contract("parquet", *EVERY_TYPE)
    first, second = rows(of, parquet_of(EVERY_TYPE))
    assert dict(zip(EVERY_TYPE, first or [], strict=True)) == AS_TEXT
    assert [value for value in second or [] if value is not None] == ["nan", "0.000000000000000000"]


MAP = pa.map_(pa.string(), pa.int32())
NOT_PYTHON_S = {
    "map": pa.array([[("k", 1), ("k", None)]], MAP),
    "maps": pa.array([[[("a", 1)], None, [("k", 1), ("k", 2)]]], pa.list_(MAP)),
    "fields": pa.array([{"m": [("k", 1), ("k", 2)], "n": 0.5}], pa.struct([("m", MAP), ("n", pa.float64())])),
    "days": pa.array([[253402300800000, None, 0]], pa.list_(pa.date64())),
    "moments": pa.array([[(65536 - 1970) * 31556952000000, None, 0]], pa.list_(pa.timestamp("us", "UTC"))),
    "spans": pa.array([[2**62]], pa.list_(pa.duration("s"))),
    "beyond": pa.array([{"at": 2**62}], pa.struct([("at", pa.timestamp("us"))])),
}
NOT_PYTHON_S_AS_TEXT = {
    "map": '{"k": 1, "k": null}',
    "maps": '[{"a": 1}, null, {"k": 1, "k": 2}]',
    "fields": '{"m": {"k": 1, "k": 2}, "n": 0.5}',
    "days": '["10000-01-01", null, "1970-01-01"]',
    "moments": '["<value out of range: 2005949210832000000>", null, "1970-01-01 00:00:00Z"]',
    "spans": '["1281023894007607:45:04"]',
    "beyond": '{"at": "<value out of range: 4611686018427387904>"}',
}


@pytest.mark.parametrize("name", list(NOT_PYTHON_S))
@pytest.mark.filterwarnings("error")
def test_nested_values_that_python_does_not_have_lose_nothing(name: str) -> None:
    of = contract("parquet", "id", name)
    content = parquet_of({"id": pa.array(["1"]), name: NOT_PYTHON_S[name]})
    assert rows(of, content) == [["1", NOT_PYTHON_S_AS_TEXT[name]]]


def test_old_timestamps_of_parquet_have_all_their_years() -> None:
    """INT96, as Spark, Hive and Impala wrote them for years."""
    moments = [datetime(9999, 12, 31, 23, 59, 59, 999999), datetime(1, 1, 1), datetime(2024, 2, 29, 1, 2, 3)]
    content = parquet_of({"at": pa.array(moments, pa.timestamp("us"))}, use_deprecated_int96_timestamps=True)
    assert rows(contract("parquet", "at"), content) == [
        ["9999-12-31 23:59:59.999999"],
        ["0001-01-01 00:00:00"],
        ["2024-02-29 01:02:03"],
    ]


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_time_has_one_text_whatever_stands_beside_it(unit: str, zone: str | None) -> None:
    a_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    counts = [0, 1, -1, a_second, -a_second, 1_704_067_200 * a_second, -(2**62), 2**62, 2**63 - 1, None]
    column = pa.array([count + more for count in counts[:6] for more in (0, 1, 10, 100)] + counts, pa.int64())
    column = column.cast(pa.timestamp(unit, zone))
    alone = [as_text(column.slice(place, 1))[0].as_py() for place in range(len(column))]
    assert as_text(column).to_pylist() == alone
    assert alone[12] == f"1970-01-01 00:00:01{'Z' if zone else ''}"
    whole = [place for place, text in enumerate(alone) if text and "." not in text and "<" not in text]
    assert as_text(column.take(pa.array(whole))).to_pylist() == [alone[place] for place in whole]


def test_bytes_where_the_contract_has_text_cost_their_own_rows() -> None:
    of = contract("parquet", "id", "note")
    content = parquet_of({"id": pa.array(["1", "2"]), "note": pa.array([b"\x01", None])})
    part = Part("f", None, len(content))
    (batch,) = batches(format_of(of).rows(io.BytesIO(content), of, None), of.column_names, part)
    assert batch.column("_record_error").to_pylist() == ["c_note: bytes, not of type string: \\x01", None]


def test_parquet_that_pandas_of_2017_wrote() -> None:
    content = (OTHERS / "parquet" / "v0.7.1.parquet").read_bytes()
    of = contract("parquet", "carat", "cut", "color", "price")
    assert names(of, content)[:4] == ["carat", "cut", "color", "clarity"]
    expected = pd.read_parquet(io.BytesIO(content))[["carat", "cut", "color", "price"]]
    assert rows(of, content) == [[str(value) for value in row] for row in expected.to_numpy(object)]


def test_orc_that_the_project_s_own_writer_wrote() -> None:
    content = (OTHERS / "orc" / "TestOrcFile.test1.orc").read_bytes()
    of = contract("orc", "boolean1", "bytes1", "list", "string1", "middle")
    assert rows(of, content) == [
        [
            "false",
            "\\x0001020304",
            '[{"int1": 3, "string1": "good"}, {"int1": 4, "string1": "bad"}]',
            "hi",
            '{"list": [{"int1": 1, "string1": "bye"}, {"int1": 2, "string1": "sigh"}]}',
        ],
        [
            "true",
            "\\x",
            '[{"int1": 100000000, "string1": "cat"}, {"int1": -100000, "string1": "in"}, '
            '{"int1": 1234, "string1": "hat"}]',
            "bye",
            '{"list": [{"int1": 1, "string1": "bye"}, {"int1": 2, "string1": "sigh"}]}',
        ],
    ]
    money = (OTHERS / "orc" / "decimal.orc").read_bytes()
    texts = [row[0] for row in rows(contract("orc", "_col0"), money) if row and row[0]]
    assert len(texts) == 4000
    assert [Decimal(text) for text in texts] == [
        value for value in orc.ORCFile(io.BytesIO(money)).read()["_col0"].to_pylist() if value is not None
    ]


AVRO = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "note", "type": ["null", "string", "bytes"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "kind", "type": {"type": "enum", "name": "kinds", "symbols": ["A", "B"]}},
    ],
}
ORDER = {
    "id": 1,
    "price": Decimal("12.50"),
    "day": date(2024, 2, 29),
    "at": datetime(2024, 2, 29, 12, 0, 0, 250000, UTC),
    "note": "Zoë",
    "tags": ["x"],
    "kind": "A",
}


def avro_of(*records: Any, schema: Any = AVRO, codec: str = "deflate") -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, schema, records, codec=codec)
    return stream.getvalue()


@pytest.mark.parametrize("codec", ["null", "deflate", "zstandard"])
def test_avro_values_as_text(codec: str) -> None:
    of = contract("avro", *ORDER)
    content = avro_of(ORDER, {**ORDER, "id": 2, "note": b"\x00"}, codec=codec)
    good, bad = records_of(of, io.BytesIO(content))
    assert good is not None
    assert bad is not None
    assert good.values == ["1", "12.50", "2024-02-29", "2024-02-29 12:00:00.250000Z", "Zoë", '["x"]', "A"]
    assert bad.error == "c_note: bytes, not of type string: \\x00"
    with pytest.raises(SourceDataError, match="is an Avro file whose values are no records"):
        check_file(of, "f")(io.BytesIO(avro_of(1, schema="long")))


def test_row_groups_are_pieces_with_the_numbers_of_the_whole(tmp_path: Path) -> None:
    of = contract("parquet", "id")
    content = parquet_of({"id": pa.array([f"{number}" for number in range(1000)])}, row_group_size=150)
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "f").write_bytes(content)
    extractor = FilesExtractor(of, tmp_path / "drop", piece_bytes=1)
    root = f"file://{tmp_path}/lake"
    landing = Landing(Storage(root), "things", "1")
    manifest = landing.commit([], extractor.fetch(extractor.plan([])[0], landing))
    parts = parts_of(manifest.files)
    assert [part.first_row for part in parts] == [1, 151, 301, 451, 601, 751, 901]
    numbered = [
        (number, value)
        for part in parts
        for batch in decoded(of, root, [part])
        for number, value in zip(
            batch.column("_source_row").to_pylist(), batch.column("c_id").to_pylist(), strict=True
        )
    ]
    assert numbered == [(number + 1, f"{number}") for number in range(1000)]


WHOLE = {
    "parquet": parquet_of({"id": pa.array(["1", "2"] * 50)}, write_page_checksum=True),
    "avro": avro_of(*({**ORDER, "id": number} for number in range(100))),
    "orc": (OTHERS / "orc" / "TestOrcFile.test1.orc").read_bytes(),
}


@pytest.mark.parametrize("file_format", list(WHOLE))
def test_a_file_that_was_cut_off_damaged_or_is_none_is_refused(file_format: str) -> None:
    of = contract(file_format, "id")
    whole = WHOLE[file_format]
    check_file(of, "f")(io.BytesIO(whole))
    half = len(whole) // 2
    others = {
        "cut": whole[:-9],
        "half": whole[:half],
        "head": whole[:3],
        "html": b"<!doctype html><p>Log in",
        "csv": b"id\n1\n",
    }
    for name, content in others.items():
        with pytest.raises(SourceDataError, match=r"f is not a readable") as refused:
            check_file(of, "f")(io.BytesIO(content))
        message = str(refused.value)
        assert message.isprintable()
        assert ("it is an HTML page" in message) == (name == "html")


@pytest.mark.parametrize("file_format", list(WHOLE))
def test_a_flipped_bit_is_refused_or_changes_no_row_count(file_format: str) -> None:
    of = contract(file_format, "id") if file_format != "orc" else contract("orc", "string1")
    whole = WHOLE[file_format]
    count = len(records_of(of, io.BytesIO(whole)))
    refusals: list[str] = []
    for place in range(4, len(whole), 7):
        content = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        try:
            check_file(of, "f")(io.BytesIO(content))
        except SourceDataError as error:
            refusals.append(str(error))
        else:
            assert len(records_of(of, io.BytesIO(content))) == count
    assert refusals
    assert all(message.isprintable() for message in refusals)


def test_columns_that_differ_only_in_case_are_refused() -> None:
    content = parquet_of({"id": pa.array(["1"]), "ID": pa.array(["2"])})
    with pytest.raises(SourceDataError, match="has columns named twice: 'id', 'ID'"):
        check_file(contract("parquet", "id"), "f")(io.BytesIO(content))


def test_a_file_without_a_row_is_empty() -> None:
    with pytest.raises(SourceDataError, match="holds no record"):
        check_file(contract("parquet", "id"), "f")(io.BytesIO(parquet_of({"id": pa.array([], pa.string())})))


INI = """
from millstream.formats.format import Format
from millstream.formats.record import Delivered, Record


def delivered(stream, contract):
    return Delivered(["key", "value"], {})


def has_records(stream, contract):
    return b"=" in stream.read()


def rows(stream, contract, piece=None):
    for line in stream.read().decode().splitlines():
        key, equals, value = line.partition("=")
        yield Record([key, value]) if equals else None


FORMAT = Format("lines of key and value", delivered, has_records, rows)
"""


def test_a_format_is_added_by_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ContractError, match=r"source: .*no format 'ini'; there are avro, "):
        contract("ini", "key", "value")
    (tmp_path / "ini.py").write_text(INI)
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path)])
    of = contract("ini.gz", "key", "value")
    assert rows(contract("ini", "key", "value"), b"a=1\n\nb=2\n") == [["a", "1"], None, ["b", "2"]]
    with pytest.raises(SourceDataError, match="is not a readable gzip file"):
        check_file(of, "f")(io.BytesIO(b"a=1"))
