"""`make new` on a table of MariaDB, by its connection: what it writes is what lands."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from rich.console import Console

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError
from millstream.settings import Settings
from millstream_airflow.connections import extractor_for
from millstream_stack.commands.new.dataset import new_dataset
from tests.contract.test_extract_from_mariadb import OF_TYPES, TYPES, VALUES
from tests.support.sql_runs import Try, run

pytestmark = pytest.mark.thorough
SCREEN = Console(quiet=True)


@pytest.fixture
def settings(tmp_path: Path, mariadb: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MILLSTREAM_ROOT", str(tmp_path))
    url = mariadb.url.set(drivername="mysql").render_as_string(hide_password=False)
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", url)
    return Settings()


def made(settings: Settings) -> Contract:
    new_dataset(settings, "planes", "shop:planes", SCREEN)
    return Contract.load_file(settings.root / "dags" / "datasets" / "planes.yaml")


def test_every_type_is_proposed_as_it_lands(
    settings: Settings, mariadb: sa.Engine, lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with mariadb.begin() as connection:
        connection.execute(sa.text("SET time_zone = '+05:00'"))
        connection.execute(sa.text(TYPES))
        connection.execute(sa.text(OF_TYPES.replace(":", r"\:")))
    contract = made(settings)
    assert contract.source.key == ("id",)
    assert {column.name: column.type for column in contract.columns} == {
        "id": "bigint", "price": "decimal(10,2)", "exact": "double", "seen": "timestamp",
        "changed": "timestamp", "flies": "boolean", "small": "int", "one": "boolean", "bits": "bigint",
        "built": "int", "at": "string", "day": "date", "engine": "string", "tags": "string", "doc": "json",
        "photo": "binary", "code": "binary", "hash": "binary", "note": "string", "short": "string",
        "speed": "double", "weight": "double", "uid": "string", "old": "string",
    }  # fmt: skip
    # The door that runs take, and nothing is a change of the source.
    attempt = Try(mariadb, lake, contract)
    attempt.extractor = extractor_for(contract)
    # 2^64 - 1 is beyond a bigint.
    assert attempt.landed() == [{**VALUES, "bits": None}]
    assert "at the source" not in caplog.text


def test_a_flag_with_other_numbers_is_a_number(settings: Settings, mariadb: sa.Engine) -> None:
    run(mariadb, "CREATE TABLE planes (id INT PRIMARY KEY, stars TINYINT(1))")
    run(mariadb, "INSERT INTO planes VALUES (1, 5), (2, 1)")
    assert [column.type for column in made(settings).columns] == ["int", "int"]


def test_a_table_that_is_not_there_and_one_without_a_key(settings: Settings, mariadb: sa.Engine) -> None:
    with pytest.raises(ConfigurationError, match="connection shop has no table planes; it has none"):
        made(settings)
    run(mariadb, "CREATE TABLE planes (id INT)")
    with pytest.raises(ConfigurationError, match="declares none: say them, KEY=id"):
        made(settings)


def test_a_login_that_is_refused_is_said_in_words(
    settings: Settings, mariadb: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = mariadb.url.set(drivername="mysql", password="wr0ng-s3cret").render_as_string(hide_password=False)
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", url)
    with pytest.raises(ConfigurationError, match=r"connection shop: .*Access denied for user") as refused:
        made(settings)
    assert "wr0ng-s3cret" not in str(refused.value)
