"""Decoders: every record numbered, none lost, unreadable ones kept with the reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.contract import Contract
from millstream.decode import check_columns, decoder
from millstream.errors import SchemaDriftError, SourceDataError

COLUMNS = ["id", "name"]


def contract(source: dict[str, Any]) -> Contract:
    return Contract.from_dict(
        {
            "dataset": "things",
            "version": 1,
            "description": "Things to decode in tests.",
            "owner": "tests",
            "source": {"connection": "drop", **source},
            "load": "full",
            "start_date": "2024-01-01",
            "columns": [{"name": name, "type": "string", "description": name * 2} for name in COLUMNS],
            "primary_key": ["id"],
        },
        origin="test",
    )


CSV = contract({"kind": "files", "format": "csv", "path": "things.csv"})
ZIPPED = contract({"kind": "files", "format": "csv.zip", "path": "things.csv.zip"})
LINES = contract({"kind": "files", "format": "jsonl.gz", "path": "things.jsonl.gz"})
XML = contract({"kind": "files", "format": "xml", "path": "things.xml", "row_tag": "thing"})
PAGE = contract({"kind": "http", "endpoint": "/things"})


def decoded(source: Contract, content: bytes) -> list[Any]:
    return list(decoder(source)(io.BytesIO(content)))


def zipped(content: bytes, *names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return stream.getvalue()


def test_csv_rows_in_file_order() -> None:
    assert decoded(CSV, b'id,name\n1,one\n2,"two, and a half"\n') == [
        (["1", "one"], None, None),
        (["2", "two, and a half"], None, None),
    ]


def test_csv_columns_are_found_by_name() -> None:
    assert decoded(CSV, b"name,extra,id\none,x,1\n") == [(["1", "one"], None, None)]


def test_csv_row_of_wrong_width_is_kept_as_text() -> None:
    assert decoded(CSV, b"id,name\n1,one\n2\n3,three,3\n4,four\n") == [
        (["1", "one"], None, None),
        (None, "1 fields where the header has 2", "2"),
        (None, "3 fields where the header has 2", "3,three,3"),
        (["4", "four"], None, None),
    ]


def test_csv_cut_off_in_its_last_row_loses_no_row() -> None:
    assert decoded(CSV, b"id,name\n1,one\n2") == [
        (["1", "one"], None, None),
        (None, "1 fields where the header has 2", "2"),
    ]


def test_csv_row_that_is_not_utf8_is_kept_with_its_bytes_shown() -> None:
    rows = decoded(CSV, "id,name\n1,Zoë\n".encode() + b"2,Zo\xeb\n")
    assert rows == [(["1", "Zoë"], None, None), (None, "not UTF-8", "2,Zo\\xeb")]


def test_zip_holds_exactly_one_file() -> None:
    assert decoded(ZIPPED, zipped(b"id,name\n1,one\n", "a.csv")) == [(["1", "one"], None, None)]
    with pytest.raises(SourceDataError, match="holds one file, found 2"):
        decoded(ZIPPED, zipped(b"id,name\n", "a.csv", "b.csv"))


def test_json_lines_keep_bad_ones() -> None:
    content = b'{"id": 1, "name": null}\n{"id": 2\n[3]\n{"id": 4}\n'
    rows = decoded(LINES, gzip.compress(content))
    assert rows[0] == (["1", None], None, None)
    assert rows[1][0] is None
    assert rows[1][1].startswith("not JSON")
    assert rows[1][2] == '{"id": 2'
    assert rows[2] == (None, "not a JSON object", "[3]")
    assert rows[3] == (None, "field missing: name", '{"id": 4}')


def test_json_page_values_as_the_source_wrote_them() -> None:
    page = json.dumps({"results": [{"id": 1.5, "name": "x"}, {"id": True, "name": ["a"]}]}).encode()
    assert decoded(PAGE, page) == [(["1.5", "x"], None, None), (["true", '["a"]'], None, None)]


def test_xml_elements_and_attributes() -> None:
    content = b'<things><thing id="1"><name>one</name></thing><thing><id>2</id></thing></things>'
    assert decoded(XML, content) == [(["1", "one"], None, None), (["2", None], None, None)]


def test_xml_entity_bomb_is_refused() -> None:
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    bomb = entities + b'<things><thing id="1"><name>&b;</name></thing></things>'
    with pytest.raises(ValueError, match="EntitiesForbidden"):
        decoded(XML, bomb)


# A lone surrogate cannot be written as UTF-8.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"))


@given(st.lists(st.tuples(TEXT, TEXT), max_size=30))
def test_any_text_survives_csv(rows: list[tuple[str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([COLUMNS, *rows])
    assert decoded(CSV, text.getvalue().encode()) == [(list(row), None, None) for row in rows]


@pytest.mark.parametrize(
    ("source", "content"),
    [
        (CSV, b"id,label\n1,one\n"),
        (ZIPPED, zipped(b"id,label\n1,one\n", "a.csv")),
        (LINES, gzip.compress(b'{"id": 1, "label": "one"}\n')),
        (PAGE, b'{"results": [{"id": 1, "label": "one"}]}'),
        (XML, b"<things><thing><id>1</id><label>one</label></thing></things>"),
    ],
)
def test_a_removed_column_is_drift_in_every_format(source: Contract, content: bytes) -> None:
    with pytest.raises(SchemaDriftError, match="column removed at the source: name; found id, label"):
        check_columns(source, io.BytesIO(content), "landing/things/x")


def test_an_added_column_is_told() -> None:
    assert check_columns(CSV, io.BytesIO(b"id,name,colour\n"), "x") == ["colour"]


def test_an_empty_last_page_is_no_drift() -> None:
    assert check_columns(PAGE, io.BytesIO(b'{"results": []}'), "x") == []


def test_what_cannot_be_opened_says_which_file() -> None:
    with pytest.raises(SourceDataError, match=r"landing/things/broken\.zip: cannot be read"):
        check_columns(ZIPPED, io.BytesIO(b"not a zip"), "landing/things/broken.zip")
