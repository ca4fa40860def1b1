"""docs/maintenance.md and docs/quarantine.md name params and columns as the code has them."""

from __future__ import annotations

import re
from datetime import timedelta

from millstream.jobs.rebuild_ledger import SCHEMA
from millstream.publishing import decisions
from millstream.settings import CHECKOUT
from millstream_airflow.pipelines.maintain import LEAST_HOURS, maintenance_dag
from millstream_airflow.pipelines.replay import ANSWER_WITHIN, replay_dag

TEXT = "".join((CHECKOUT / "docs" / page).read_text() for page in ("maintenance.md", "quarantine.md"))


def section(name: str) -> str:
    return TEXT.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_every_param_is_there_with_its_default() -> None:
    shown = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", section("Maintenance"), re.MULTILINE))
    params = maintenance_dag().params.dump()
    assert shown == {name: str(value).lower() for name, value in params.items()}
    assert f"at least {LEAST_HOURS}" in section("Maintenance")


def columns(text: str) -> list[str]:
    named = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    return [name for row in named for name in re.findall(r"`(\w+)`", row)]


def test_every_column_of_the_ledger_is_there() -> None:
    assert columns(section("Ledger")) == SCHEMA.fieldNames()


def test_every_param_of_a_replay_is_there_with_its_default() -> None:
    shown = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", section("Replay"), re.MULTILINE))
    params = replay_dag().params
    defaults = {name: params.get_param(name) for name in params}
    assert shown == {
        name: str(param.value).lower() if param.has_value else "none" for name, param in defaults.items()
    }
    assert f"within {ANSWER_WITHIN // timedelta(hours=1)} hours" in section("Decide")


def test_every_column_of_a_decision_is_there() -> None:
    assert columns(section("Decide")) == decisions.SCHEMA.fieldNames()
