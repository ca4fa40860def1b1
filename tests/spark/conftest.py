"""One classic Spark session for all Spark tests, with Delta's pinned jars, and lakes with flights."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from millstream.settings import Settings
from millstream_stack.services.spark_server import spark_properties
from tests.support import jvm
from tests.support.chain import Chain, contract_of, month_zip, small_suite
from tests.support.flights_rows import AA1141, B6725, EV4308, POSITIVE_DISTANCE, UA1545


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    settings = Settings()
    jars = settings.home / "jars"
    assert list(jars.glob("*.jar")), f"no jars in {jars}: run stack/bootstrap.sh"
    scratch = tmp_path_factory.mktemp("spark")
    builder = SparkSession.builder.master("local[2]")
    # Queries are planned as the stack's own server plans them.
    for name, value in spark_properties(settings).items():
        if name.startswith(("spark.sql.", "spark.databricks.", "spark.delta.", "spark.hadoop.")):
            builder = builder.config(name, value)
    session = (
        builder.config("spark.driver.extraClassPath", f"{jars}/*")
        .config("spark.sql.shuffle.partitions", "2")
        # A quarter of the time was spent on the code of projections too wide to be compiled as a stage,
        # Delta's log above all, for a few rows each. Whole stages are compiled; tests over Connect compile
        # everything.
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.local.dir", str(scratch / "local"))
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "3g")
        .config("spark.driver.extraJavaOptions", jvm.SHORT_LIVED)
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    # It tells of connections that it closes when the process ends, and pytest has closed the log's stream by
    # then: Airflow's, which is the standard output of when Airflow was imported.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    yield session
    session.stop()


@pytest.fixture
def flights(spark: SparkSession, tmp_path: Path) -> Chain:
    chain = Chain(spark, tmp_path, contract_of("flights"), small_suite(POSITIVE_DISTANCE))
    chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141, B6725, EV4308))
    return chain


@pytest.fixture(scope="session")
def published_once(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    chain = Chain(
        spark, tmp_path_factory.mktemp("published"), contract_of("flights"), small_suite(POSITIVE_DISTANCE)
    )
    chain.put("flights/flights_2013-01.csv.zip", month_zip(UA1545, AA1141, B6725, EV4308))
    assert chain.run("r1", ["2013-01"])["changed"]
    return chain


@pytest.fixture
def published(published_once: Chain, spark: SparkSession, tmp_path: Path) -> Chain:
    """A lake of the test's own in which run r1 has published the January of `flights`."""
    return published_once.copied(spark, tmp_path)
