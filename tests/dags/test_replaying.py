"""The quarantine's DAG: what is asked, what is planned, and who hears of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors, set_current_context
from markdown_it import MarkdownIt

from millstream.errors import DecisionRefusedError
from millstream.settings import CHECKOUT
from millstream_airflow.pipelines.maintain import LEAST_HOURS
from millstream_airflow.pipelines.replay import REPLAYED, AskOperator, plan
from millstream_airflow.tasks.publish import EVENT_FIELDS
from millstream_airflow.tasks.questions import options
from tests.support.noted_task import NotedTask

FOUND: dict[str, Any] = {
    "rows": 3,
    "version": 2,
    "groups": [{"partition": "2013-01", "rows": 3, "reason": "dest matches ^(A|B)$"}],
    "more_groups": 0,
    "more_rows": 0,
    "examples": [
        {
            "source_row_id": "landing/flights/partition=2013-01/x.zip#7",
            "partition": "2013-01",
            "reasons": ["dest matches ^(A|B)$"],
            "values": {"carrier": "AA", "dest": "<b>|`[x](http://evil)`\n# all good\u202e"},
            "record": '{"dest":"..."}',
        }
    ],
    "pieces": [
        {"source_run": "scheduled__1", "partitions": ["2013-01"]},
        {"source_run": "scheduled__2", "partitions": ["2013-02", "2013-03"]},
    ],
    "refusal": None,
}
NOTHING: dict[str, Any] = {
    "rows": 0,
    "version": None,
    "groups": [],
    "more_groups": 0,
    "more_rows": 0,
    "examples": [],
    "pieces": [],
    "refusal": None,
}
ANSWER = {
    "params_input": {"note": "seen with the source"},
    "responded_at": datetime(2026, 1, 1, tzinfo=UTC),
    "responded_by_user": {"id": "1", "name": "ada"},
}


@pytest.fixture(scope="module")
def dag() -> DAG:
    return DagBag(str(CHECKOUT / "dags" / "replay_quarantine.py")).dags["replay_quarantine"]


@pytest.fixture
def ask(dag: DAG) -> AskOperator:
    operator = dag.get_task("ask")
    assert isinstance(operator, AskOperator)
    return operator


def context(found: dict[str, Any] = FOUND, **params: Any) -> Any:
    return {
        "params": {"dataset": "flights", "action": "replay", "dry_run": False, **params},
        "dag_run": SimpleNamespace(run_id="manual__1"),
        "ti": NotedTask(xcom_pull=lambda task_ids: found),
    }


def planned(decided: Any = None, found: dict[str, Any] = FOUND, **params: Any) -> list[dict[str, Any]]:
    with set_current_context(context(found, **params)):
        pieces: list[dict[str, Any]] = plan.function(found, decided)
    return pieces


def test_what_asks_nothing_of_the_person_who_triggers_it_changes_nothing(dag: DAG) -> None:
    assert dag.params["dry_run"] is True
    assert dag.params["action"] == "replay"


def test_each_run_that_brought_such_rows_is_staged_by_itself() -> None:
    assert planned() == [
        {
            "source_run": "scheduled__1",
            "partitions": ["2013-01"],
            "run": "manual__1.0",
            "replay": "manual__1",
        },
        {
            "source_run": "scheduled__2",
            "partitions": ["2013-02", "2013-03"],
            "run": "manual__1.1",
            "replay": "manual__1",
        },
    ]


def test_a_dry_run_only_says_what_would_be_done_in_a_task_that_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO"):
        assert planned(dry_run=True) == []
    assert caplog.messages == [
        "replay: 3 quarantined rows of flights",
        "  2013-01: 3 rows: dest matches ^(A|B)$",
        "dry run: nothing was changed. It would publish again:",
        "  run scheduled__1 2013-01",
        "  run scheduled__2 2013-02, 2013-03",
    ]


def test_without_rows_or_without_a_decision_nothing_is_published(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert planned(found=NOTHING) == []
        assert planned(found=NOTHING, action="withdraw") == []
        assert planned(action="drop") == []
    assert caplog.messages[:2] == [
        "no such rows are in quarantine: nothing to do",
        "no such rows were decided on: nothing to do",
    ]
    assert caplog.messages[-1] == "nothing was decided: the rows stay where they are"
    assert len(planned(decided={"rows": 3}, action="drop")) == 2


@pytest.mark.parametrize("params", [{}, {"action": "accept", "dry_run": True}], ids=["replay", "dry run"])
def test_nobody_is_asked_without_need(ask: AskOperator, params: dict[str, Any]) -> None:
    with pytest.raises(AirflowSkipException):
        ask.execute(context(**params))
    with pytest.raises(AirflowSkipException):
        ask.execute(context(NOTHING, action="drop"))


def test_nobody_is_asked_what_cannot_be_done(ask: AskOperator) -> None:
    with pytest.raises(DecisionRefusedError, match="unreadable"):
        ask.execute(context({**FOUND, "refusal": "unreadable"}, action="accept"))


def test_the_answer_stays_in_the_log_with_who_gave_it(
    ask: AskOperator, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ask.execute_complete(context(action="accept"), {**ANSWER, "chosen_options": ["drop"]})
    assert told == {
        "action": "drop",
        "decided_by": "ada",
        "decided_at": "2026-01-01 00:00:00+00:00",
        "note": "seen with the source",
        "rows": 3,
    }
    assert (
        "ada answered drop, 2026-01-01 00:00:00+00:00: 3 rows of silver.flights_quarantine; "
        "note: seen with the source"
    ) in capsys.readouterr().out


def test_keep_is_the_default_and_nothing_is_recorded_of_it(
    dag: DAG, ask: AskOperator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask.defaults == ["keep"]
    nobody = {**ANSWER, "chosen_options": ["keep"], "responded_by_user": None, "params_input": {}}
    told = ask.execute_complete(context(action="drop"), nobody)
    assert (told["action"], told["decided_by"]) == ("keep", "")
    assert "nobody answered in time: keep, 2026-01-01" in capsys.readouterr().out

    record = dag.get_task("record_decision")
    for answer, skipped in (("keep", "True"), ("drop", "False")):
        asked = SimpleNamespace(xcom_pull=lambda task_ids, key, answer=answer: answer)
        assert record.render_template(record.skip_if, {"ti": asked}) == skipped


def body(ask: AskOperator, dag: DAG, found: dict[str, Any] = FOUND, **params: Any) -> str:
    shown: str = ask.render_template(ask.body, context(found, **params), dag.get_template_env())
    return shown


def test_the_question_shows_each_reason_in_a_row_of_its_own(ask: AskOperator, dag: DAG) -> None:
    shown = body(ask, dag, action="accept")
    assert "3 rows of `silver.flights_quarantine`" in shown
    lines = [line for line in shown.splitlines() if line.startswith("|")]
    assert lines[1:3] == ["|---|---|---|", "| `2013-01` | 3 | `dest matches ^(A\u2502B)$` |"]
    assert "3 rows of `silver.flights` that were accepted or dropped" in body(ask, dag, action="withdraw")


def test_the_question_shows_rows_and_nothing_in_them_is_markup(ask: AskOperator, dag: DAG) -> None:
    shown = body(ask, dag, action="accept")
    row = shown.splitlines()[-7]
    assert row == (
        "1. reasons: `dest matches ^(A\u2502B)$`; values: `carrier=AA` "
        '`dest=<b>\u2502\u02cb[x](http://evil)\u02cb\u23ce# all good\ufffd`; as received: `{"dest":"..."}`; '
        "from: `landing/flights/partition=2013-01/x.zip` row `7`"
    )
    assert "The rows, 1 of 3:" in shown
    tokens = MarkdownIt("commonmark").enable("table").parse(shown)
    inline = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in inline} <= {"text", "code_inline", "softbreak"}
    assert [token.type for token in tokens if "html" in token.type or "heading" in token.type] == []
    # Three columns of reasons, in the head and in each line, and an item a row.
    assert sum(token.type in ("th_open", "td_open") for token in tokens) == 2 * 3
    assert sum(token.type == "list_item_open" for token in tokens) == 3 + 1


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"action": "drop"}, "select * from silver.flights_quarantine"),
        (
            {"action": "drop", "reason": "dest", "partition": "2013-01"},
            "select * from silver.flights_quarantine where exists(_reasons, one -> contains(one, 'dest')) "
            "and _partition = '2013-01'",
        ),
        (
            {"action": "withdraw", "partition": "2013-01"},
            "select * from ops.decisions where table = 'silver.flights' and partition = '2013-01'",
        ),
    ],
)
def test_the_question_says_how_to_see_all_rows(
    ask: AskOperator, dag: DAG, params: dict[str, Any], query: str
) -> None:
    assert f'make sql Q="{query}"' in body(ask, dag, **params).splitlines()


def test_what_the_question_explains_can_be_answered(ask: AskOperator, dag: DAG) -> None:
    refused = {**FOUND, "refusal": "one lacks a key"}
    for found, action, offered in (
        (FOUND, "accept", ["keep", "accept", "drop"]),
        (FOUND, "drop", ["keep", "accept", "drop"]),
        (refused, "drop", ["keep", "drop"]),
        (FOUND, "withdraw", ["keep", "withdraw"]),
    ):
        explained = re.findall(r"^- `(\w+)`", body(ask, dag, found, action=action), re.MULTILINE)
        assert explained == options(action, found) == offered
    assert "They cannot be accepted: `one lacks a key`" in body(ask, dag, refused, action="drop")


def test_the_question_says_what_it_does_not_show(ask: AskOperator, dag: DAG) -> None:
    assert "Not shown" not in body(ask, dag, action="accept")
    many = {**FOUND, "rows": 90, "more_groups": 7, "more_rows": 12}
    for action in ("accept", "withdraw"):
        shown = body(ask, dag, many, action=action)
        assert "Not shown: 7 smaller groups. 12 of the rows are in none of the groups above" in shown


def test_the_rows_that_were_shown_can_still_be_read_when_the_answer_comes(dag: DAG, ask: AskOperator) -> None:
    assert ask.response_timeout < dag.dagrun_timeout < timedelta(hours=LEAST_HOURS)


def test_readers_of_the_table_are_told(dag: DAG) -> None:
    publish = dag.get_task("replay.publish")
    assert publish.outlets == [REPLAYED]
    events = OutletEventAccessors()
    result = {**dict.fromkeys(EVENT_FIELDS, 1), "table": "silver.flights"}
    publish.tell({"outlet_events": events}, result)
    (event,) = events[REPLAYED].asset_alias_events
    assert (event.dest_asset_key.name, event.extra["version"]) == ("silver.flights", 1)
