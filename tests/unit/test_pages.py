"""Our pages in Airflow's server: who may see them, and that nothing else can be fetched through them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from millstream.lake.storage import local_uri
from millstream_airflow import pages

PAGE = "<h1>silver.flights</h1>"
ENTRY = {
    "table": "silver.flights",
    "run": "r1",
    "evaluated": 4,
    "quarantined_rows": 0,
    "passed": True,
    "docs_page": "silver.flights/r1-v0.html",
    "page": "silver.flights/r1-v0.html",
    "warnings": 0,
    "alerts": 0,
    "time": "2013-02-01 00:00:00",
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Airflow's own auth manager on a database of its own; real tokens."""
    from airflow import settings
    from airflow.api_fastapi import app as airflow_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models.revoked_token import RevokedToken

    home = tmp_path_factory.mktemp("airflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{home}/airflow.db")
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "a secret of these tests " * 3)
        patch.setenv(
            "AIRFLOW__CORE__AUTH_MANAGER",
            "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        )
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "ana:viewer")
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", f"{home}/passwords.json")
        settings.configure_vars()
        settings.configure_orm()
        RevokedToken.__table__.create(settings.engine)
        manager = airflow_app.create_auth_manager()
        yield {
            "viewer": manager.generate_jwt(SimpleAuthManagerUser(username="ana", role="viewer")),
            "nobody": manager.generate_jwt(SimpleAuthManagerUser(username="bob", role=None)),
        }
    settings.configure_vars()
    settings.configure_orm()


@pytest.fixture
def docs_root(tmp_path: Path) -> Path:
    root = tmp_path / "data_docs"
    (root / "silver.flights").mkdir(parents=True)
    (root / "silver.flights" / "r1-v0.html").write_text(PAGE)
    (root / "silver.flights" / "r1-v0.json").write_text(json.dumps(ENTRY))
    (tmp_path / "secret.html").write_text("not for you")
    (root / "link.html").symlink_to(tmp_path / "secret.html")
    return root


@pytest.fixture
def client(docs_root: Path) -> TestClient:
    server = FastAPI()
    server.mount(pages.PREFIX, pages.build(local_uri(docs_root.parent)))
    return TestClient(server, follow_redirects=False)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.usefixtures("tokens")
@pytest.mark.parametrize("page", ["data-docs/silver.flights/r1-v0.html", "streams/"])
def test_without_a_login_nothing_is_shown(client: TestClient, page: str) -> None:
    answer = client.get(f"/millstream/{page}")
    assert answer.status_code == 401
    assert "flights" not in answer.text
    assert "streams-up" not in answer.text


def test_a_viewer_sees_the_streams(client: TestClient, tokens: dict[str, str]) -> None:
    answer = client.get("/millstream/streams/", headers=bearer(tokens["viewer"]))
    assert "No stream has begun" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.usefixtures("tokens")
def test_a_browser_without_a_login_is_told_where_to_log_in(client: TestClient) -> None:
    path = "/millstream/data-docs/silver.flights/r1-v0.html"
    answer = client.get(path, headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 401
    assert f'href="/api/v2/auth/login?next={path}"' in answer.text
    # Also to the index of one table.
    answer = client.get(
        "/millstream/data-docs/index.html?table=silver.flights", headers={"Accept": "text/html"}
    )
    assert "?next=/millstream/data-docs/index.html%3Ftable%3Dsilver.flights" in answer.text


def test_a_viewer_sees_the_page_by_token_and_by_cookie(client: TestClient, tokens: dict[str, str]) -> None:
    path = "/millstream/data-docs/silver.flights/r1-v0.html"
    assert client.get(path, headers=bearer(tokens["viewer"])).text == PAGE
    client.cookies.set("_token", tokens["viewer"])
    answer = client.get(path)
    assert answer.text == PAGE
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for listing in ("", "index.html"):
        assert 'href="silver.flights/r1-v0.html"' in client.get(f"/millstream/data-docs/{listing}").text
    other = client.get("/millstream/data-docs/index.html?table=silver.planes").text
    assert 'href="silver.flights/r1-v0.html"' not in other


def test_while_the_storage_fails_the_pages_say_so(
    client: TestClient, tokens: dict[str, str], docs_root: Path
) -> None:
    shutil.rmtree(docs_root / "silver.flights")
    (docs_root / "silver.flights").mkdir()
    (docs_root / "silver.flights" / "r1-v0.html").mkdir()
    answer = client.get("/millstream/data-docs/silver.flights/r1-v0.html", headers=bearer(tokens["viewer"]))
    assert answer.status_code == 503
    assert "the lake's storage failed at data_docs/silver.flights/r1-v0.html" in answer.text


def test_a_user_without_a_role_and_a_forged_token_are_refused(
    client: TestClient, tokens: dict[str, str]
) -> None:
    path = "/millstream/data-docs/index.html"
    assert client.get(path, headers=bearer(tokens["nobody"])).status_code == 403
    head, body, signature = tokens["viewer"].split(".")
    forged = ".".join([head, body, signature[::-1]])
    assert client.get(path, headers=bearer(forged)).status_code in (401, 403)


@pytest.mark.parametrize(
    "path",
    [
        "../secret.html",
        "..%2fsecret.html",
        "%2e%2e/secret.html",
        "silver.flights/..%2f..%2f..%2fsecret.html",
        "%2fetc%2fpasswd",
        "link.html",
        "silver.flights/r1-v0.json",
        "silver.flights",
        "no%00thing.html",
        "a" * 5000 + ".html",
        ".index.lock",
    ],
)
def test_only_pages_below_the_folder_are_served(
    client: TestClient, tokens: dict[str, str], path: str
) -> None:
    answer = client.get(f"/millstream/data-docs/{path}", headers=bearer(tokens["viewer"]))
    assert answer.status_code == 404
    assert "not for you" not in answer.text


@pytest.mark.usefixtures("tokens")
def test_what_is_not_there_is_not_told_without_a_login(client: TestClient) -> None:
    assert client.get("/millstream/data-docs/none.html").status_code == 401
    assert client.get("/millstream/docs").status_code == 404
    assert client.get("/millstream/openapi.json").status_code == 404
