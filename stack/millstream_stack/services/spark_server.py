"""The Spark Connect server of the embedded stack."""

from __future__ import annotations

from pathlib import Path

from millstream.lake.log_store import LOG_STORE, LOG_STORE_CONF
from millstream.settings import Settings
from millstream_stack.install import native
from millstream_stack.services.lake_claim import scratch_path

SERVER_CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"


def spark_properties(settings: Settings) -> dict[str, str]:
    """Spark's configuration. No secret belongs here: Connect hands its whole configuration to any client."""
    home = settings.home
    return {
        "spark.app.name": "millstream",
        "spark.master": f"local[{settings.spark_cores}]",
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.driver.extraClassPath": f"{settings.root}/.millstream/jars/*",
        "spark.driver.extraJavaOptions": " ".join(
            (
                "-XX:-UsePerfData",
                # Measured on two cores with the defaults: a fifth of the server's time went into collecting
                # garbage, much of it concurrent marking set off by the metaspace growing from 21 MB.
                "-XX:+UseParallelGC",
                "-XX:MetaspaceSize=256m",
                # A demo's year is some ten minutes of work, and a third of the processor went into the second
                # compiler, for code that runs once. With higher thresholds the hand-written script of the
                # benchmark took 228 s, not 268; without it at all 473, because MLlib's loops need it. One run
                # each; the gain of the whole chain is within the machine's noise.
                "-XX:Tier4InvocationThreshold=30000",
                "-XX:Tier4MinInvocationThreshold=6000",
                "-XX:Tier4CompileThreshold=60000",
                # Out of memory it would go on without the threads that died; dead it is started again.
                "-XX:+ExitOnOutOfMemoryError",
                f"-Djava.io.tmpdir={scratch_path(home)}",
                *native.java_options(settings.root / native.FOLDER),
                f"-Dderby.system.home={home}/spark",
                "-Duser.timezone=UTC",
            )
        ),
        "spark.driver.host": settings.host,
        "spark.driver.bindAddress": settings.host,
        "spark.local.dir": str(scratch_path(home)),
        "spark.connect.grpc.binding.address": settings.host,
        "spark.connect.grpc.binding.port": str(settings.connect_port),
        "spark.ui.port": str(settings.spark_ui_port),
        # The UI asks for no login, and any page open in a browser of this machine can send it a request.
        "spark.ui.killEnabled": "false",
        # Here the executor is in the server's own process and cannot be lost. After the machine has slept, or
        # its clock was set ahead, Spark would count it as silent for too long, could not take it back, and
        # would end after ten minutes.
        "spark.storage.blockManagerHeartbeatTimeoutMs": "365d",
        # A taken port is an error to be seen, not a reason to serve the UI somewhere else.
        "spark.port.maxRetries": "0",
        "spark.ui.showConsoleProgress": "false",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file://{home}/spark-events",
        "spark.eventLog.rolling.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": f"file://{home}/spark/warehouse",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # Sized for a small machine: the defaults of 200 and 50 are task launches, not work, on small tables.
        "spark.sql.shuffle.partitions": str(settings.spark_cores),
        "spark.databricks.delta.snapshotPartitions": "2",
        # Plans anew after each stage, to the benefit of stages with many tasks; here they have two or three.
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # Submitted jobs write the lake beside this server.
        LOG_STORE_CONF: LOG_STORE,
        # An error says what is wrong; the server's own log has the stack of its Java machine.
        "spark.sql.connect.serverStacktrace.enabled": "false",
        # Corrupt files are an error, never skipped.
        "spark.sql.files.ignoreCorruptFiles": "false",
        "spark.sql.files.ignoreMissingFiles": "false",
    }


def properties_path(settings: Settings) -> Path:
    return settings.home / "spark" / "connect-server.conf"


def write_spark_properties(settings: Settings) -> None:
    lines = [f"{name} {value}\n" for name, value in sorted(spark_properties(settings).items())]
    properties_path(settings).write_text("".join(lines))


def spark_connect_command(settings: Settings) -> tuple[str, ...]:
    """The server, which claims its lake first and holds it until it ends (`lake_claim`)."""
    return (
        *(str(settings.root / ".venv" / "bin" / "python"), "-m", "millstream_stack.services.lake_claim"),
        *(settings.lake_root, str(settings.home)),
        str(settings.root / ".venv" / "bin" / "spark-submit"),
        *("--properties-file", str(properties_path(settings))),
        *("--class", SERVER_CLASS, "spark-internal"),
    )
