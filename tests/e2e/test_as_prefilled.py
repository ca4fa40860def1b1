"""*Trigger*, pressed in the web UI with the form as it comes, for every DAG that is shipped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Locator, Page

from docs.screenshots import logged_in
from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.settings import CHECKOUT, Settings
from millstream_stack.clients.airflow_api import Run, Task
from millstream_stack.commands.demo import follow
from millstream_stack.credentials import Credentials
from tests.support.airflow_user import AirflowUser
from tests.support.browser import chromium
from tests.support.carried import MONTH, NEEDS_A_YEAR

# A bound for what hangs: on two busy cores the last of these has taken 25 minutes.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

SHIPPED = sorted(path.stem for path in (CHECKOUT / "dags").glob("*.py"))
INGESTS = [name for name in SHIPPED if name.startswith("ingest_")]
# The form has to know whose quarantine is meant, and asks.
ASKS = "replay_quarantine"
# Of those that find nothing in an empty lake: a mart, features, a view of a stream, a model's scores.
ONE_OF_EACH = ("build_features", "compare_views", "mart_model_quality_by_month", "score_arrival_delay")
NOTHING_YET = "not been published yet|not published yet|no champion yet|make streams-up starts"
# Flights of December 2013 in the demo's source.
DECEMBER = 28_135


@pytest.fixture(scope="module")
def page(settings: Settings, credentials: Credentials, api: AirflowUser) -> Iterator[Page]:
    with chromium() as browser:
        yield logged_in(browser, settings, credentials)


def open_form(page: Page, settings: Settings, dag_id: str) -> Locator:
    """The form behind the DAG's *Trigger* button, as it comes."""
    page.goto(f"{settings.airflow_url}/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.get_by_text("Logical Date", exact=True).wait_for()
    return form


def sender(form: Locator) -> Locator:
    return form.get_by_role("button", name=re.compile("^Trigger"))


def pressed(
    page: Page, settings: Settings, api: AirflowUser, dag_ids: list[str]
) -> tuple[dict[str, Run], list[Task]]:
    """The runs that the button made, by DAG, and the tasks of all that came of them."""
    moment = datetime.now(UTC)
    for dag_id in dag_ids:
        form = open_form(page, settings, dag_id)
        sender(form).click()
        form.wait_for(state="detached")
    # The UI asks the server for news as long as it is open.
    page.goto("about:blank")
    runs = {run.dag_id: run for run in api.runs_since(moment) if run.run_id.startswith("manual__")}
    assert sorted(runs) == sorted(dag_ids)
    followed, tasks = follow(api, moment, {run.key for run in runs.values()}, lambda runs, tasks: None)
    ended = {run.key: run for run in followed}
    return {dag_id: ended[run.key] for dag_id, run in runs.items()}, tasks


def test_what_has_nothing_to_do_yet_says_why(
    page: Page, settings: Settings, api: AirflowUser, pytestconfig: pytest.Config
) -> None:
    names = list(ONE_OF_EACH)
    if pytestconfig.getoption("--thorough"):
        names = [name for name in SHIPPED if name not in (*INGESTS, ASKS)]
    try:
        runs, tasks = pressed(page, settings, api, names)
    finally:
        # The form starts a paused DAG.
        for name in NEEDS_A_YEAR:
            api.pause(name)
    for name, run in runs.items():
        assert run.state == "success", name
        own = [task for task in tasks if (task.dag_id, task.run_id) == run.key]
        assert own, name
        if any(task.state == "success" for task in own):
            continue
        (first, *_) = sorted(own, key=lambda task: task.ended or datetime.max.replace(tzinfo=UTC))
        said = " ".join(map(str, api.log(first)))
        assert re.search(NOTHING_YET, said), (name, said)


def test_a_form_that_needs_an_answer_asks_for_it(page: Page, settings: Settings) -> None:
    form = open_form(page, settings, ASKS)
    form.get_by_text("This field is required").wait_for()
    assert sender(form).is_disabled()


def test_the_form_of_connections_has_every_type_that_the_platform_takes(api: AirflowUser) -> None:
    offered = api.connection_types()
    assert offered["mariadb"] == "MariaDB"
    files = {"aws", "fs", "hdfs", "http", "sftp", "webhdfs"}
    engines = {"hadoop_local", "hadoop_yarn", "spark", "spark_connect"}
    assert files | engines | {"postgres", "smtp", "sqlite"} <= offered.keys()


def test_every_dataset_is_there_afterwards(page: Page, settings: Settings, api: AirflowUser) -> None:
    runs, tasks = pressed(page, settings, api, INGESTS)
    assert {name: run.state for name, run in runs.items()} == dict.fromkeys(INGESTS, "success")
    published = {task.dag_id for task in tasks if (task.task_id, task.state) == ("publish", "success")}
    assert published >= set(INGESTS)
    for name in INGESTS:
        table = TableRef(zone="silver", name=name.removeprefix("ingest_"))
        assert history.read(table, settings.lake_root).accounts[0].written > 0, name
    months = history.read(TableRef.parse("silver.flights"), settings.lake_root).latest_by_partition()
    assert {name: counts.read for name, (_, counts) in months.items()} == {MONTH: DECEMBER}
