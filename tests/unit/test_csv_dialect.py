"""CSV as others write it: what a contract says of it, read by both readers alike, and as pandas reads it."""

from __future__ import annotations

import csv
import io
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import ContractError, SourceDataError
from millstream.formats.readers import csv as csv_format
from millstream.formats.record import Columns, Piece
from millstream.landing.checks import check_file
from tests.support.decoding import each, records_of
from tests.unit.test_formats import contract

# As TPC-H's dbgen writes its orders.
TBL = (
    b"1|36901|O|173665.47|1996-01-02|5-LOW|Clerk#000000951|0|nstructions sleep furiously among |\n"
    b"2|78002|O|46929.18|1996-12-01|1-URGENT|Clerk#000000880|0| foxes. pending accounts at the pending|\n"
)
ORDERS = ("key", "customer", "status", "price", "day", "priority", "clerk", "ship", "comment")
PLAIN_TBL = {"delimiter": "|", "quote": None, "header": False, "trailing_delimiter": True}


def of(*columns: str, **dialect: Any):
    return contract("csv", *columns, **dialect)


def rows(source: Any, content: bytes) -> list[Any]:
    return [record and (record.values or record.error) for record in records_of(source, io.BytesIO(content))]


def test_tbl_of_tpc_h_is_read_many_rows_at_once() -> None:
    source = of(*ORDERS, **PLAIN_TBL)
    found = rows(source, TBL)
    assert found == [line.split("|")[:-1] for line in TBL.decode().splitlines()]
    assert all(isinstance(row, Columns) for row in csv_format.rows(io.BytesIO(TBL), source))
    check_file(source, "f")(io.BytesIO(TBL))
    assert csv_format.pieces(io.BytesIO(TBL), source, 1)[0].offset == 0


def test_a_line_of_tbl_without_its_end_costs_itself() -> None:
    source = of("a", "b", **PLAIN_TBL)
    assert rows(source, b"1|x|\n2|y\n3|z|\n4|w|v|\n") == [
        ["1", "x"],
        "no delimiter at the end of the line",
        ["3", "z"],
        "3 fields where the contract has 2",
    ]


def test_names_of_a_file_without_header_are_found_as_those_of_a_header_are() -> None:
    source = of("b", "a", header=["a", "x", "b"])
    (record,) = records_of(source, io.BytesIO(b"1,2,3\n"))
    assert record is not None
    assert (record.values, record.added) == (["3", "1"], '{"x": "2"}')


def test_lines_before_the_header_and_comments_are_no_rows_and_comments_keep_their_numbers() -> None:
    source = of("a", "b", skip_lines=2, comment="#", delimiter=";")
    content = b'Export, "of today\n\n# by hand\na;b\n1;x\n#2;y\n3;"z\n#w"\n'
    assert rows(source, content) == [["1", "x"], None, ["3", "z\n#w"]]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("cp1252", "a;b\nZoë;5 €\n"), ("utf-16", "a;b\nZoë;中\n"), ("shift_jis", "a;b\n日本;ソ\n")],
)
def test_other_encodings(encoding: str, text: str) -> None:
    source = of("a", "b", delimiter=";", encoding=encoding)
    content = text.encode(encoding)
    assert rows(source, content) == [text.splitlines()[1].split(";")]
    assert csv_format.pieces(io.BytesIO(content), source, 1) == ()


def test_a_byte_that_its_encoding_does_not_have_costs_its_row() -> None:
    source = of("a", encoding="cp1252")
    assert rows(source, b"a\n\xeb\n\x81\nx\n") == [["ë"], "not cp1252", ["x"]]
    with pytest.raises(SourceDataError, match="f is not text in utf-16: "):
        check_file(of("a", encoding="utf-16"), "f")(
            io.BytesIO(b"\xff\xfea\x00\n\x00\x00\xd8\n\x00x\x00\n\x00")
        )


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"delimiter": "||"}, "source.delimiter: .*expected one ASCII character"),
        ({"delimiter": "\n"}, "source.delimiter: .*that ends no line"),
        ({"quote": ","}, "must differ from each other"),
        ({"encoding": "hex"}, "source.encoding: .*no encoding of text: 'hex'"),
        ({"encoding": "utf-9"}, "source.encoding: .*no encoding of text: 'utf-9'"),
        ({"header": []}, "header: names no column"),
        ({"skip_lines": -1}, "source.skip_lines: .*greater than or equal to 0"),
        ({"quotes": "'"}, "source.quotes: Extra inputs are not permitted"),
        ({"row_tag": "x"}, "source.row_tag: Extra inputs are not permitted"),
    ],
)
def test_a_dialect_that_means_nothing_is_refused_with_its_field(wrong: Any, expected: str) -> None:
    with pytest.raises(ContractError, match=expected):
        of("a", **wrong)


def test_another_delimiter_than_the_contract_says_is_refused() -> None:
    with pytest.raises(SourceDataError, match=r"has ',' between its columns: a,b. .* The contract says '\|'"):
        check_file(of("a", "b", delimiter="|"), "f")(io.BytesIO(b"a,b\n1,2\n"))


DIALECTS = [
    {"delimiter": "|"},
    {"delimiter": "\t", "quote": "'"},
    {"delimiter": ";", "escape": "\\"},
    {"delimiter": "|", "comment": "#"},
    {"delimiter": "|", "quote": None},
    {"delimiter": "|", "trailing_delimiter": True},
    {"header": False, "skip_lines": 1},
]
TEXT = st.text("ab\"'\\#|;,\t \n\r", max_size=12)


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
@settings(max_examples=200, deadline=None)
@given(lines=st.lists(TEXT, max_size=20), size=st.integers(1, 60), block=st.integers(1, 200))
def test_both_readers_give_the_same_rows_of_every_dialect(
    dialect: dict[str, Any], lines: list[str], size: int, block: int
) -> None:
    source = of("a", "b", **dialect)
    delimiter = dialect.get("delimiter", ",")
    header = f"a{delimiter}b{delimiter if dialect.get('trailing_delimiter') else ''}\n"
    content = (header + "\n".join(lines)).encode()
    careful = list(csv_format.records(io.BytesIO(content), source))
    assert each(csv_format.rows(io.BytesIO(content), source, None, block)) == careful
    pieces = csv_format.pieces(io.BytesIO(content), source, size)

    def read(piece: Piece) -> list[Any]:
        return each(csv_format.rows(io.BytesIO(content), source, piece, block))

    assert [row for piece in pieces for row in read(piece)] == careful


@pytest.mark.parametrize("dialect", DIALECTS[:2] + DIALECTS[4:5], ids=str)
@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.tuples(st.text("ab,;\t'\"x", max_size=6), st.text("ab1", min_size=1)), min_size=1))
def test_what_pandas_has_written_is_read_as_it_was(dialect: dict[str, Any], values: list[Any]) -> None:
    quote = dialect.get("quote", '"')
    if quote is None:
        values = [(one.replace("|", ""), two) for one, two in values]
    frame = pd.DataFrame(values, columns=["a", "b"])
    how = {"quoting": csv.QUOTE_NONE} if quote is None else {"quotechar": quote}
    text = frame.to_csv(index=False, sep=dialect["delimiter"], **how)
    assert rows(of("a", "b", **dialect), text.encode()) == [[one, two] for one, two in values]
