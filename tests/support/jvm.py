"""The Java machines that tests start."""

from millstream.settings import Settings
from millstream_stack.install import native
from millstream_stack.services.lake_claim import scratch_path
from millstream_stack.services.spark_server import properties_path

# For one that lives some minutes the second compiler costs more than it saves (measured: 400 s to 239 s).
# Without it Java takes itself for a small client and keeps 48 MiB of compiled code; Spark has more, and what
# was thrown out is compiled again (measured: a sixth of the processor time).
# Left to itself it collects with G1, beside the work, which two cores have no room for (measured, together
# with test sessions that do not compile projections: 134 s of processor time became 105).
SHORT_LIVED = " ".join(
    (
        "-XX:-UsePerfData",
        "-XX:TieredStopAtLevel=1",
        "-XX:ReservedCodeCacheSize=256m",
        "-XX:MetaspaceSize=256m",
        "-XX:+UseSerialGC",
        "-Xmn400m",
        # Delta keeps what it has planned over each table, some megabytes, for an hour: tests have hundreds.
        "-Ddelta.log.cacheSize=50",
    )
)


def shorten(settings: Settings, *options: str) -> None:
    """Have a Spark server whose properties are written already live with these options, not the stack's.

    `options` are Java's, too.
    """
    given = " ".join(
        (
            SHORT_LIVED,
            "-XX:+ExitOnOutOfMemoryError",
            "-Duser.timezone=UTC",
            f"-Djava.io.tmpdir={scratch_path(settings.home)}",
            *native.java_options(settings.root / native.FOLDER),
            *options,
        )
    )
    with properties_path(settings).open("a") as more:
        # The last of several entries counts.
        more.write(f"spark.driver.extraJavaOptions {given}\n")
