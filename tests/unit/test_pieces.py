"""Large files in pieces: the same rows, numbers and reasons as in one."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from millstream.bronze.decoding import decoded
from millstream.bronze.parts import TASK_BYTES, Part, parts_of, parts_with, tasks_of
from millstream.errors import SourceDataError
from millstream.formats.readers import csv
from millstream.formats.record import Columns, Piece, Record, UnreadableError
from millstream.formats.registry import format_of
from millstream.landing.manifest import LandedFile
from tests.support.decoding import each
from tests.unit.test_decode import CSV, LINES, XML, ZIPPED, zipped

HOSTILE = st.sampled_from(
    [
        b"1,one",
        b'2,"two, and"',
        b'3,"th\nree"',
        b'"',
        b'4,"',
        b'"5",a"b',
        b'6,"a"b',
        b"7,Zo\xeb",
        b"8,\xc3\xab",
        b"\xef\xbb\xbf9,mark",
        b"\x00,zero",
        b"10",
        b"11,a,b",
        b"",
        b" \t",
        b",",
        b'12,""""',
        b"13, x ",
        b"'14',`",
        b"NA,null",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b""])
FILES = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\n \n"]),
    st.lists(st.tuples(HOSTILE, ENDS), max_size=40),
).map(lambda parts: parts[0] + b"id,name\n" + b"".join(row + end for row, end in parts[1]))


def numbered(content: bytes, piece: Piece | None = None) -> list[tuple[int, Record | None]]:
    records = csv.records(io.BytesIO(content), CSV, piece)
    return list(enumerate(records, start=piece.first_row if piece else 1))


def read_fast(content: bytes, block: int, piece: Piece | None = None) -> list[tuple[int, Record | None]]:
    """As `numbered`, by the reader that takes many rows at once where it can."""
    rows = each(csv.rows(io.BytesIO(content), CSV, piece, block))
    return list(enumerate(rows, start=piece.first_row if piece else 1))


@settings(max_examples=500, deadline=None)
@given(content=FILES, size=st.integers(1, 60), block=st.integers(1, 200))
@example(content=b'id,name\n1,"one\r\nmore"\n2,"two ""2"""\n', size=10, block=200)
@example(content=b'id,name\n1,a"b,"c\n2,two"\n', size=10, block=200)
def test_both_readers_give_the_same_rows(content: bytes, size: int, block: int) -> None:
    pieces = csv.pieces(io.BytesIO(content), CSV, size)
    assert read_fast(content, block) == numbered(content)
    assert [row for piece in pieces for row in read_fast(content, block, piece)] == numbered(content)


def test_well_placed_quotes_are_read_many_rows_at_once() -> None:
    content = b'name,more,id\r\n"one, ""1""",x,1\r\n"t\nwo",,2\r\n,"",\r\n'
    (columns,) = csv.rows(io.BytesIO(content), CSV)
    assert isinstance(columns, Columns)
    assert read_fast(content, 1000) == numbered(content)


@settings(max_examples=500, deadline=None)
@given(content=FILES, size=st.integers(1, 60))
@example(content=b'id,name\n1,"one\n2,two\n3,"three\n4,"four"\n5,five', size=1)
@example(content=b"id,name\r\n1,one\r\r\n2,two\r", size=1)
def test_rows_of_the_pieces_are_those_of_the_whole(content: bytes, size: int) -> None:
    pieces = csv.pieces(io.BytesIO(content), CSV, size)
    assert [row for piece in pieces for row in numbered(content, piece)] == numbered(content)
    assert all(one.offset + one.length == other.offset for one, other in pairwise(pieces))
    assert not pieces or pieces[-1].offset + pieces[-1].length == len(content)
    assert all(piece.length >= size for piece in pieces[:-1])


def test_a_quote_that_is_never_closed_keeps_no_other_line_from_being_cut_off() -> None:
    rows = b"".join(b"%d,row\n" % number for number in range(100))
    content = b'id,name\n0,"never closed\n' + rows
    pieces = csv.pieces(io.BytesIO(content), CSV, 50)
    # All that the quote might have closed in has to be read again.
    assert len(pieces) == 1
    assert len(csv.pieces(io.BytesIO(content.replace(b'"', b"")), CSV, 50)) > 5


