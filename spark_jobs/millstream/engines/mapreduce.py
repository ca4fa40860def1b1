"""Hadoop MapReduce jobs with Python mappers and reducers, by Hadoop streaming's local runner.

The runner is one JVM on this machine, without servers, with the Hadoop that pyspark brings. A job's script is
run by the Python of the caller, isolated: it sees neither the library nor the caller's environment.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from millstream.engines.conf import pyspark_folder
from millstream.errors import ClusterError, ConfigurationError, TransformError
from millstream.settings import CHECKOUT, UNSAFE

log = logging.getLogger(__name__)

STREAMING = "org.apache.hadoop.streaming.HadoopStreaming"
# A JVM that lives for seconds: no file of measurements in /tmp, no second compiler, one collector.
JAVA_OPTIONS = (
    "-XX:-UsePerfData",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xmx512m",
    f"-Dlog4j2.configurationFile={CHECKOUT / 'conf' / 'mapreduce' / 'log4j2.properties'}",
)
# Secrets may be in the rest: Airflow's connections are. By the last one `make down` knows what a killed task
# has left running.
ENVIRONMENT = ("JAVA_HOME", "LANG", "LC_ALL", "PATH", "TZ", "MILLSTREAM_STACK_HOME")
LAST_LINES = 20

_EXIT_STATUS = re.compile(r"subprocess failed with code (\d+)")
_COUNTER = re.compile(r"\t\t(?P<name>[^=]+)=(?P<value>-?\d+)")
_GROUP = re.compile(r"\t(?P<group>\S.*)")


@dataclass(frozen=True)
class StreamingJob:
    """A script that is mapper, combiner or reducer by its only argument.

    `key_fields` are the first columns of what its mapper writes: Hadoop sorts and groups by them. `reducers`
    is how many it needs, where that is not for the cluster's configuration to say.
    """

    script: Path
    key_fields: int
    reducers: int | None = None

    @property
    def name(self) -> str:
        return self.script.stem


SCRIPTS = CHECKOUT / "spark_jobs" / "mapreduce"
ROUTE_DELAY_STATISTICS = StreamingJob(SCRIPTS / "route_delay_statistics.py", 5)
# Its keys are events, and it adds up groups of them.
AIRPORT_DELAYS = StreamingJob(SCRIPTS / "airport_delays.py", 1, reducers=1)
JOBS = {job.name: job for job in (ROUTE_DELAY_STATISTICS, AIRPORT_DELAYS)}

# By group and name.
Counters = dict[str, dict[str, int]]


def streaming_job(name: str) -> StreamingJob:
    """The job `name`. Raises ConfigurationError when there is none."""
    if name not in JOBS:
        raise ConfigurationError(f"no such MapReduce job: {name!r}; there are {', '.join(sorted(JOBS))}")
    return JOBS[name]


class LocalRunner:
    """Hadoop's local runner, for one job.

    Args:
        jars: has Hadoop's streaming jar (`.millstream/jars`).
        scratch: a folder for what a job needs only while it runs; on the file system of its output.
    """

    def __init__(self, *, jars: Path, scratch: Path) -> None:
        self._jars = jars.absolute()
        self._scratch = scratch.absolute()
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False

    def run(self, job: StreamingJob, input_folder: Path, output_folder: Path) -> Counters:
        """Runs `job` over the files in `input_folder` and returns Hadoop's counters.

        `output_folder` appears when the job has succeeded, complete, or not at all; a killed caller leaves
        nothing that a retry would meet. Progress and counters go to the log.

        Args:
            input_folder: text files; those whose names begin with `_` or `.` are left out, as Hadoop does.
            output_folder: `part-*` files of text; must not exist yet.

        Raises:
            ConfigurationError: Java or a jar is missing, or a path cannot be used.
            TransformError: the script failed; carries the last lines of its standard error.
            ClusterError: Hadoop failed, or somebody killed it or the script; carries the last lines of both.
        """
        # Hadoop runs in a folder of its own.
        input_folder, output_folder = input_folder.absolute(), output_folder.absolute()
        for path in (job.script, input_folder, output_folder, self._scratch):
            if unsafe := sorted(UNSAFE & set(str(path))):
                raise ConfigurationError(
                    f"{path}: Hadoop reads {' or '.join(map(repr, unsafe))} as a pattern"
                )
        if output_folder.exists():
            raise ConfigurationError(f"{output_folder} exists already: give the job a folder of its own")
        java, classpath = java_program(), streaming_classpath(self._jars)
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="mapreduce-") as temporary:
            own = Path(temporary)
            command = streaming_command(
                job,
                str(input_folder),
                str(own / "output"),
                scratch=own,
                java=java,
                classpath=classpath,
                python=sys.executable,
                properties=local_properties(own),
            )
            printed = self._execute(command, own, job.name)
            output_folder.parent.mkdir(parents=True, exist_ok=True)
            (own / "output").rename(output_folder)
        return counters(printed)

    def kill(self) -> None:
        """Ends the job that runs, with its mappers and reducers; `run` then raises ClusterError."""
        self._killed = True
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _execute(self, command: list[str], scratch: Path, name: str) -> list[str]:
        """Runs a command in `scratch` and returns the lines it printed. Raises what `failure` makes of
        them."""
        errors = scratch / "errors.txt"
        environment = {variable: os.environ[variable] for variable in ENVIRONMENT if variable in os.environ}
        printed = []
        with (
            errors.open("wb") as stderr,
            subprocess.Popen(
                command,
                cwd=scratch,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # One signal reaches Hadoop and the scripts that it has started.
                start_new_session=True,
            ) as self._process,
        ):
            try:
                for line in _text(self._process.stdout or ()):
                    log.info("%s", line)
                    printed.append(line)
            except BaseException:
                # A task that is cancelled does not wait for Hadoop.
                self.kill()
                raise
        if self._killed:
            raise ClusterError(f"{name} was killed: its task was cleared, or somebody marked it")
        if self._process.returncode:
            with errors.open("rb") as lines:
                raise failure(name, printed, list(_text(lines)))
        return printed


def local_properties(scratch: Path) -> dict[str, str]:
    """What makes Hadoop run a job in its own process, with temporary files in `scratch`."""
    return {
        "mapreduce.framework.name": "local",
        "fs.defaultFS": "file:///",
        "hadoop.tmp.dir": str(scratch / "hadoop"),
    }


def streaming_command(
    job: StreamingJob,
    source: str,
    target: str,
    *,
    scratch: Path,
    java: str,
    classpath: Iterable[Path],
    python: str,
    properties: Mapping[str, str],
) -> list[str]:
    """The command line of one run of a job from the folder `source` to the new folder `target`; `scratch` is
    for its temporary files, `properties` say where it runs."""
    properties = {
        **properties,
        "mapreduce.job.name": job.name,
        "stream.num.map.output.key.fields": str(job.key_fields),
        # The combiner's too: otherwise Hadoop takes its first column for the key, and merges what it wrote in
        # an order in which equal keys do not follow each other.
        "stream.num.reduce.output.key.fields": str(job.key_fields),
    }
    if job.reducers is not None:
        properties["mapreduce.job.reduces"] = str(job.reducers)
    # Isolated: neither environment variables nor the script's folder add modules.
    roles = {
        f"-{role}": shlex.join([python, "-I", job.script.name, role])
        for role in ("mapper", "combiner", "reducer")
    }
    return [
        java,
        *JAVA_OPTIONS,
        f"-Djava.io.tmpdir={scratch}",
        "-cp",
        os.pathsep.join(map(str, classpath)),
        STREAMING,
        *(text for name, value in properties.items() for text in ("-D", f"{name}={value}")),
        "-files",
        job.script.as_uri(),
        *("-input", source, "-output", target),
        *(text for role, command in roles.items() for text in (role, command)),
    ]


def counters(lines: Iterable[str]) -> Counters:
    """The counters that Hadoop has printed: a group is indented once, its counters twice."""
    of_groups: Counters = {}
    group = ""
    for line in lines:
        if counter := _COUNTER.fullmatch(line):
            of_groups.setdefault(group, {})[counter["name"]] = int(counter["value"])
        elif heading := _GROUP.fullmatch(line):
            group = heading["group"]
    return of_groups


def failure(name: str, printed: list[str], task_errors: list[str]) -> TransformError | ClusterError:
    """The error of a failed run, by what Hadoop printed and its tasks wrote to standard error."""
    statuses = [int(status) for status in _EXIT_STATUS.findall("\n".join(printed))]
    last = "\n".join(task_errors[-LAST_LINES:])
    # Above 128 a signal has ended the script: the machine's doing, not the script's.
    if statuses and statuses[-1] <= 128:
        return TransformError(f"{name} ended with status {statuses[-1]}; its last lines:\n{last}")
    hadoop = "\n".join(printed[-LAST_LINES:])
    return ClusterError(
        f"{name} was not carried out; the last lines of Hadoop:\n{hadoop}\nof the task:\n{last}"
    )


def _text(lines: Iterable[bytes]) -> Iterator[str]:
    return (line.decode(errors="replace").rstrip() for line in lines)


def java_program() -> str:
    if home := os.environ.get("JAVA_HOME"):
        return f"{home}/bin/java"
    raise ConfigurationError("JAVA_HOME is not set: run the command by stack/run, which knows a Java")


def streaming_classpath(jars: Path) -> list[Path]:
    """Pyspark's jars, which are found without importing it, and the one that it lacks."""
    streaming = sorted(jars.glob("hadoop-streaming-*.jar"))
    if len(streaming) != 1:
        raise ConfigurationError(
            f"{len(streaming)} jars of Hadoop streaming in {jars}: run stack/bootstrap.sh"
        )
    return [pyspark_folder() / "jars" / "*", *streaming]
