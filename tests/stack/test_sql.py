"""`make sql`: which lake tables a query names, what is listed without one, how answers are written."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from millstream.settings import CHECKOUT, Settings
from millstream_stack import __main__ as command_line
from millstream_stack.commands import sql
from millstream_stack.commands.sql import FIRST_WORD, tables_named
from millstream_stack.commands.sql_output import printable, show, write_csv, write_json
from millstream_stack.commands.sql_tables import no_such_table
from tests.support.ledger_tables import publish, write

FLIGHTS = pa.schema(
    [
        pa.field("number", pa.int64(), metadata={"comment": "Flight number"}),
        pa.field("month", pa.string(), metadata={"comment": f"Month of departure, {'for example ' * 20}"}),
        pa.field("tags", pa.list_(pa.string())),
    ]
)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lake with flights in two versions, their quarantine, and a gold table with a mark-up-like comment."""
    root = f"file://{tmp_path}/lake"
    monkeypatch.setenv("MILLSTREAM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", root)
    publish(root, "silver.flights", "r1", read=9, schema=FLIGHTS)
    publish(root, "silver.flights", "r2", read=1300, quarantined=7, schema=FLIGHTS)
    shares = pa.schema([pa.field("share", pa.float64(), metadata={"comment": "[red]0 to 1[/]\x1b[31m"})])
    write(root, "gold.shares", 0, shares)
    return root


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select count(*) from silver.flights", ["silver.flights"]),
        (
            "SELECT * FROM Silver.Flights f JOIN silver.planes p USING (tailnum)",
            ["silver.flights", "silver.planes"],
        ),
        ("select * from gold.`arrival_delay_features`", ["gold.arrival_delay_features"]),
        ("select * from ops.ledger", ["ops.ledger"]),
        ("select a.b, notsilver.c, 'bronze' from x", []),
        ("select 'gold.1', 'silver.Été'", []),
        ("describe history silver.flights_quarantine", ["silver.flights_quarantine"]),
    ],
)
def test_tables_named(query: str, expected: list[str]) -> None:
    assert [str(table) for table in tables_named(query)] == expected


@pytest.mark.parametrize("query", ["select '$5 ^x$', `a`, \"b\" -- $(HOME) #", "a rlike '^x$' or '%$5%'"])
def test_make_hands_on_a_query_as_it_is(query: str) -> None:
    shown = subprocess.run(
        ["make", "--silent", "sql", "RUN=printf '%s\\n'", f"Q={query}"], cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert shown.stdout.splitlines()[-1] == query


@pytest.mark.usefixtures("lake")
def test_without_a_query_all_tables_and_columns_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["sql"]) == 0

    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "silver.flights  version 1, 1,293 rows",
        "silver.flights_quarantine  version 0, 7 rows",
        "gold.shares  version 0, 0 rows",
    ]
    assert lines[1] == "  number  bigint         Flight number"
    assert lines[2].startswith("  month   string         Month of departure, for example for")
    assert len(lines[2]) <= 140
    assert lines[3] == "  tags    array<string>"
    assert "  share  double  [red]0 to 1[/]\\x1b[31m" in lines
    assert 'make sql Q="select' in shown.err
    assert "Read-only" in shown.err


