"""Workbooks that another library has written: cells as people see them, and sheets that are no tables."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime, time, timedelta
from typing import Any

import openpyxl
import pytest

from millstream.errors import SourceDataError
from millstream.landing.checks import check_file
from tests.support.decoding import records_of
from tests.unit.test_formats import contract, names, rows


def workbook(**sheets: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, lines in sheets.items():
        sheet = book.create_sheet(name)
        for number, line in enumerate(lines, start=1):
            for place, value in enumerate(line, start=1):
                # A row of nothing has no cell.
                if value is not None:
                    sheet.cell(number, place, value)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


CELLS = [5, 5.0, 0.1, 1e16, "  5", True, date(2024, 2, 29), datetime(2024, 2, 29, 5, 30), time(5, 30), "Zoë"]
TEXTS = ["5", "5", "0.1", "1e+16", "  5", "true", "2024-02-29", "2024-02-29 05:30:00", "05:30:00", "Zoë"]


def test_cells_are_the_text_that_people_see() -> None:
    columns = [f"c{number}" for number in range(len(CELLS))]
    of = contract("xlsx", *columns)
    content = workbook(sheet=[columns, CELLS, [], [None, "x", "", "#N/A"]])
    assert names(of, content) == columns
    first, second, third = rows(of, content)
    assert first == TEXTS
    assert second is None
    assert third is not None
    assert third[0] is None
    assert third[3] == "#N/A"
    check_file(of, "f")(io.BytesIO(content))


def replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    """The workbook with another text in its first sheet."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as whole, zipfile.ZipFile(stream, "w") as changed:
        for name in whole.namelist():
            part = whole.read(name)
            assert name != "xl/worksheets/sheet1.xml" or old in part
            changed.writestr(name, part.replace(old, new))
    return stream.getvalue()


@pytest.mark.parametrize(
    "cell",
    [
        b'<c r="B2" t="e"><f>1/0</f><v>#DIV/0!</v></c>',
        b"<c r='B2' t='e'><v>#DIV/0!</v></c>",
        b'<c r="B2" t = "e" s="1"><v>#DIV/0!</v></c>',
    ],
)
def test_an_error_is_its_text_whatever_gave_it(cell: bytes) -> None:
    plain = workbook(sheet=[["id", "share"], [1, 7]])
    content = replaced(plain, b'<c r="B2" t="n"><v>7</v></c>', cell)
    assert rows(contract("xlsx", "id", "share"), content) == [["1", "#DIV/0!"]]


DURATIONS = {
    "00:00:59.6": timedelta(seconds=59.6),
    "00:00:12.5": timedelta(seconds=12.5),
    "-01:30:00": -timedelta(minutes=90),
    "-00:00:00.25": -timedelta(seconds=0.25),
    "30:00:01": timedelta(hours=30, seconds=1),
    "9602:03:00": timedelta(days=400, hours=2, minutes=3),
}


def test_durations_keep_sign_and_fraction() -> None:
    columns = [f"c{number}" for number in range(len(DURATIONS))]
    content = workbook(sheet=[columns, [*DURATIONS.values()]])
    assert rows(contract("xlsx", *columns), content) == [[*DURATIONS]]


def test_which_sheet_and_where_its_table_begins() -> None:
    lines = [["Orders of 2024"], [], ["id", "name"], [1, "one"], [2, "two"]]
    content = workbook(orders=lines, notes=[["nothing"]])
    of = contract("xlsx", "id", "name", sheet="orders", skip_rows=2)
    assert rows(of, content) == [["1", "one"], ["2", "two"]]
    bare = contract("xlsx", "id", "name", sheet="orders", skip_rows=3, header=False)
    assert rows(bare, content) == [["1", "one"], ["2", "two"]]
    named = contract("xlsx", "name", sheet="orders", skip_rows=3, header=["id", "name"])
    assert rows(named, content) == [["one"], ["two"]]


def test_a_value_beside_the_table_costs_its_row() -> None:
    content = workbook(sheet=[["id", "name"], [1, "one"], [2, "two", "by hand"]])
    good, bad = records_of(contract("xlsx", "id", "name"), io.BytesIO(content))
    assert good is not None
    assert bad is not None
    assert good.values == ["1", "one"]
    assert bad.error == "a value in a column without a name: 2 | two | by hand"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (workbook(a=[["id"]], b=[["id"]]), r"has 2 sheets \('a', 'b'\): name one as `sheet`"),
        (workbook(a=[]), "has no header: the sheet is empty"),
        (
            workbook(a=[["id", None, "x"], [1, 2, 3]]),
            r"has a column without a name in its header: id \|  \| x",
        ),
        (workbook(a=[["id", "ID"], [1, 2]]), "has columns named twice: 'id', 'ID'"),
        (workbook(a=[["id"]]), "holds no record"),
        (workbook(a=[["id"], [1]])[:-40], "is not a readable workbook"),
        (b"id\n1\n", "is not a readable workbook: .*; it is plain text"),
        (b"<!doctype html><table>", "is not a readable workbook: .*; it is an HTML page"),
    ],
)
def test_what_is_no_table_is_refused(content: bytes, expected: str) -> None:
    with pytest.raises(SourceDataError, match=f"f {expected}"):
        check_file(contract("xlsx", "id"), "f")(io.BytesIO(content))


def test_a_sheet_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(SourceDataError, match="has no sheet 'orders', but 'a'"):
        check_file(contract("xlsx", "id", sheet="orders"), "f")(io.BytesIO(workbook(a=[["id"], [1]])))


def test_damage_is_refused_or_harmless() -> None:
    whole = workbook(a=[["id"], *([number] for number in range(50))])
    of = contract("xlsx", "id")
    refusals = []
    for place in range(0, len(whole), 97):
        try:
            check_file(of, "f")(io.BytesIO(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]))
        except SourceDataError as error:
            refusals.append(str(error))
    assert refusals
    assert all(message.isprintable() for message in refusals)
