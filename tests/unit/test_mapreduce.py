"""The command line of Hadoop's local runner, and what is made of what it prints."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from millstream.engines import mapreduce
from millstream.engines.conf import pyspark_folder
from millstream.engines.mapreduce import ROUTE_DELAY_STATISTICS, LocalRunner, StreamingJob
from millstream.engines.mapreduce_yarn import yarn_command
from millstream.errors import ClusterError, ConfigurationError, TransformError
from millstream.settings import CHECKOUT
from spark_jobs.mapreduce import route_delay_statistics

COMMAND = f"""\
/java/bin/java
-XX:-UsePerfData
-XX:TieredStopAtLevel=1
-XX:+UseSerialGC
-Xmx512m
-Dlog4j2.configurationFile={CHECKOUT}/conf/mapreduce/log4j2.properties
-Djava.io.tmpdir=/scratch
-cp
/pyspark/jars/*:/jars/hadoop-streaming-3.4.2.jar
org.apache.hadoop.streaming.HadoopStreaming
-D
mapreduce.framework.name=local
-D
fs.defaultFS=file:///
-D
hadoop.tmp.dir=/scratch/hadoop
-D
mapreduce.job.name=route_delay_statistics
-D
stream.num.map.output.key.fields=5
-D
stream.num.reduce.output.key.fields=5
-files
file://{CHECKOUT}/spark_jobs/mapreduce/route_delay_statistics.py
-input
/input
-output
/scratch/output
-mapper
/venv/bin/python -I route_delay_statistics.py mapper
-combiner
/venv/bin/python -I route_delay_statistics.py combiner
-reducer
/venv/bin/python -I route_delay_statistics.py reducer"""


def command() -> list[str]:
    return mapreduce.streaming_command(
        ROUTE_DELAY_STATISTICS,
        "/input",
        "/scratch/output",
        scratch=Path("/scratch"),
        java="/java/bin/java",
        classpath=[Path("/pyspark/jars/*"), Path("/jars/hadoop-streaming-3.4.2.jar")],
        python="/venv/bin/python",
        properties=mapreduce.local_properties(Path("/scratch")),
    )


def test_the_command_line() -> None:
    assert command() == COMMAND.splitlines()


def test_on_yarn_the_same_job_is_submitted_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", "/java")
    monkeypatch.setenv("PYSPARK_PYTHON", "/venv/bin/python")
    (tmp_path / "hadoop-streaming-3.4.2.jar").touch()
    words = yarn_command(
        ROUTE_DELAY_STATISTICS,
        "hdfs://nn:8020/lake/in",
        "hdfs://nn:8020/lake/out",
        "task-1",
        scratch=Path("/scratch"),
        jars=tmp_path,
        conf=Path("/etc/hadoop"),
    )
    expected = COMMAND.replace(
        "/pyspark/jars/*:/jars/", f"/etc/hadoop:{pyspark_folder()}/jars/*:{tmp_path}/"
    ).replace(
        "mapreduce.framework.name=local", "mapreduce.framework.name=yarn\n-D\nmapreduce.job.tags=task-1"
    )
    for local in ("-D\nfs.defaultFS=file:///\n", "-D\nhadoop.tmp.dir=/scratch/hadoop\n"):
        expected = expected.replace(local, "")
    for folder, uri in {
        "/input": "hdfs://nn:8020/lake/in",
        "/scratch/output": "hdfs://nn:8020/lake/out",
    }.items():
        expected = expected.replace(f"\n{folder}\n", f"\n{uri}\n")
    assert words == [*expected.splitlines(), "-background"]


@pytest.mark.parametrize("role", ["mapper", "combiner", "reducer"])
def test_the_script_takes_the_arguments_that_it_is_given(role: str) -> None:
    arguments = command()
    python, isolated, script, *own = shlex.split(arguments[arguments.index(f"-{role}") + 1])
    assert (python, isolated) == ("/venv/bin/python", "-I")
    # Hadoop links the file of `-files` into the folder in which the task runs.
    assert arguments[arguments.index("-files") + 1].endswith(f"/{script}")
    assert route_delay_statistics.arg_parser().parse_args(own).role == role


def test_the_key_is_the_scripts() -> None:
    assert ROUTE_DELAY_STATISTICS.script == Path(route_delay_statistics.__file__)
    assert ROUTE_DELAY_STATISTICS.key_fields == len(route_delay_statistics.KEY)


def test_counters_are_read_by_group() -> None:
    printed = [
        "INFO Job:  map 100% reduce 100%",
        "INFO Job: Counters: 3",
        "\tMap-Reduce Framework",
        "\t\tMap input records=4",
        "\t\tShuffled Maps =2",
        "\tRoute delay statistics",
        "\t\tFlights=4",
    ]
    assert mapreduce.counters(printed) == {
        "Map-Reduce Framework": {"Map input records": 4, "Shuffled Maps ": 2},
        "Route delay statistics": {"Flights": 4},
    }


def failed_with(status: int) -> TransformError | ClusterError:
    printed = [f"java.lang.RuntimeException: PipeMapRed: subprocess failed with code {status}", "\tat …"]
    return mapreduce.failure("script.py", printed, [f"line {number}" for number in range(50)])


def test_a_script_that_fails_is_wrong_and_its_last_lines_are_said() -> None:
    error = failed_with(65)
    assert isinstance(error, TransformError)
    assert str(error).startswith("script.py ended with status 65")
    assert str(error).endswith("\nline 48\nline 49")
    assert "line 29\n" not in str(error)


def test_a_script_that_is_killed_may_pass_another_time() -> None:
    assert isinstance(failed_with(137), ClusterError)


def test_a_failure_without_a_script_is_hadoops() -> None:
    error = mapreduce.failure("script.py", ["ERROR StreamJob: no space left"], [])
    assert isinstance(error, ClusterError)
    assert "no space left" in str(error)


def refused(folder: Path, job: StreamingJob = ROUTE_DELAY_STATISTICS, **changes: Path) -> str:
    places = {"input_folder": folder, "output_folder": folder / "new"}
    with pytest.raises(ConfigurationError) as refusal:
        LocalRunner(jars=folder, scratch=folder).run(job, **{**places, **changes})
    return str(refusal.value)


def test_what_cannot_be_used_is_refused_before_java_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "exists already" in refused(tmp_path, output_folder=tmp_path)
    assert "'*' as a pattern" in refused(tmp_path, input_folder=tmp_path / "*")
    assert "0 jars of Hadoop streaming" in refused(tmp_path)
    monkeypatch.delenv("JAVA_HOME")
    assert "JAVA_HOME is not set" in refused(tmp_path)
