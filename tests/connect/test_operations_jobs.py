"""The platform's own jobs over Connect, as its DAGs and `make sql` run them."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from rich.console import Console

from millstream import jobs
from millstream.engines import sessions
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.settings import Settings
from millstream.streams import served
from millstream.transforms.airport_delays_batch import FIGURES
from millstream_stack.commands.sql import QueryError, run_query
from millstream_stack.commands.sql_output import Format
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.ledger_tables import publish


@pytest.fixture
def lake(server: Settings, tmp_path: Path) -> Settings:
    return server.model_copy(update={"lake_root": f"file://{tmp_path}/lake"})


def answer(settings: Settings, query: str, form: Format = "table", width: int = 200) -> str:
    screen = io.StringIO()
    run_query(settings, query, Console(file=screen, width=width), form)
    return screen.getvalue()


def test_make_sql_asks_a_ledger_that_is_up_to_date(lake: Settings) -> None:
    query = "select run, rows_read - rows_written as missing from ops.ledger order by committed_at"
    publish(lake.lake_root, "silver.flights", "first_run", read=9, quarantined=7)
    assert answer(lake, query, "csv") == "run,missing\nfirst_run,7\n"
    publish(lake.lake_root, "silver.flights", "second_run", read=9, deduplicated=4)
    assert answer(lake, query, "csv").endswith("\nsecond_run,4\n")


def test_make_sql_serves_of_each_group_the_row_that_is_further(lake: Settings) -> None:
    def write_view(table: TableRef, *groups: tuple[str, int, int]) -> None:
        hour = datetime(2013, 1, 15, 12, tzinfo=UTC)
        nothing = dict.fromkeys(FIGURES, 0)
        rows = [
            {"airport": airport, "carrier": "UA", "hour": hour, **nothing, "arrived": arrived, "as_of": as_of}
            for airport, arrived, as_of in groups
        ]
        write_deltalake(table.uri(lake.lake_root), pa.Table.from_pylist(rows), mode="overwrite")

    query = "select airport, arrived, as_of from gold.airport_delays order by 1"
    write_view(served.SPEED, ("EWR", 5, 20), ("JFK", 1, 5), ("LGA", 2, 10))
    assert answer(lake, query, "csv") == "airport,arrived,as_of\nEWR,5,20\nJFK,1,5\nLGA,2,10\n"
    # Of two rows of one position that of the batch view counts.
    write_view(served.BATCH, ("EWR", 4, 10), ("JFK", 7, 10), ("LGA", 3, 10))
    assert answer(lake, query, "csv") == "airport,arrived,as_of\nEWR,5,20\nJFK,7,10\nLGA,3,10\n"


WRONG = {
    "select count(*) from silver.flihgts": "there is no table silver.flihgts; did you mean silver.flights",
    "select * from flights": "there is no table flights; did you mean silver.flights",
    "describe history silver.flihgts": "there is no table silver.flihgts; did you mean silver.flights",
    "select carier from silver.flights": "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or "
    "function parameter with name `carier` cannot be resolved. Did you mean one of the following? [`number`, "
    "`month`]. (line 1, column 8 of the query)",
    "select 1,\n selct 1 from silver.flights": "[PARSE_SYNTAX_ERROR] Syntax error at or near '1'",
    "describe silver.flights and more": "[PARSE_SYNTAX_ERROR] Syntax error at or near 'more'",
    "select 1; delete from silver.flights": "`make sql` takes one statement",
    "with a as (select 1) delete from silver.flights": "`make sql` is read-only, it does not take DELETE",
    "from silver.flights insert overwrite directory '/nowhere' select *": "`make sql` is read-only",
    "describe silver.flights; drop table silver.flights": "`make sql` is read-only, it does not take DROP",
    "select 1/0": "[DIVIDE_BY_ZERO] Division by zero.",
}


def test_make_sql_says_in_one_line_what_is_wrong_with_a_query(lake: Settings) -> None:
    publish(lake.lake_root, "silver.flights", "r1", read=9)
    said = {}
    for query in WRONG:
        with pytest.raises(QueryError) as error:
            answer(lake, query)
        said[query] = str(error.value)
    assert {query: text[: len(WRONG[query])] for query, text in said.items()} == WRONG
    assert not [text for text in said.values() if "\n" in text or "Relation" in text or "SQLSTATE" in text]
    assert [text.partition(" (line")[2] for text in said.values() if "PARSE_SYNTAX_ERROR" in text] == [
        " 2, column 8 of the query)",
        " 1, column 29 of the query)",
    ]


# Most of these Python has no value for.
VALUES = """
    select date'9999-12-31' + 365000 as far, timestamp'0001-01-01' - interval 400 years as early,
        timestamp'2013-01-01 10:00:00.123456' as time, cast(X'FF' as string) as invalid, X'00FF' as bytes,
        interval 3 year as years, array('a', null) as texts,
        named_struct('x', null, 'y', 1.5d) as pair,
        double('nan') as nan, cast(1.10 as decimal(38, 2)) as price, chr(27) || '[31mé' as red,
        null as nothing
