"""Takes the README's pictures from the running stack: `stack/run python docs/screenshots.py`.

Needs a finished `make demo`, Playwright (`stack/bootstrap.sh dev`) and a Chromium or Chrome on the PATH. Logs
in as a person would, with the stack's own login; writes PNG files of at most 60 KB into docs/images, and
shows them in the README.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from millstream.errors import ConfigurationError, MillstreamError
from millstream.settings import Settings
from millstream_stack.clients.airflow_api import AirflowApi
from millstream_stack.credentials import Credentials, load_or_create
from millstream_stack.supervision.lifecycle import running_settings

IMAGES = Path(__file__).parent / "images"
README = Path(__file__).parents[1] / "README.md"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
VIEWPORT = ViewportSize(width=1440, height=900)
LONGEST_BYTES = 60_000
TIMEOUT_MS = 60_000
MARK = "<!-- pictures -->"
PICTURES = f"""\
{MARK}
| | |
|---|---|
| ![The graph of a run in Airflow](docs/images/airflow-graph.png) | \
![A model in MLflow](docs/images/mlflow-registry.png) |
| One ingest run in Airflow | A model's versions in MLflow's registry |
| ![A validation in Data Docs](docs/images/data-docs.png) | \
![A dashboard of flights](docs/images/dashboard.png) |
| The result of the quality gate, in Data Docs | A dashboard over the lake's tables |
"""
DAG, TABLE, MODEL = "ingest_flights", "silver.flights", "arrival_delay"


def main() -> int:
    settings = running_settings(Settings())
    login = load_or_create(settings)
    with sync_playwright() as playwright:
        # Chromium's sandbox needs a user other than root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=executable(), args=arguments)
        try:
            airflow = logged_in(browser, settings, login)
            save(graph(airflow, settings, login), "airflow-graph.png")
            save(data_docs(airflow, settings), "data-docs.png")
            save(registry(browser, settings, login), "mlflow-registry.png")
            save(dashboard(browser, settings, login), "dashboard.png")
        finally:
            browser.close()
    show(README)
    return 0


def executable() -> str:
    """The system's browser. Raises ConfigurationError when there is none."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise ConfigurationError(f"none of {', '.join(BROWSERS)} is on the PATH: install Chromium")


def logged_in(browser: Browser, settings: Settings, login: Credentials) -> Page:
    """A page of Airflow's UI behind its login form, with the graph as the view of a DAG."""
    page = browser.new_context(viewport=VIEWPORT).new_page()
    page.set_default_timeout(TIMEOUT_MS)
    # The UI keeps its choice of view there, as JSON.
    page.add_init_script("localStorage.setItem('default_dag_view', '\"graph\"')")
    page.goto(settings.airflow_url)
    page.locator("input[name=username]").fill(login.airflow_user)
    page.locator("input[name=password]").fill(login.airflow_password)
    page.locator("input[type=submit]").click()
    page.get_by_role("link", name="Dags").first.wait_for()
    return page


def graph(page: Page, settings: Settings, login: Credentials) -> bytes:
    """The graph of the newest successful run of `DAG`."""
    with AirflowApi(settings.airflow_url, login.airflow_user, login.airflow_password) as api:
        runs = api.runs_since(datetime(2000, 1, 1, tzinfo=UTC))
    finished = [run for run in runs if run.dag_id == DAG and run.state == "success"]
    if not finished:
        raise ConfigurationError(f"{DAG} has no successful run: run `make demo` first")
    page.goto(f"{settings.airflow_url}/dags/{DAG}/runs/{finished[-1].run_id}")
    page.locator(".react-flow__node", has_text="publish").first.wait_for()
    return settled(page)


def data_docs(page: Page, settings: Settings) -> bytes:
    """The newest page of Data Docs of `TABLE`, as Airflow serves it behind its login."""
    pages = sorted(
        (settings.home / "lake" / "data_docs" / TABLE).glob("*.html"), key=lambda path: path.stat().st_mtime
    )
    if not pages:
        raise ConfigurationError(f"{TABLE} has never been judged: run `make demo` first")
    answer = page.goto(f"{settings.airflow_url}/millstream/data-docs/{TABLE}/{pages[-1].name}")
    if answer is None or not answer.ok:
        raise ConfigurationError(f"Airflow does not serve {pages[-1].name} (HTTP {answer and answer.status})")
    page.get_by_text(TABLE).first.wait_for()
    return settled(page)


def registry(browser: Browser, settings: Settings, login: Credentials) -> bytes:
    """The versions of the registered model, with their aliases."""
    context = browser.new_context(
        viewport=VIEWPORT,
        http_credentials={"username": login.mlflow_user, "password": login.mlflow_password},
    )
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{settings.mlflow_url}/#/models/{MODEL}")
    page.get_by_text("champion").first.wait_for()
    # The version's own page has room for its description: why it is champion.
    page.get_by_role("link", name="Version").first.click()
    page.get_by_text("Champion:").first.wait_for()
    assistant = page.get_by_label("Close", exact=False)
    if assistant.count():
        assistant.first.click()
    return settled(page)


def dashboard(browser: Browser, settings: Settings, login: Credentials) -> bytes:
    """The dashboard of flights."""
    page = browser.new_context(viewport=VIEWPORT).new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{settings.dashboards_url}/d/flights/")
    page.get_by_label("User").fill(login.airflow_user)
    page.get_by_label("Password").fill(login.airflow_password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Airlines and weather").wait_for()
    page.locator("canvas, svg.marks").first.wait_for()
    return settled(page)


def settled(page: Page) -> bytes:
    """The page's picture, once two in a row are equal."""
    before = b""
    for _ in range(40):
        page.wait_for_timeout(500)
        picture = page.screenshot()
        if picture == before:
            return picture
        before = picture
    # Something on the page keeps moving; the last picture is as good as any.
    return before


def save(picture: bytes, name: str) -> None:
    """Write the picture with as many colours as fit into `LONGEST_BYTES`."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for colours in (64, 32, 16):
        packed = io.BytesIO()
        # Dithering would cost bytes and blur the text.
        image.quantize(colours, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        if packed.tell() <= LONGEST_BYTES:
            break
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / name).write_bytes(packed.getvalue())
    print(f"{name}: {packed.tell() // 1000} KB, {colours} colours")


def show(readme: Path) -> None:
    """Put the pictures where the README has a mark for them, once."""
    text = readme.read_text(encoding="utf-8")
    if PICTURES not in text:
        readme.write_text(text.replace(f"{MARK}\n", PICTURES), encoding="utf-8")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MillstreamError as error:
        sys.exit(f"error: {error}")
