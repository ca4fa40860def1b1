"""The command lines of spark-submit, against golden files; and that the entry script takes them.

After a wanted change: `stack/run pytest tests/dags --update-golden`, then read the difference.
"""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from millstream.engines.conf import pyspark_folder
from millstream.settings import CHECKOUT
from millstream_airflow.engines import Attempt, engine_for
from millstream_airflow.engines import spark as engine

GOLDEN = Path(__file__).with_name("golden_commands")
ATTEMPT = Attempt("ingest_flights", "manual__1", "transform", -1, 2)
RESOURCE_MANAGER = {"yarn_resourcemanager_webapp_address": "http://rm:8088"}
CONNECTIONS: dict[str, dict[str, Any]] = {
    "local": {"host": "local[2]", "extra": {"deploy-mode": "client"}},
    "yarn_cluster": {
        "host": "yarn",
        "extra": {"deploy-mode": "cluster", "queue": "etl", **RESOURCE_MANAGER},
    },
}


class NotStartedError(Exception):
    pass


def command(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What the engine would start for one job, with a login that the job needs."""
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
    monkeypatch.setenv("HADOOP_USER_NAME", "airflow")
    monkeypatch.setenv("AIRFLOW_CONN_SUBMIT", json.dumps({"conn_type": "spark", **CONNECTIONS[name]}))
    monkeypatch.setattr(engine.ResourceManager, "require_up", lambda self: None)
    monkeypatch.setattr(engine.ResourceManager, "tagged", lambda self, tag: [])
    started: list[list[str]] = []

    def submit(self: Any, script: str) -> None:
        started.append(self._build_spark_submit_command(script))
        raise NotStartedError

    monkeypatch.setattr(engine.SparkSubmitHook, "submit", submit)
    with pytest.raises(engine.ClusterError):
        engine_for("submit").run("transform", {"run": "r1"}, ATTEMPT, {"MLFLOW_TRACKING_PASSWORD": "canary"})
    return started[0]


def shown(words: list[str], tmp_path: Path) -> str:
    """A setting or an option a line, with this machine's folders by name; jars as one."""
    text = "\n".join(words).replace("\n--conf\n", "\n--conf ") + "\n"
    text = re.sub(r"(?m)^(--conf spark\.jars=).*$", r"\1<jars>", text)
    text = re.sub(r"code-[0-9a-f]{16}", "code-<digest>", text)
    folders = {str(tmp_path): "<lake>", str(pyspark_folder()): "<pyspark>", str(CHECKOUT): "<checkout>"}
    for folder, name in folders.items():
        text = text.replace(folder, name)
    return text


@pytest.mark.parametrize("name", sorted(CONNECTIONS))
def test_a_command_line_is_as_its_golden_file_says_and_the_script_takes_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    words = command(name, monkeypatch, tmp_path)
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(shown(words, tmp_path))
    assert shown(words, tmp_path) == path.read_text()
    assert "canary" not in " ".join(words)

    script = words.index(str(CHECKOUT / "spark_jobs" / "run_job.py"))
    options = runpy.run_path(words[script])["arg_parser"]().parse_args(words[script + 1 :])
    assert options.submission.startswith("submissions/ingest_flights.manual__1.transform.-1.")
    # What failed leaves no login behind.
    assert not list((tmp_path / "lake").rglob("*.json"))


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(CONNECTIONS)
