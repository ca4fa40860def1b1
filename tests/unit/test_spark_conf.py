"""Spark's settings are read from conf/spark, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.engines.conf import pyspark_folder, spark_conf
from millstream.lake.log_store import LOG_STORE, LOG_STORE_CONF
from millstream.settings import CHECKOUT


@pytest.mark.parametrize("profile", ["common", "embedded", "submitted", "yarn"])
def test_every_session_writes_the_lake_through_our_log_store(profile: str) -> None:
    assert spark_conf(profile)[LOG_STORE_CONF] == LOG_STORE


def test_a_profile_goes_over_what_is_common_and_comments_are_no_settings() -> None:
    assert spark_conf("submitted")["spark.ui.enabled"] == "false"
    assert all(name.startswith("spark.") and value for name, value in spark_conf("embedded").items())
    files = {path.stem for path in (CHECKOUT / "conf" / "spark").glob("*.conf")}
    assert files == {"common", "connect", "embedded", "submitted", "yarn", "yarn_cluster"}


def test_jars_are_those_of_each_node() -> None:
    jars = spark_conf("yarn", jars=Path("/opt/jars"))["spark.yarn.jars"]
    assert jars == f"local:{pyspark_folder()}/jars/*,local:/opt/jars/*"
    assert (pyspark_folder() / "jars").is_dir()
