"""docs/thirty-lines.md: what it costs by hand, and that what comes of it is right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from millstream import jobs, models, transforms
from millstream.contracts.contract import Contract
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.landing.run import Landing
from millstream.marts import load_mart
from millstream.quality.suites import suite_in
from millstream.sources.sql import SqlExtractor
from tests.support.chain import Chain
from tests.support.marts import Marts
from tests.support.mlflow_server import tracking_server
from tests.support.postgres_server import PostgresServer
from tests.support.thirty_lines import PAGE, Follower, by_hand, orders

MODEL = "library"


def test_by_hand_it_costs_at_most_thirty_one_short_lines() -> None:
    lines = by_hand()
    assert 15 < len(lines) <= 31
    assert max(map(len, lines)) <= 120
    assert f"By hand: {len(lines)} lines." in PAGE.read_text()
    # No line says what another one says.
    assert len(set(lines)) == len(lines)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Follower, sa.Engine]]:
    """The page done, with a database that is up."""
    from tests.support import thirty_lines

    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    server.start()
    try:
        engine = sa.create_engine(server.url, poolclass=sa.NullPool)
        thirty_lines.fill(engine)
        url = server.url.set(drivername="postgresql").render_as_string(hide_password=False)
        follower = Follower(tmp_path_factory.mktemp("home") / "me", url)
        follower.follow()
        yield follower, engine
    finally:
        server.stop()


@pytest.fixture
def project(followed: tuple[Follower, sa.Engine], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project's folder, whose models and transforms are those of this process."""
    folder = followed[0].project
    monkeypatch.setenv("MILLSTREAM_PROJECT", str(folder))
    monkeypatch.setattr(models, "__path__", [str(folder / "models")])
    monkeypatch.setattr(transforms, "__path__", [str(folder / "transforms")])
    yield folder
    for module in (f"millstream.models.{MODEL}", f"millstream.transforms.{MODEL}_predictions"):
        sys.modules.pop(module, None)


def test_what_the_commands_write_is_as_much_as_the_page_says(followed: tuple[Follower, sa.Engine]) -> None:
    assert f"left as they are: {len(followed[0].written())} lines." in PAGE.read_text()


def contract_of(project: Path, dataset: str) -> Contract:
    return Contract.load_file(project / "dags" / "datasets" / f"{dataset}.yaml")


@pytest.mark.spark
def test_orders_from_a_file_and_from_the_database_are_exact_and_so_is_the_mart(
    spark: SparkSession, followed: tuple[Follower, sa.Engine], project: Path, tmp_path: Path
) -> None:
    follower, engine = followed
    chain = Chain(spark, tmp_path, contract_of(project, "orders"), suite_in(project, "orders"))
    chain.put("orders.tbl", (follower.data / "orders.tbl").read_bytes())
    result = chain.run("r1")
    expected = orders()
    assert (result["read"], result["written"]) == (len(expected), len(expected))
    named = ("orderkey", "customer", "status", "total", "day", "priority", "clerk", "ship", "comment")
    assert {tuple(row) for row in chain.rows().select(*named).collect()} == set(expected)

    shop = Chain(spark, tmp_path, contract_of(project, "shop_orders"), suite_in(project, "shop_orders"))
    landing = Landing(Storage(shop.root), "shop_orders", "s1")
    landing.begin()
    extractor = SqlExtractor(shop.contract, engine)
    landing.commit([], [file for piece in extractor.plan([]) for file in extractor.fetch(piece, landing)])
    staged = shop.stage("s1")
    shop.judge("s1", staged)
    assert shop.publish("s1", staged, [])["written"] == len(expected)
    assert {tuple(row) for row in shop.rows().select(*named).collect()} == set(expected)

    mart = load_mart(project, "orders_by_month")
    Marts(chain).run("m1", mart)
    months = {day.strftime("%Y-%m") for *_, day, _, _, _, _ in expected}
    totals = {
        month: sum(total for _, _, _, total, day, *_ in expected if day.strftime("%Y-%m") == month)
        for month in months
    }
    assert {row[0]: row[2] for row in Marts(chain).rows(mart)} == totals


@pytest.mark.spark
@pytest.mark.mlflow
@pytest.mark.thorough
def test_the_model_of_descriptions_is_trained_and_its_predictions_are_published(
    spark: SparkSession,
    followed: tuple[Follower, sa.Engine],
    project: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    chain = Chain(spark, tmp_path, contract_of(project, "packages"), suite_in(project, "packages"))
    chain.put("packages.jsonl", (followed[0].data / "packages.jsonl").read_bytes())
    packages = chain.run("r1")["written"]
    version = history.read(chain.table, chain.root).published_version
    common: dict[str, Any] = {
        "lake_root": chain.root,
        "run": "first",
        "model": MODEL,
        "input_version": version,
    }
    with tracking_server(tmp_path_factory.mktemp("mlflow")):
        fitted = jobs.execute(
            spark,
            "fit_candidate",
            {**common, "code_version": "test", "candidate": "logistic_regression"},
        )
        registered = jobs.execute(
            spark, "register_model", {**common, "code_version": "test", "candidates": [fitted]}
        )
        scored = jobs.execute(spark, "score_model", {**common, "model_version": registered["version"]})
    judged = {
        "lake_root": chain.root,
        "run": "first",
        "table": f"gold.{MODEL}_predictions",
        "staged_uri": scored["staged_uri"],
        "staged_version": scored["staged_version"],
        "suite": suite_in(project, f"{MODEL}_predictions"),
    }
    jobs.execute(spark, "quality_gate", judged)
    more = {"sequence": 1, "rows_read": scored["rows"], "load": "full", "code_version": "test"}
    published = jobs.execute(spark, "publish", {**judged, **more})
    assert (registered["alias"], published["written"]) == ("champion", packages)
    answers = spark.read.format("delta").load(f"{chain.root}/gold/{MODEL}_predictions")
    libraries = chain.rows().where("section = 'libs'").select("package", F.lit(True).alias("library"))
    told = answers.join(libraries, "package", "left").fillna({"library": False})
    right = told.where(F.col("predicted") == F.col("library")).count()
    assert right / packages > 0.9
