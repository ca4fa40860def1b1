"""The Spark Connect server of the embedded stack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from millstream.engines.conf import hadoop_user, spark_conf
from millstream.settings import Settings
from millstream_stack.install import native
from millstream_stack.services.lake_claim import scratch_path

SERVER_CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"


def spark_properties(settings: Settings) -> dict[str, str]:
    """Spark's configuration: that of the profile in `conf/spark`, and what depends on this machine."""
    home = settings.home
    return {
        **spark_conf("connect", settings.spark_profile, jars=settings.root / ".millstream" / "jars"),
        **EXECUTORS[settings.spark_profile](settings),
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
        "spark.eventLog.dir": settings.event_log_root,
        "spark.sql.warehouse.dir": f"file://{home}/spark/warehouse",
    }


def _in_the_server(settings: Settings) -> dict[str, str]:
    return {
        "spark.master": f"local[{settings.spark_cores}]",
        # The default of 200 is task launches, not work, on small tables.
        "spark.sql.shuffle.partitions": str(settings.spark_cores),
    }


def _on_yarn(_: Settings) -> dict[str, str]:
    # The Python of executors asks HDFS itself, and YARN may run it as another user.
    return {"spark.master": "yarn", "spark.executorEnv.HADOOP_USER_NAME": hadoop_user()}


EXECUTORS: dict[str, Callable[[Settings], dict[str, str]]] = {"embedded": _in_the_server, "yarn": _on_yarn}


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