"""


def test_make_sql_writes_parquet_with_every_type(lake: Settings) -> None:
    query = """
        select id, cast(id / 3 as decimal(38, 2)) as price, X'00FF' as bytes,
            date_add(date'2013-01-01', cast(id as int)) as day,
            timestamp'2013-01-01 10:00:00.123456' as time, array('a', null) as texts,
            named_struct('x', null, 'y', 1.5d) as pair, map('k', 1) as counts
        from range(3) order by id
    """
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    run_query(lake, query, Console(file=out), "parquet")
    found = pq.read_table(io.BytesIO(out.buffer.getvalue()))  # type: ignore[attr-defined]
    assert found.schema.field("price").type == pa.decimal128(38, 2)
    assert found.to_pylist() == [
        {
            "id": number,
            "price": (Decimal(number) / 3).quantize(Decimal("0.01")),
            "day": date(2013, 1, 1 + number),
            "bytes": b"\x00\xff",
            "time": datetime(2013, 1, 1, 10, 0, 0, 123456, tzinfo=UTC),
            "texts": ["a", None],
            "pair": {"x": None, "y": 1.5},
            "counts": [("k", 1)],
        }
        for number in range(3)
    ]
    with pytest.raises(QueryError, match="several columns are named a"):
        run_query(lake, "select 1 as a, 2 as a", Console(file=out), "parquet")
    with pytest.raises(QueryError, match="YearMonthInterval"):
        run_query(lake, "select interval 3 year as years", Console(file=out), "parquet")


def test_make_sql_writes_every_kind_of_value(lake: Settings) -> None:
    columns, row = csv.reader(io.StringIO(answer(lake, VALUES, "csv")))
    expected = {
        "far": "+10999-05-02",
        "early": "-0399-01-01 00:00:00",
        "time": "2013-01-01 10:00:00.123456",
        "invalid": "\ufffd",
        "bytes": "00FF",
        "years": "INTERVAL '3' YEAR",
        "texts": '["a",null]',
        "pair": '{"x":null,"y":1.5}',
        "nan": "NaN",
        "price": "1.10",
        "red": "\x1b[31mé",
        "nothing": "",
    }
    assert dict(zip(columns, row, strict=True)) == expected
    shown = [line.split(" | ") for line in answer(lake, VALUES, width=80).splitlines()[1:]]
    assert {name.strip(): value for name, value in shown} == {
        **expected,
        "red": "\\x1b[31mé",
        "nothing": "NULL",
    }
    (values,) = json.loads(answer(lake, VALUES, "json"))
    assert values == {
        **expected,
        "early": "-0399-01-01T00:00:00.000000Z",
        "time": "2013-01-01T10:00:00.123456Z",
        "bytes": "AP8=",
        "texts": ["a", None],
        "pair": {"x": None, "y": 1.5},
        "price": 1.1,
        "nothing": None,
    }


def test_make_sql_gives_programs_all_rows_and_people_the_first(
    lake: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    query = "select id, id as id from range(1000) order by 1"
    assert len(answer(lake, query, "csv").splitlines()) == 1001
    assert answer(lake, query).count("\n│") == 200
    assert "only the first 200 rows are shown" in capsys.readouterr().err
    with pytest.raises(QueryError, match="several columns are named id: give each a name of its own"):
        answer(lake, query, "json")
    assert [row["id"] for row in json.loads(answer(lake, query.replace(", id as id", ""), "json"))] == list(
        range(1000)
    )


def test_make_sql_tells_of_tables(lake: Settings) -> None:
    publish(lake.lake_root, "silver.flights", "r1", read=9)
    assert answer(lake, "select 'silver.not_there' as text", "csv") == "text\nsilver.not_there\n"
    publish(lake.lake_root, "silver.planes", "r1", read=9)
    described = [line.split()[1:4:2] for line in answer(lake, "describe silver.flights").splitlines()]
    assert ["number", "bigint"] in described
    assert [
        line.split()[3] for line in answer(lake, "show tables in silver").splitlines() if "│" in line
    ] == [
        "flights",
        "planes",
    ]


def test_operations_jobs_over_connect(lake: Settings) -> None:
    root = lake.lake_root
    for run in ("r1", "r2", "r3"):
        publish(root, "silver.flights", run, read=3)
    arguments = {"lake_root": root, "run": "m", "retention_hours": 0, "target_file_mb": 1}
    with sessions.connect(lake.connect_url, "maintenance/1", [], tag="m") as spark:
        (found,) = jobs.execute(spark, "maintain_tables", {**arguments, "pins": {"silver.flights": [0]}})[
            "tables"
        ]
    assert (found["before"]["stored"], found["removed"], found["pinned"]) == (3, 1, [0])
    files = Storage(root).files("silver/flights")
    assert sum(file.path.endswith(".parquet") for file in files) == 2


@pytest.mark.thorough
def test_a_decision_is_made_and_carried_out_over_connect(server: Settings, tmp_path: Path) -> None:
    day = "2013,1,1,517,515,2,830,819,11,UA,{},N14228,EWR,IAH,227,{},5,15,2013-01-01T10:00:00Z"
    rule = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "distance_mi", "min_value": 1, "mostly": 0.1},
    }
    with sessions.connect(server.connect_url, "replay/1", [], tag="replay") as spark:
        chain = Chain(spark, tmp_path, contract_of("flights"), small_suite(rule))
        chain.put("flights/flights_2013-01.csv.zip", month_zip(day.format(1, 1400), day.format(2, -1)))
        assert chain.run("r1", ["2013-01"])["quarantined"] == 1
        assert chain.decide("q1", "accept")["rows"] == 1
        (result,) = chain.replay("q1")
        assert (result["written"], result["accepted"], result["quarantined"]) == (2, 1, 0)
