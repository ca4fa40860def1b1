"""The dashboards as an analyst opens them: Airflow's login, the shipped notebooks, nothing from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from millstream.settings import Settings
from millstream_stack.credentials import Credentials
from millstream_stack.supervision.health import http_answers
from tests.support.browser import chromium
from tests.support.loopback import free_port
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SHOWN_MS = 60_000
STARTED_S = 60.0
WRONG = """\
import marimo

app = marimo.App()

@app.cell
def _():
    {"EWR": 1}["JFK"]
    return
"""


@pytest.fixture(scope="module")
def browser(month: str) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def asked() -> list[str]:
    """The addresses that a page has asked for."""
    return []


@pytest.fixture
def page(browser: Browser, asked: list[str]) -> Iterator[Page]:
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    yield page
    page.close()


def log_in(page: Page, user: str, password: str) -> None:
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_who_may_log_in_to_airflow_sees_the_flights(
    page: Page, asked: list[str], settings: Settings, credentials: Credentials
) -> None:
    page.goto(f"{settings.dashboards_url}/d/flights/")
    expect(page.get_by_role("heading", name="Dashboards")).to_be_visible()
    log_in(page, credentials.airflow_user, "not the password")
    expect(page.get_by_text("Airflow does not know this user with this password.")).to_be_visible()
    log_in(page, credentials.airflow_user, credentials.airflow_password)

    # Back at what was asked for.
    expect(page.get_by_role("heading", name="When flights leave late")).to_be_visible(timeout=SHOWN_MS)
    expect(page.get_by_role("heading", name="Airlines and weather")).to_be_visible(timeout=SHOWN_MS)
    # Drawn, not only announced.
    expect(page.locator("canvas, svg.marks").first).to_be_visible(timeout=SHOWN_MS)
    assert page.get_by_text("An internal error occurred").count() == 0
    page.goto(f"{settings.dashboards_url}/")
    expect(page.get_by_role("link", name="flights")).to_be_visible()
    page.get_by_role("link", name="live").click()
    expect(page.get_by_text("gold.airport_delays is not there yet")).to_be_visible(timeout=SHOWN_MS)
    elsewhere = [url for url in asked if not url.startswith((settings.dashboards_url, "data:", "blob:"))]
    assert elsewhere == []


@contextmanager
def serving(notebooks: dict[str, str], airflow: str, project: Path) -> Iterator[str]:
    """The service for a project of its own, that asks the stack's Airflow for logins; yields its address."""
    (project / "dashboards").mkdir()
    for name, text in notebooks.items():
        (project / "dashboards" / f"{name}.py").write_text(text)
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "millstream_stack.dashboards.server", "--host", "127.0.0.1"),
            *("--port", str(port), "--airflow", airflow),
        ],
        env=os.environ | {"MILLSTREAM_PROJECT": str(project), "MILLSTREAM_HOME": str(project / "home")},
    )
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: http_answers(f"{url}/health").healthy, STARTED_S, "the dashboards to start")
        yield url
    finally:
        process.kill()
        process.wait()


def test_a_notebook_that_fails_says_why_and_where(
    page: Page, settings: Settings, credentials: Credentials, tmp_path: Path
) -> None:
    with serving({"wrong": WRONG}, settings.airflow_url, tmp_path) as url:
        page.goto(f"{url}/d/wrong/")
        log_in(page, credentials.airflow_user, credentials.airflow_password)
        expect(page.get_by_text("KeyError").first).to_be_visible(timeout=SHOWN_MS)
        expect(page.get_by_text('{"EWR": 1}["JFK"]').first).to_be_visible()
        page.close()
