"""What a person is told of Spark's errors; `tests/fault/test_damage.py` has them from full disks."""

from __future__ import annotations

from pyspark.errors.exceptions.connect import SparkException

from millstream.errors import ClusterError, of_machine

WRITING = "[TASK_WRITE_FAILED] Task failed while writing rows to file:/lake/silver/flights. SQLSTATE: 58030"
# Over Connect, whose text has none of it.
STACK = (
    "org.apache.spark.SparkException\n"
    "Caused by: org.apache.spark.SparkException: Task failed.\n"
    "Caused by: java.io.IOException: No space left on device"
)


def of_connect(state: str, stack: str) -> SparkException:
    return SparkException(WRITING, errorClass="TASK_WRITE_FAILED", sql_state=state, server_stacktrace=stack)


def test_a_full_disk_is_told_with_the_table_and_the_cause() -> None:
    told = of_machine(of_connect("58030", STACK))
    assert isinstance(told, ClusterError)
    assert str(told) == f"{WRITING}. Cause: No space left on device"


def test_an_error_without_a_cause_or_of_another_kind_stays_as_it_is() -> None:
    assert of_machine(of_connect("58030", "org.apache.spark.SparkException")) is None
    assert of_machine(of_connect("42K03", STACK)) is None
