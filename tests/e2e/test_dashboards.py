"""The dashboards as an analyst opens them: Airflow's login, the shipped notebooks, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from millstream.settings import Settings
from millstream_stack.credentials import Credentials
from tests.support.browser import chromium

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SHOWN_MS = 60_000


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