def test_a_piece_of_a_file_that_was_cut_off_later_is_told() -> None:
    content = b"id,name\n1,one\n2,two\n"
    *_, last = csv.pieces(io.BytesIO(content), CSV, 1)
    with pytest.raises(UnreadableError, match="is 3 bytes shorter than when it landed"):
        numbered(content[:-3], last)


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.formats.text_lines.LONGEST_LINE", 2**20)
    content = b"id,name\n1,one\n2," + b"x" * 2**22
    with pytest.raises(UnreadableError, match="has a line of more than 1,048,576 bytes"):
        csv.pieces(io.BytesIO(content), CSV, 100)
    lines = io.BytesIO(gzip.compress(b'{"id": 1}\n{"name": "' + b"x" * 2**22))
    with pytest.raises(UnreadableError, match="has a line of more than 1,048,576 bytes"):
        format_of(LINES).delivered(lines, LINES)


def landed(*pieces: Piece, size: int = 100, path: str = "landing/things/0123456789ab-a.csv") -> LandedFile:
    return LandedFile.model_validate(
        {
            "path": path,
            "source": path,
            "size": size,
            "sha256": "0" * 64,
            "landed_at": "2024-01-01T00:00:00Z",
            "status": "new",
            "pieces": pieces,
        }
    )


@pytest.mark.parametrize(
    "pieces",
    [
        [(-1, 101, 1)],
        [(10, 80, 1)],
        [(10, 90, 2)],
        [(10, 40, 1), (60, 40, 5)],
        [(10, 50, 1), (50, 50, 5)],
        [(10, 40, 1), (50, 50, 1)],
        [(10, 0, 1), (10, 90, 5)],
    ],
)
def test_pieces_that_are_not_the_whole_file_are_no_manifests(pieces: list[tuple[int, int, int]]) -> None:
    with pytest.raises(ValidationError, match=r"pieces? "):
        landed(*(Piece(*piece) for piece in pieces))
    assert LandedFile.model_validate_json(landed(Piece(10, 90, 1)).model_dump_json()).pieces == (
        Piece(10, 90, 1),
    )


def test_tasks_have_the_same_share_of_small_files_and_a_piece_of_large_ones() -> None:
    months = [Part(f"{number}", None, 700_000) for number in range(12)]
    assert tasks_of(months) == [[month] for month in months]
    small = [Part(f"{number}", None, 100_000) for number in range(1000)]
    tasks = tasks_of(small)
    assert [part for task in tasks for part in task] == small
    assert 16 <= len(tasks) <= 17
    large = [Part("large", Piece(number * TASK_BYTES, TASK_BYTES, 1), TASK_BYTES) for number in range(48)]
    assert tasks_of(large) == [[piece] for piece in large]
    assert tasks_of([]) == []


def test_rows_are_looked_for_in_their_own_pieces() -> None:
    pieces = Piece(10, 40, 1), Piece(50, 30, 5), Piece(80, 20, 9)
    file, other = landed(*pieces), landed(path="landing/things/0123456789ab-b.csv")
    first, second, third = parts_of([file])
    assert parts_with([(file.path, 4)], [file, other]) == [first]
    assert parts_with([(file.path, 5), (file.path, 8), (other.path, 1)], [file, other]) == [
        second,
        *parts_of([other]),
    ]
    assert parts_with([(file.path, 99)], [file, file]) == [third]


def test_pieces_of_a_format_that_has_none_are_refused(tmp_path: Path) -> None:
    """Each task would read the whole file: somebody has edited what extract returned."""
    part = Part("landing/things/0123456789ab-a.csv.zip", Piece(0, 50, 1), 50)
    with pytest.raises(SourceDataError, match="has pieces, and its format has none"):
        next(decoded(ZIPPED, f"file://{tmp_path}", [part]))


TEXT = b"one two three four five six seven eight nine ten eleven twelve"
LONG = {
    "csv": (CSV, b"id,name\n" + b"1,%b\n" % TEXT * 100_000),
    "csv.zip": (ZIPPED, zipped(b"id,name\n" + b"1,%b\n" % TEXT * 100_000, "a")),
    "jsonl.gz": (LINES, gzip.compress(b'{"id": 1, "name": "%b"}\n' % TEXT * 50_000)),
    "xml": (XML, b"<all>" + b"<thing><id>1</id><name>one</name></thing><other/>" * 40_000 + b"</all>"),
}


@pytest.mark.parametrize("name", LONG)
def test_a_file_is_read_in_the_memory_of_a_part_of_it(name: str) -> None:
    contract, content = LONG[name]
    file_format = format_of(contract)
    assert file_format.rows is not None
    stream = io.BytesIO(content)
    tracemalloc.start()
    rows = sum(1 for _ in file_format.rows(stream, contract, None))
    stream.seek(0)
    assert file_format.has_records(stream, contract)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows > 1
    assert peak < 4_500_000
