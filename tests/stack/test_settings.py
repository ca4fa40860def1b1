"""Settings: where they come from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from millstream.settings import CHECKOUT, Settings
from millstream_stack.environment import base_environment


def test_everything_stays_in_the_checkout_and_on_loopback_by_default() -> None:
    settings = Settings(_env_file=None)

    assert settings.root == CHECKOUT
    assert settings.home == CHECKOUT / ".millstream"
    assert settings.lake_root == f"file://{CHECKOUT}/.millstream/lake"
    assert settings.host == "127.0.0.1"


def test_the_environment_wins_over_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("MILLSTREAM_AIRFLOW_PORT=8181\nMILLSTREAM_MLFLOW_PORT=5151\nOTHER_TOOL=1\n")
    monkeypatch.setenv("MILLSTREAM_AIRFLOW_PORT", "8282")

    settings = Settings(_env_file=env_file)

    assert settings.airflow_url == "http://127.0.0.1:8282"
    assert settings.mlflow_url == "http://127.0.0.1:5151"


def test_a_relative_home_is_below_the_root(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path, home=Path("data"))

    assert settings.home == tmp_path / "data"
    assert settings.lake_root == f"file://{tmp_path}/data/lake"


def test_one_port_for_two_services_is_refused_with_both_variables() -> None:
    with pytest.raises(
        ValidationError, match="MILLSTREAM_MLFLOW_PORT and MILLSTREAM_AIRFLOW_PORT are both 5000"
    ):
        Settings(airflow_port=5000, mlflow_port=5000)


@pytest.mark.parametrize("root", ["/data/lake", "s3://bucket/lake", "hdfs:/lake", "hdfs://", "file:///"])
def test_a_lake_root_that_cannot_be_reached_is_refused(root: str) -> None:
    with pytest.raises(
        ValidationError, match=rf"MILLSTREAM_LAKE_ROOT is '{root}': expected .* hdfs://namenode:8020/lake"
    ):
        Settings(lake_root=root)


def test_hadoops_configuration_is_for_a_lake_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a lake on this machine, paths without a scheme would lie on the cluster."""
    conf = str(CHECKOUT / "conf" / "hadoop")
    monkeypatch.setenv("HADOOP_CONF_DIR", conf)
    elsewhere = Settings(lake_root="hdfs://host:8020/lake")
    assert elsewhere.hadoop_conf_dir == base_environment(elsewhere)["HADOOP_CONF_DIR"] == conf
    assert "HADOOP_CONF_DIR" not in base_environment(Settings())
    monkeypatch.setenv("HADOOP_CONF_DIR", f"{tmp_path}/none")
    assert Settings().hadoop_conf_dir == ""
    with pytest.raises(ValidationError, match=rf"HADOOP_CONF_DIR is '{tmp_path}/none', and no core-site.xml"):
        Settings(lake_root="hdfs:///lake")


@pytest.mark.parametrize(("field", "value"), [("airflow_port", 0), ("mlflow_port", 65536), ("task_slots", 0)])
def test_values_out_of_range_are_refused(field: str, value: int) -> None:
    with pytest.raises(ValidationError, match=field):
        Settings(**{field: value})
