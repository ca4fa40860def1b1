"""Decoders: every record numbered, none lost, unreadable ones kept with the reason."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.bronze.rows import delivered
from millstream.contracts.contract import Contract
from millstream.errors import SourceDataError
from millstream.formats.record import UnreadableError
from tests.support.decoding import records_of

COLUMNS = ["id", "name"]


def contract(source: dict[str, Any], **more: Any) -> Contract:
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
            **more,
        },
        origin="test",
    )


CSV = contract({"kind": "files", "format": "csv", "path": "things.csv"})
ZIPPED = contract({"kind": "files", "format": "csv.zip", "path": "things.csv.zip"})
LINES = contract({"kind": "files", "format": "jsonl.gz", "path": "things.jsonl.gz"})
XML = contract({"kind": "files", "format": "xml", "path": "things.xml", "row_tag": "thing"})
PAGE = contract({"kind": "http", "endpoint": "/things"})


def decoded(source: Contract, content: bytes) -> list[Any]:
    """Values, error and raw text of each record, None for a blank line."""
    return [record and record[:3] for record in records_of(source, io.BytesIO(content))]


def added(source: Contract, content: bytes) -> list[str | None]:
    return [record and record.added for record in records_of(source, io.BytesIO(content))]


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


NOT_CLOSED, MISPLACED = "not CSV: unexpected end of data", "not CSV: ',' expected after '\"'"


@pytest.mark.parametrize(
    ("lines", "broken"),
    [
        (['1,"one', "2,two", "3,three"], {1: NOT_CLOSED}),
        (["1,one", '2,"two', "3,three", '4,"four', "5,five"], {2: MISPLACED, 4: NOT_CLOSED}),
        (['1,"o"ne', "2,two"], {1: MISPLACED}),
        (["1,one", '"', "3,three"], {2: NOT_CLOSED}),
        (['1,"one', *(f"{number},{'x' * 2**20}" for number in range(2, 20))], {1: "not CSV: field larger"}),
    ],
)
def test_csv_quote_out_of_place_breaks_its_own_line_only(lines: list[str], broken: dict[int, str]) -> None:
    found = decoded(CSV, "\n".join(["id,name", *lines, ""]).encode())
    assert len(found) == len(lines)
    for number, (line, (values, error, raw)) in enumerate(zip(lines, found, strict=True), start=1):
        if number in broken:
            assert (values, raw) == (None, line)
            assert error.startswith(broken[number])
        else:
            assert (values, error) == (line.split(","), None)


def test_csv_blank_lines_are_no_rows_and_keep_their_numbers() -> None:
    content = b'\xef\xbb\xbf\n \t\r\nid,name\n\n1,one\n  \n2,"a\n\nb"\n,\n\n'
    assert decoded(CSV, content) == [
        None,
        (["1", "one"], None, None),
        None,
        (["2", "a\n\nb"], None, None),
        (["", ""], None, None),
        None,
    ]
    assert delivered(CSV, io.BytesIO(content), "x").names == ["id", "name"]


def test_json_blank_lines_are_no_rows_and_keep_their_numbers() -> None:
    content = b'\n{"id": 1, "name": "one"}\r\n \n{"id": 2, "name": ""}\n\n'
    assert decoded(LINES, gzip.compress(content)) == [
        None,
        (["1", "one"], None, None),
        None,
        (["2", ""], None, None),
        None,
    ]
    assert delivered(LINES, io.BytesIO(gzip.compress(content)), "x").names == ["id", "name"]


@pytest.mark.parametrize(
    "value",
    ["x" * 140_000, "\n".join(f"line {number} of one field" for number in range(9000))],
    ids=["140,000 characters", "9,000 lines"],
)
def test_csv_long_field_is_one_record(value: str) -> None:
    rows = decoded(CSV, f'id,name\n1,"{value}"\n2,two\n'.encode())
    assert rows == [(["1", value], None, None), (["2", "two"], None, None)]


# Read as the begin of a record each of these lines opens a quote; read inside quotes it goes on.
@pytest.mark.timeout(30)
def test_csv_of_quotes_that_are_all_not_closed_takes_no_time_by_the_square() -> None:
    lines = ['a","b'] * 50_000
    rows = decoded(CSV, "\n".join(["id,name", *lines, ""]).encode())
    assert rows == [(None, NOT_CLOSED, 'a","b')] * len(lines)


# The first example imports Arrow.
@settings(deadline=None)
@given(st.lists(st.text('",a', max_size=5), max_size=8))
def test_csv_is_read_as_if_every_line_were_tried_anew(lines: list[str]) -> None:
    def tried(rest: list[str]) -> list[tuple[list[str] | None, str]]:
        """Of each record its fields, or none, and the text that it was read from."""
        if not rest:
            return []
        taken: list[str] = []
        reader = csv.reader((taken.append(line) or line for line in rest), strict=True)
        try:
            row = next(reader)
        except csv.Error:
            return [(None, rest[0]), *tried(rest[1:])]
        return [(row, "".join(taken)), *tried(rest[len(taken) :])]

    expected = tried([f"{line}\n" for line in lines])
    found = decoded(CSV, "\n".join(["id,name", *lines, ""]).encode())
    assert [record and record[0] for record in found] == [
        row if row is not None and len(row) == 2 else None for row, _ in expected
    ]


def test_csv_whose_header_has_a_quote_that_is_not_closed_is_refused() -> None:
    content = b'id,"name\n1,one\n'
    with pytest.raises(SourceDataError, match="a header that is not CSV"):
        delivered(CSV, io.BytesIO(content), "things.csv")
    with pytest.raises(UnreadableError, match="a header that is not CSV"):
        decoded(CSV, content)


def test_json_value_that_is_no_text_is_kept_apart() -> None:
    """Half of a surrogate pair, as is left of an emoji that was cut: no UTF-8 can hold it."""
    record = '{"id": "1", "name": "\\ud83d"}'
    whole = '{"id": "2", "name": "\\ud83d\\ude00"}'
    expected = [
        (None, "not Unicode: half of a character", record),
        (["2", "\U0001f600"], None, None),
    ]
    assert decoded(LINES, gzip.compress(f"{record}\n{whole}\n".encode())) == expected
    assert decoded(PAGE, f'{{"results": [{record}, {whole}]}}'.encode()) == expected


@pytest.mark.parametrize(
    "beside",
    ["__MACOSX/._a.csv", "d/__MACOSX/x", ".DS_Store", "d/.DS_Store", "Thumbs.db", "desktop.ini", "d/"],
)
def test_zip_holds_exactly_one_file_besides_those_of_the_system(beside: str) -> None:
    assert decoded(ZIPPED, zipped(b"id,name\n1,one\n", "a.csv", beside)) == [(["1", "one"], None, None)]
    with pytest.raises(UnreadableError, match=r"holds 2 files \(a\.csv, b\.csv\): expected one"):
        decoded(ZIPPED, zipped(b"id,name\n", "a.csv", "b.csv", beside))


def test_json_lines_keep_bad_ones() -> None:
    content = b'{"id": 1, "name": null}\n{"id": 2\n[3]\n{"id": 4}\n'
    rows = decoded(LINES, gzip.compress(content, mtime=0))
    assert rows[0] == (["1", None], None, None)
    assert rows[1][0] is None
    assert rows[1][1].startswith("not JSON")
    assert rows[1][2] == '{"id": 2'
    assert rows[2] == (None, "not a JSON object", "[3]")
    assert rows[3] == (None, "field missing: name", '{"id": 4}')


TWICE = '{"id": "1", "name": "one", "name": "two"}'
TWICE_WITHIN = '{"id": "1", "name": [{"a": 1, "a": 2}]}'


@pytest.mark.parametrize("record", [TWICE, TWICE_WITHIN])
def test_json_record_with_a_field_twice_is_kept_apart_as_it_was(record: str) -> None:
    whole = '{"id": "2", "name": "two"}'
    expected = [(None, "a field comes twice", record), (["2", "two"], None, None)]
    assert decoded(LINES, gzip.compress(f"{record}\n{whole}\n".encode())) == expected
    assert decoded(PAGE, f'{{"results": [{record}, {whole}]}}'.encode()) == expected


@pytest.mark.parametrize("depth", [250, 900, 2_000, 100_000])
def test_json_nested_too_deep_costs_its_own_record(depth: int) -> None:
    deep = f'{{"id": 1, "name": {"[" * depth}"]}}"{"]" * depth}}}'
    good = '{"id": 2, "name": [[["two"]]]}'
    expected = [
        (None, "nested deeper than 200 levels", deep),
        (["2", '[[["two"]]]'], None, None),
    ]
    lines = gzip.compress(f"{deep}\n{good}\n".encode())
    page = f'{{"meta": {{"a": [1]}}, "results": [{deep}, {good}], "total": 2}}'.encode()
    assert decoded(LINES, lines) == expected
    assert decoded(PAGE, page) == expected
    for source, content in ((LINES, lines), (PAGE, page)):
        assert delivered(source, io.BytesIO(content), "x").names == ["id", "name"]


def test_json_names_that_are_no_text_or_differ_only_in_case_are_kept_apart() -> None:
    half = '{"id": "1", "name": "one", "\\ud83d": 1}'
    cased = '{"id": "2", "name": "two", "Name": "Two"}'
    expected = [
        (None, "not Unicode: half of a character in the name of a field", half),
        (None, "a field comes twice: 'name', 'Name' (Spark takes no notice of case)", cased),
        (["3", "three"], None, None),
    ]
    good = '{"id": "3", "name": "three"}'
    lines = gzip.compress("\n".join([half, cased, good]).encode())
    assert decoded(LINES, lines) == expected
    assert delivered(LINES, io.BytesIO(lines), "x").names == ["id", "name"]
    assert decoded(PAGE, f'{{"results": [{half}, {cased}, {good}]}}'.encode()) == expected


def test_json_numbers_as_they_were_written_also_within_a_field() -> None:
    long = "9" * 5000
    content = f'{{"id": {long}, "name": [1.50, 1e400, {{"a": -0.0}}, null, true]}}'
    assert decoded(LINES, gzip.compress(content.encode())) == [
        ([long, '[1.50, 1e400, {"a": -0.0}, null, true]'], None, None)
    ]


def test_json_page_with_its_records_twice_is_refused() -> None:
    with pytest.raises(SourceDataError, match="the page has a field twice"):
        delivered(PAGE, io.BytesIO(b'{"results": [], "results": [{"id": 1}]}'), "x")


def test_json_page_values_as_the_source_wrote_them() -> None:
    records = b'{"id": 1.50, "name": "x"}, {"id": true, "name": ["a", 2.5]}, {"id": 1e400, "name": 1}'
    page = b'{"results": [' + records + b"]}"
    assert decoded(PAGE, page) == [
        (["1.50", "x"], None, None),
        (["true", '["a", 2.5]'], None, None),
        (["1e400", "1"], None, None),
    ]


def test_xml_elements_and_attributes() -> None:
    content = b'<things><thing id="1"><name>one</name></thing><thing><id>2</id><name/></thing></things>'
    assert decoded(XML, content) == [(["1", "one"], None, None), (["2", None], None, None)]


def test_xml_row_without_a_field_is_told_from_one_whose_field_is_empty() -> None:
    content = b"<things><thing><id>1</id></thing> <thing><id>2</id><name/></thing></things>"
    assert decoded(XML, content) == [
        (None, "field missing: name", "<thing><id>1</id></thing>"),
        (["2", None], None, None),
    ]


def test_xml_field_that_became_a_tree_or_comes_twice_is_not_dropped() -> None:
    tree = b"<things><thing><id>1</id><name><first>A</first></name>\n</thing></things>"
    assert decoded(XML, tree) == [(["1", "<name><first>A</first></name>"], None, None)]
    twice = b"<things><thing><id>1</id><name>A</name><name>B</name></thing></things>"
    assert decoded(XML, twice) == [
        (None, "a field comes twice", "<thing><id>1</id><name>A</name><name>B</name></thing>")
    ]


NAMESPACES = [
    b'<things xmlns="urn:n"><thing a="x"><id>1</id><name>one</name></thing></things>',
    b'<n:things xmlns:n="urn:n"><n:thing a="x"><n:id>1</n:id><n:name>one</n:name></n:thing></n:things>',
    b'<things xmlns:n="urn:n"><n:thing a="x"><id>1</id><n:name>one</n:name></n:thing></things>',
]


@pytest.mark.parametrize("content", NAMESPACES)
@pytest.mark.parametrize("row_tag", ["thing", "{urn:n}thing"])
def test_xml_names_are_local_ones_whatever_the_namespace(content: bytes, row_tag: str) -> None:
    source = contract({"kind": "files", "format": "xml", "path": "things.xml", "row_tag": row_tag})
    assert decoded(source, content) == [(["1", "one"], None, None)]
    assert added(source, content) == ['{"a": "x"}']
    assert delivered(source, io.BytesIO(content), "x").names == ["a", "id", "name"]


def test_xml_field_of_another_namespace_keeps_it() -> None:
    content = b'<t xmlns:m="urn:m"><thing><id>1</id><m:id>9</m:id><m:called>one</m:called></thing></t>'
    columns = [{"name": "id", "type": "string", "description": "Key", "nullable": False}]
    columns.append({"name": "name", "type": "string", "description": "Name", "aliases": ["{urn:m}called"]})
    source = contract(XML.source.model_dump(), columns=columns)
    assert decoded(source, content) == [(["1", "one"], None, None)]
    assert added(source, content) == ['{"{urn:m}id": "9"}']


def test_xml_entity_bomb_is_refused() -> None:
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    bomb = entities + b'<things><thing id="1"><name>&b;</name></thing></things>'
    with pytest.raises(UnreadableError, match="declares the entity a, and entities are not read"):
        decoded(XML, bomb)


# A lone surrogate cannot be written as UTF-8.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"))


# The first example imports Arrow.
@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=30))
def test_any_text_survives_csv(rows: list[tuple[str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([COLUMNS, *rows])
    assert decoded(CSV, text.getvalue().encode()) == [(list(row), None, None) for row in rows]


# One record with `id`, `old` for the contract's `name`, and `colour`, which the contract does not know.
DELIVERIES = [
    pytest.param(CSV, b"id,old,colour\n1,one,red\n", id="csv"),
    pytest.param(ZIPPED, zipped(b"id,old,colour\n1,one,red\n", "a.csv"), id="csv.zip"),
    pytest.param(LINES, gzip.compress(b'{"id": 1, "old": "one", "colour": "red"}\n', mtime=0), id="jsonl.gz"),
    pytest.param(PAGE, b'{"results": [{"id": 1, "old": "one", "colour": "red"}]}', id="http"),
    pytest.param(
        XML, b"<things><thing><id>1</id><old>one</old><colour>red</colour></thing></things>", id="xml"
    ),
]
each_delivery = pytest.mark.parametrize(("source", "content"), DELIVERIES)


def with_columns(source: Contract, **name: Any) -> Contract:
    columns = [{"name": "id", "type": "string", "description": "Key", "nullable": False}]
    columns.append({"name": "name", "type": "string", "description": "Name", **name})
    return contract(source.source.model_dump(), columns=columns, drift={"removed": "evolve"})


@each_delivery
def test_the_names_of_a_delivery_are_read_in_every_format(source: Contract, content: bytes) -> None:
    assert delivered(source, io.BytesIO(content), "x").names == ["id", "old", "colour"]


@each_delivery
def test_a_renamed_column_is_read_under_its_alias_and_an_added_one_is_kept(
    source: Contract, content: bytes
) -> None:
    renamed = with_columns(source, aliases=["old"])
    assert decoded(renamed, content) == [(["1", "one"], None, None)]
    assert added(renamed, content) == ['{"colour": "red"}']


@each_delivery
def test_a_removed_column_is_null_where_the_contract_says_so(source: Contract, content: bytes) -> None:
    assert decoded(with_columns(source), content) == [(["1", None], None, None)]
    assert added(with_columns(source), content) == ['{"old": "one", "colour": "red"}']


@pytest.mark.parametrize(
    ("source", "content"),
    [
        (LINES, gzip.compress(b'not JSON\n{"id": 1}\n[2]\n{"name": "x", "id": 3}\n', mtime=0)),
        (PAGE, b'{"results": [{"id": 1}, 7, {"name": "x"}]}'),
        (XML, b'<things><thing id="1"/><thing><name>x</name></thing></things>'),
    ],
)
def test_a_field_that_one_record_has_is_a_field_of_the_delivery(source: Contract, content: bytes) -> None:
    assert delivered(source, io.BytesIO(content), "x").names == ["id", "name"]


def test_the_columns_of_a_table_that_differ_only_in_case_are_refused() -> None:
    """Spark would say AMBIGUOUS_REFERENCE, with a stack."""
    source = contract({"kind": "sql", "connection": "db", "table": "things", "key": "id"})
    batch = io.BytesIO()
    pq.write_table(pa.table({"id": ["1"], "name": ["a"], "Name": ["b"]}), batch)
    with pytest.raises(SourceDataError, match="has columns named twice: 'name', 'Name'"):
        delivered(source, batch, "things.parquet")


def test_an_empty_last_page_has_no_fields() -> None:
    assert delivered(PAGE, io.BytesIO(b'{"results": []}'), "x") == ([], {})


@pytest.mark.parametrize(
    ("source", "content", "message"),
    [
        (ZIPPED, b"not a zip", r"things: landing/x is not a readable zip file: .*; it is plain text"),
        (XML, b"<things><row><id>1</id></row></things>", "has no element <thing>, but 1 <things>, 1 <row>"),
        (XML, b"<error>thing not found</error>", "has no element <thing>, but 1 <error>"),
        (XML, b"<things><thing></things>", "is not well-formed XML: mismatched tag: line 1, column 17"),
        (LINES, gzip.compress(b"[1]\n", mtime=0), "no line that is a JSON object; the first is: \\[1]"),
        (PAGE, b'{"items": []}', "has no list under 'results'"),
        (PAGE, b"<html>", "is not JSON"),
        (CSV, b"id,name,name\n1,a,b\n", "columns named twice: 'name'"),
    ],
)
def test_what_cannot_be_read_says_which_file_and_why(source: Contract, content: bytes, message: str) -> None:
    with pytest.raises(SourceDataError, match=message):
        delivered(source, io.BytesIO(content), "landing/x")