@pytest.mark.usefixtures("lake")
def test_the_list_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["sql", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert command_line.main(["sql", "--format", "JSON"]) == 0
    objects = json.loads(capsys.readouterr().out)
    assert len(rows) == len(objects) == 6
    assert {name: str(value) for name, value in objects[0].items()} == rows[0]
    assert objects[0] == {
        "table": "silver.flights",
        "version": 1,
        "rows": 1293,
        "column": "number",
        "type": "bigint",
        "comment": "Flight number",
    }
    assert objects[-1]["comment"] == "[red]0 to 1[/]\x1b[31m"


def test_rows_that_the_log_does_not_count_are_not_said_to_be_none(
    lake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Path(lake.removeprefix("file://"), "silver/flights_quarantine/_delta_log", f"{0:020}.json")
    actions = [json.loads(line) for line in first.read_text().splitlines()]
    (added,) = [action["add"] for action in actions if "add" in action]
    del added["stats"]
    first.write_text("".join(f"{json.dumps(action)}\n" for action in actions))
    assert command_line.main(["sql"]) == 0

    assert "silver.flights_quarantine  version 0, rows not counted" in capsys.readouterr().out


def test_a_table_whose_log_is_damaged_hides_no_other(lake: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(lake.removeprefix("file://"), "gold/shares/_delta_log", f"{0:020}.json").write_text("damaged\n")
    assert command_line.main(["sql", "--format", "csv"]) == 0

    shown = capsys.readouterr()
    assert {row["table"] for row in csv.DictReader(io.StringIO(shown.out))} == {
        "silver.flights",
        "silver.flights_quarantine",
    }
    assert shown.err.startswith("gold.shares: its Delta log cannot be read: ")
    assert len(shown.err.splitlines()) == 1


@pytest.mark.usefixtures("lake")
def test_names_of_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["sql", "show tables;"]) == 0

    cells = [[cell.strip() for cell in line.split("│")] for line in capsys.readouterr().out.splitlines()]
    assert [row[1:4] for row in cells if len(row) > 1] == [
        ["silver.flights", "1", "1,293"],
        ["silver.flights_quarantine", "0", "7"],
        ["gold.shares", "0", "0"],
    ]
    assert command_line.main(["sql", "--format", "json", "show tables"]) == 0

    assert json.loads(capsys.readouterr().out)[1:] == [
        {"table": "silver.flights_quarantine", "version": 0, "rows": 7},
        {"table": "gold.shares", "version": 0, "rows": 0},
    ]


def test_an_empty_lake_says_how_it_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
    monkeypatch.setenv("MILLSTREAM_HOME", str(tmp_path))
    assert command_line.main(["sql"]) == 1

    error = capsys.readouterr().err
    assert error.startswith("error: the lake has no table yet: `make demo` fills it")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("delete from silver.flights", "DELETE"),
        (" -- a comment\n/* and another; */ (Insert into silver.flights values (1))", "INSERT"),
        ("DROP TABLE silver.flights", "DROP"),
        ("VACUUM silver.flights", "VACUUM"),
        ("set spark.sql.ansi.enabled = false", "SET"),
    ],
)
def test_what_changes_something_is_refused_in_words(
    query: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["sql", "--", query]) == 1

    error = capsys.readouterr().err
    assert error.startswith(f"error: `make sql` is read-only, it does not take {word}: it takes queries")
    assert "docs/operations.md" in error
    assert len(error.splitlines()) == 1


def test_many_comments_take_no_time() -> None:
    assert FIRST_WORD.match("/* a */ " * 60 + "'") is None


def test_without_a_server_it_says_so_at_once(
    lake: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILLSTREAM_CONNECT_PORT", str(settings.connect_port))
    assert command_line.main(["sql", "select 1"]) == 1

    error = capsys.readouterr().err
    assert "does not answer" in error
    assert "`make status`" in error
    assert len(error.splitlines()) == 1


def test_a_format_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["sql", "--format", "xml", "select 1"]) == 1

    assert capsys.readouterr().err == (
        "error: FORMAT is 'xml': give csv, json or parquet, or leave it out for a table\n"
    )


@pytest.mark.usefixtures("lake")
def test_a_list_of_tables_is_not_written_as_parquet(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["sql", "--format", "parquet"]) == 1
    assert "FORMAT=parquet is for the rows of a query" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("silver.flihgts", "; did you mean silver.flights"),
        ("flights", "; did you mean silver.flights"),
        ("bronze.flights", "; did you mean silver.flights"),
        ("sliver.flights", "; did you mean silver.flights"),
        ("gold.share", "; did you mean gold.shares?"),
        ("x.y", "; `make sql` without a query lists all tables"),
        ("gold.shares_quarantine", "A quarantine is there once a row was sent to it."),
    ],
)
def test_a_table_that_is_not_there_is_answered_with_the_nearest(lake: str, name: str, near: str) -> None:
    message = no_such_table(name, lake)
    assert message.startswith(f"there is no table {name};")
    assert near in message
    assert message.endswith("`make sql` without a query lists all tables and their columns")


def shown(columns: list[str], *rows: list[str | None], width: int = 60) -> list[str]:
    screen = io.StringIO()
    right = [column == "number" for column in columns]
    show(columns, rows, Console(file=screen, width=width), right=right)
    return screen.getvalue().splitlines()


