"""Whose fault an error is, by the errors as Spark Connect hands them on; tests/spark and tests/connect have
them from Spark itself."""

from __future__ import annotations

import pytest
from pyspark.errors import PySparkException
from pyspark.errors.exceptions.connect import AnalysisException, PythonException, SparkRuntimeException

from millstream import blame
from millstream.errors import ContractError, TransformError

GATE = blame.Declaration("expectations/airlines.json", ContractError)
TRANSFORM = blame.Declaration("spark_jobs/millstream/transforms/flights.py", TransformError)


def refused(condition: str, state: str) -> PySparkException:
    return AnalysisException(f"[{condition}] so it is.", errorClass=condition, sql_state=state)


def of_worker(raised: str) -> PySparkException:
    """What Spark makes of an exception in a function of the transform."""
    return PythonException(
        "[PYTHON_EXCEPTION] An exception was thrown from the Python worker:\n"
        "Traceback (most recent call last):\n"
        f'  File "/x/{TRANSFORM.path}", line 12, in f\n    return g(text)\n           ^^^^^^^\n'
        '  File "/x/other.py", line 3, in g\n    raise\n'
        f"{raised}\nSQLSTATE: 38000\n\nJVM stacktrace:\norg.apache.spark.X\n\tat org.y(Z.scala)",
        errorClass="PYTHON_EXCEPTION",
        sql_state="38000",
    )


@pytest.mark.parametrize(
    ("condition", "state"),
    [
        ("DELTA_VERSION_NOT_FOUND", "22003"),
        ("DELTA_UNSUPPORTED_TIME_TRAVEL_BEYOND_DELETED_FILE_RETENTION_DURATION", "0AKDC"),
        ("DELTA_TIMESTAMP_GREATER_THAN_COMMIT", "42816"),
        ("DELTA_MISSING_PART_FILES", "42KD6"),
        ("DATA_SOURCE_NOT_FOUND", "42K02"),
        ("PATH_NOT_FOUND", "42K03"),
        ("PATH_ALREADY_EXISTS", "42K04"),
        ("TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("TABLE_OR_VIEW_ALREADY_EXISTS", "42P07"),
    ],
)
def test_no_declaration_is_blamed_for_what_has_gone(condition: str, state: str) -> None:
    assert blame.fault(refused(condition, state), GATE) is None


@pytest.mark.parametrize(
    ("condition", "state"),
    [
        ("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703"),
        ("DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES", "42K09"),
        ("DELTA_DUPLICATE_COLUMNS_FOUND", "42711"),
    ],
)
def test_a_query_that_is_wrong_is_its_declarations(condition: str, state: str) -> None:
    told = blame.fault(refused(condition, state), GATE)
    assert isinstance(told, ContractError)
    assert str(told).startswith(f"expectations/airlines.json: [{condition}] so it is. Nothing was published")


@pytest.mark.parametrize(
    "raised",
    [
        "OSError: [Errno 28] No space left on device",
        "MemoryError",
        "ConnectionResetError: [Errno 104] Connection reset by peer\nValueError: is what the peer said",
        "pyspark.errors.exceptions.base.PySparkRuntimeError: [X] the worker has ended",
    ],
)
def test_no_transform_is_blamed_for_the_machine_that_runs_its_function(raised: str) -> None:
    assert blame.fault(of_worker(raised), TRANSFORM) is None


@pytest.mark.parametrize(
    "raised",
    [
        "AttributeError: 'str' object has no attribute 'nope'",
        "AssertionError",
        "ZeroDivisionError: zero\nx: y",
    ],
)
def test_a_function_that_fails_is_told_with_its_line(raised: str) -> None:
    told = blame.fault(of_worker(raised), TRANSFORM)
    assert isinstance(told, TransformError)
    first = raised.splitlines()[0]
    assert str(told).startswith(f"{TRANSFORM.path}, line 12: {first}. Nothing was published.")


def test_a_value_that_cannot_be_is_the_querys() -> None:
    zero = SparkRuntimeException("[DIVIDE_BY_ZERO] zero.", errorClass="DIVIDE_BY_ZERO", sql_state="22012")
    assert isinstance(blame.fault(zero, TRANSFORM), TransformError)
