"""A stream of the embedded stack: a Spark driver of its own, beside the Connect server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from millstream.engines.conf import spark_conf
from millstream.settings import Settings
from millstream.streams import alert_snapshot, desired, snapshot
from millstream.streams.alert_snapshot import AlertSnapshot
from millstream.streams.snapshot import Snapshot
from millstream_stack.install import native
from millstream_stack.supervision.health import Health

# The exit status of a stream that a new start does not mend (spark_jobs/run_stream.py).
STOPPED = 3
# It looks at its topic every few seconds; a micro-batch may take longer.
SILENT_S = 60.0
# In real-time mode each partition of the topic holds a slot all the time; they wait for records mostly.
ALERTS_OPTIONS = "--master local[8] --driver-memory 512m"


def properties_path(settings: Settings) -> Path:
    return settings.home / "spark" / "stream.conf"


def write_stream_properties(settings: Settings) -> None:
    """Spark's configuration of a stream: `conf/spark/submitted.conf`, and what depends on this machine."""
    home = settings.home
    properties = {
        **spark_conf("submitted"),
        "spark.master": f"local[{settings.spark_cores}]",
        "spark.driver.memory": "1g",
        "spark.driver.extraClassPath": f"{settings.root}/.millstream/jars/*",
        "spark.driver.extraJavaOptions": " ".join(
            (
                *("-XX:-UsePerfData", "-XX:+UseSerialGC", "-XX:MetaspaceSize=192m"),
                *("-XX:+ExitOnOutOfMemoryError", f"-Djava.io.tmpdir={home / 'tmp'}"),
                *native.java_options(settings.root / native.FOLDER),
                "-Duser.timezone=UTC",
            )
        ),
        "spark.sql.warehouse.dir": f"file://{home}/spark/warehouse",
    }
    lines = [f"{name} {value}\n" for name, value in sorted(properties.items())]
    properties_path(settings).write_text("".join(lines))


def stream_command(settings: Settings, dataset: str) -> tuple[str, ...]:
    """Python is the parent of Java here, so that it can let a micro-batch end when it is told to."""
    script = settings.root / "spark_jobs" / "run_stream.py"
    return (
        *(str(settings.root / ".venv" / "bin" / "python"), str(script)),
        str(settings.project / "dags" / "streams" / f"{dataset}.yaml"),
        *("--lake-root", settings.lake_root, "--servers", settings.kafka_servers),
        *("--home", str(settings.home)),
    )


def alerts_command(settings: Settings, dataset: str) -> tuple[str, ...]:
    checkpoint = settings.home / "streams" / f"{dataset}.alerts"
    return (*stream_command(settings, dataset), "--alerts", str(checkpoint))


def stream_environment(settings: Settings, options: str = "") -> dict[str, str]:
    """What a stream needs besides `stack_environment`; the `options` of spark-submit go before its file's."""
    arguments = f"{options} --properties-file {properties_path(settings)} pyspark-shell"
    return {"PYSPARK_SUBMIT_ARGS": arguments.strip()}


def alerts_run(settings: Settings, dataset: str) -> Health:
    """By what they say of themselves."""
    found = alert_snapshot.read(settings.lake_root, dataset)
    if found is None:
        return Health(False, "have not begun yet")
    return _shown(found, "running")


def stream_runs(settings: Settings, dataset: str) -> Health:
    """By what the stream says of itself."""
    found = snapshot.read(settings.lake_root, dataset)
    if found is None:
        return Health(False, "has not begun yet")
    wish = desired.read(settings.lake_root, dataset)
    if wish == "park":
        return replace(_shown(found, "running"), parked=_shown(found, "parked").healthy)
    return _shown(found, "running" if wish == "run" else "drained")


def _shown(found: Snapshot | AlertSnapshot, wanted: str) -> Health:
    age = (datetime.now(UTC) - found.at).total_seconds()
    if found.state == wanted and age <= SILENT_S:
        return Health(True)
    return Health(False, f"{found.state}, {age:.0f} s ago{f': {found.reason}' if found.reason else ''}")