def test_what_fits_is_a_table_and_what_does_not_one_value_a_line() -> None:
    columns = ["carrier", "number", "tailnum", "note"]
    fits: list[list[str | None]] = [["UA", "1545", None, "[bold]x[/]"], ["AA", "3", "", "\x1b[31mred\a"]]
    assert [line for line in shown(columns, *fits) if "│" in line] == [
        "│ UA      │   1545 │ NULL    │ [bold]x[/]      │",
        "│ AA      │      3 │         │ \\x1b[31mred\\x07 │",
    ]
    long: list[str | None] = ["UA", "1545", None, "first line\nsecond line, which makes it too wide to fit"]
    assert shown(columns, long, fits[1]) == [
        "-[ row 1 ]------------------------------",
        "carrier | UA",
        "number  | 1545",
        "tailnum | NULL",
        "note    | first line",
        "        | second line, which makes it too wide to fit",
        "-[ row 2 ]------------------------------",
        "carrier | AA",
        "number  | 3",
        "tailnum | ",
        "note    | \\x1b[31mred\\x07",
    ]


def test_a_long_text_of_few_columns_is_folded_in_its_cell() -> None:
    lines = shown(["column", "type", "comment"], ["month", "string", "word " * 20])
    assert max(map(len, lines)) <= 60
    assert sum("word" in line for line in lines) > 1


def test_nothing_of_a_value_reaches_the_terminal_as_a_command() -> None:
    hostile = "\x1b]0;title\x07\r\t\x00\u202e\ud800é\u4e16 \n"
    assert printable(hostile) == "\\x1b]0;title\\x07\\r\\t\\x00\\u202e\\ud800é\u4e16 \n"


@pytest.mark.usefixtures("lake")
def test_nothing_of_a_value_in_an_error_reaches_the_terminal_as_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise sql.QueryError("[CAST_INVALID_INPUT] The value '\x1b]0;title\x07' cannot be cast\nto INT")

    monkeypatch.setattr(sql, "run_query", refuse)
    assert command_line.main(["sql", "select 1"]) == 1
    assert capsys.readouterr().err == (
        "error: [CAST_INVALID_INPUT] The value '\\x1b]0;title\\x07' cannot be cast\nto INT\n"
    )


def test_csv_and_json_read_back_as_they_were() -> None:
    rows: list[list[str | None]] = [["a,b", 'say "x"\nnext', None, "1.50"], ["", "\x1b", "é", "0"]]
    text = io.StringIO()
    write_csv(["a", "b", "a", "n"], rows, text)
    again = list(csv.reader(io.StringIO(text.getvalue())))
    assert again == [["a", "b", "a", "n"], *([value or "" for value in row] for row in rows)]

    for objects in ([], ['{"a":1}'], ['{"a":1}', '{"a":"\\n"}']):
        text = io.StringIO()
        write_json(iter(objects), text)
        assert json.loads(text.getvalue()) == [json.loads(one) for one in objects]


@pytest.mark.usefixtures("lake")
def test_a_reader_that_has_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "millstream_stack", "sql", "--format", "csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(60) == 0
    assert errors == ""


def test_make_says_that_it_is_read_only_and_hands_on_the_format() -> None:
    environment = {"PATH": os.environ["PATH"]}
    listed = subprocess.run(
        ["make", "--silent", "help"],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith("  make sql ")]
    assert "read-only" in line
    assert "FORMAT=" in line
    shown = subprocess.run(
        ["make", "--silent", "sql", "RUN=printf '%s\\n'", "FORMAT=csv"],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert shown.stdout.splitlines()[-4:] == ["--format", "csv", "--", ""]


def test_a_view_is_listed_with_its_columns_once_a_table_of_it_is_there(
    lake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(lake, "gold.airport_delays_speed", 0, pa.schema([pa.field("airport", pa.string())]))
    assert command_line.main(["sql"]) == 0

    shown = capsys.readouterr().out
    assert "gold.airport_delays  view\n  airport " in shown
    assert "  as_of" in shown.partition("gold.airport_delays  view")[2]
    assert command_line.main(["sql", "--format", "json", "show tables"]) == 0

    listed = json.loads(capsys.readouterr().out)
    assert {"table": "gold.airport_delays", "version": None, "rows": None} in listed
    assert "did you mean gold.airport_delays or" in no_such_table("gold.airport_delay", lake)
