"""The platform's own jobs over Connect, as its DAGs and `make sql` run them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from chain import Chain, contract_of, month_zip, small_suite
from ledger_tables import publish
from rich.console import Console

from millstream import jobs, sessions
from millstream.errors import ClusterError
from millstream.lake.storage import Storage
from millstream.settings import Settings
from millstream_stack.sql import run_query


@pytest.fixture
def lake(server: Settings, tmp_path: Path) -> Settings:
    return server.model_copy(update={"lake_root": f"file://{tmp_path}/lake"})


def answer(settings: Settings, query: str) -> str:
    screen = io.StringIO()
    run_query(settings, query, Console(file=screen, width=200))
    return screen.getvalue()


def test_make_sql_asks_a_ledger_that_is_up_to_date(lake: Settings) -> None:
    query = "select run, rows_read - rows_written as missing from ops.ledger order by committed_at"
    publish(lake.lake_root, "silver.flights", "first_run", read=9, quarantined=7)
    assert "first_run │ 7" in answer(lake, query)
    publish(lake.lake_root, "silver.flights", "second_run", read=9, deduplicated=4)
    assert "second_run │ 4" in answer(lake, query)


def test_make_sql_names_the_tables_that_are_there_when_one_is_not(lake: Settings) -> None:
    publish(lake.lake_root, "silver.flights", "r1", read=9)
    with pytest.raises(
        ClusterError, match=r"there is no table silver\.flihgts; there are: silver\.flights\."
    ):
        answer(lake, "select count(*) from silver.flihgts")


def test_make_sql_says_what_is_wrong_with_a_query(lake: Settings) -> None:
    publish(lake.lake_root, "silver.flights", "r1", read=9)
    with pytest.raises(ClusterError, match=r"name `carier` cannot be resolved") as told:
        answer(lake, "select carier from silver.flights")
    assert "Relation" not in str(told.value), "the plan is told too"
    with pytest.raises(ClusterError, match=r"(?s)PARSE_SYNTAX_ERROR.*selct 1"):
        answer(lake, "selct 1 from silver.flights")


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
