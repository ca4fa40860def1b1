"""`make expectations`: a suite proposed over the Spark Connect server, from published or staged rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from millstream.engines import sessions
from millstream.errors import ConfigurationError
from millstream.lake.tables import TableRef
from millstream.quality.suite import Suite
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT, Settings
from millstream_stack.commands.expectations import propose_suite

pytestmark = pytest.mark.spark

TABLE = TableRef(zone="silver", name="airlines")
SCHEMA = "carrier string, name string, _source_row_id string, _duplicate boolean"
STAGED = [("AA", "American", "f#1", False), ("UA", "United", "f#2", False), ("AA", "Twice", "f#3", True)]


@pytest.fixture
def project(server: Settings, tmp_path: Path) -> Settings:
    """The server's settings, for a project of the test's own with the airlines' contract."""
    contract = Path("dags", "datasets", "airlines.yaml")
    (tmp_path / contract).parent.mkdir(parents=True)
    (tmp_path / contract).write_text((CHECKOUT / contract).read_text())
    return server.model_copy(update={"project": tmp_path})


def put(settings: Settings, uri: str, rows: list[tuple[str, str, str, bool]]) -> None:
    with sessions.connect(settings.connect_url, f"expectations/{uri}", [], tag="expectations") as spark:
        spark.createDataFrame(rows, SCHEMA).write.format("delta").mode("overwrite").save(uri)


def proposed(settings: Settings) -> Suite:
    path = propose_suite(settings, "airlines", Console(quiet=True))
    assert path == settings.project / "expectations" / "proposed" / "airlines.json"
    return Suite.from_dict(json.loads(path.read_text()))


def carriers(suite: Suite) -> list[str]:
    (found,) = (rule for rule in suite.rules if rule.label.startswith("carrier in set"))
    return list(found.kwargs["value_set"])


def test_a_proposal_is_made_from_what_there_is_and_never_overwritten(project: Settings) -> None:
    with pytest.raises(ConfigurationError, match="run the DAG ingest_airlines first"):
        propose_suite(project, "airlines", Console(quiet=True))

    put(project, TABLE.staging_uri(project.lake_root, "r1"), STAGED)
    suite = proposed(project)
    assert carriers(suite) == ["AA", "UA"]
    # The duplicate is not among the rows that would be published.
    assert suite.rules[0].kwargs == {"min_value": 1, "max_value": 4}
    with pytest.raises(ConfigurationError, match="is there already"):
        propose_suite(project, "airlines", Console(quiet=True))

    put(project, TABLE.uri(project.lake_root), [("B6", "JetBlue", "f#1", False)])
    (project.project / "expectations" / "proposed" / "airlines.json").unlink()
    assert carriers(proposed(project)) == ["B6"]


MART = """/*
description: How many flights each carrier has.
{head}*/
SELECT carrier, name, count(*) AS flights FROM silver.airlines GROUP BY ALL
"""


def test_a_mart_has_a_proposal_from_its_own_table(project: Settings) -> None:
    (project.project / "marts").mkdir()
    mart = project.project / "marts" / "by_carrier.sql"
    mart.write_text(MART.format(head="key: [carrier]\n"))
    with pytest.raises(ConfigurationError, match="run the DAG mart_by_carrier first"):
        propose_suite(project, "by_carrier", Console(quiet=True))

    uri = TableRef(zone="gold", name="by_carrier").uri(project.lake_root)
    with sessions.connect(project.connect_url, "expectations/mart", [], tag="expectations") as spark:
        rows = [("AA", "American", 7), ("UA", "United", 9)]
        spark.createDataFrame(rows, "carrier string, name string, flights long").write.format("delta").save(
            uri
        )
    path = propose_suite(project, "by_carrier", Console(quiet=True))
    written = json.loads(path.read_text())
    assert written["meta"]["table"] == "gold.by_carrier"
    rules = Suite.from_dict(written).rules
    assert rules[0].kwargs == {"min_value": 1, "max_value": 4}
    assert "carrier is unique" in [rule.label for rule in rules]
    # What the mart is judged by then: its file adds to what its head says.
    path.rename(project.project / "expectations" / path.name)
    assert "carrier is unique" in [
        rule.label for rule in Suite.from_dict(suite_in(project.project, "by_carrier")).rules
    ]
