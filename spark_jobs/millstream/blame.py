"""Whose fault a failing query is: errors of what people have declared, in one line, as permanent ones.

A transform, a suite or a model that Spark refuses is refused again by every further try. Spark itself may
fail too, and only its SQLSTATE tells these apart
(https://spark.apache.org/docs/latest/sql-error-conditions-sqlstates.html).
"""

from __future__ import annotations

import builtins
import logging
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyspark.errors import PySparkException, PythonException

from millstream.errors import (
    ContractError,
    MillstreamError,
    PermanentError,
    TransformError,
    without_stack,
)
from millstream.settings import Settings

log = logging.getLogger(__name__)

# Classes of SQLSTATE that the query or its data has caused: unsupported feature, cardinality, data,
# constraint, syntax and names.
QUERYS_OWN = ("0A", "21", "22", "23", "42")
# But not what has gone, or is in the way: a format's reader, a file, a table.
GONE = ("42K02", "42K03", "42K04", "42P01", "42P07")
# What Python raises where code is wrong, and not the machine below it.
PROGRAMMING = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    SyntaxError,
    TypeError,
    ValueError,
)
# The exception at the end of a Python stack: the first line after its frames that is not indented.
RAISED = re.compile(r'^  File "[^\n]*\n(?:[ \t][^\n]*\n)*(\S[^\n]*)', re.MULTILINE)
LONGEST = 400


@dataclass(frozen=True)
class Declaration:
    """The file that says what a job does with rows, relative to the checkout, and the error that names it."""

    path: str
    error: type[PermanentError]


def declaration(job: str, args: Mapping[str, Any]) -> Declaration | None:
    """The file behind the queries of `job`; None where these are the platform's own."""
    match job:
        case "transform":
            return _transform(args["contract"]["dataset"])
        case "build_features" | "export_text" | "stage_text":
            return _transform(args["table"].partition(".")[2])
        case "build_mart":
            return Declaration(f"marts/{args['mart']['name']}.sql", ContractError)
        case "quality_gate":
            name = args["suite"].get("name", "")
            return _first(f"expectations/{name}.json", _contract(name), error=ContractError)
        case "fit_candidate" | "score_model":
            return Declaration(f"spark_jobs/millstream/models/{args['model']}.py", ContractError)
    return None


def _transform(name: str) -> Declaration:
    return _first(f"spark_jobs/millstream/transforms/{name}.py", _contract(name), error=TransformError)


def _contract(name: str) -> str:
    return f"dags/datasets/{name}.yaml"


def _first(path: str, contract: str, error: type[PermanentError]) -> Declaration:
    """The file at `path`, or where a dataset does without it its `contract`."""
    root = Settings().project
    chosen = contract if (root / contract).is_file() and not (root / path).is_file() else path
    return Declaration(chosen, error)


@contextmanager
def blaming(declared: Declaration | None) -> Iterator[None]:
    """Raises an error that names `declared` for what it has caused; lets everything else pass."""
    try:
        yield
    except MillstreamError:
        raise
    except (PySparkException, *PROGRAMMING) as error:
        blamed = fault(error, declared) if declared else None
        if blamed is None:
            raise
        log.debug("%s", blamed, exc_info=error)
        raise blamed from None


def fault(error: Exception, declared: Declaration) -> PermanentError | None:
    """What `error` says of the declaration; None where it is not to blame."""
    line = _line(error, declared.path)
    if line is None and not _refused(error):
        return None
    where = declared.path if line is None else f"{declared.path}, line {line}"
    return declared.error(
        f"{where}: {in_one_line(error)}. Nothing was published. What to do: correct it there, then clear "
        "the task"
    )


def _refused(error: Exception) -> bool:
    """Whether Spark refuses what the query says. A declaration says no more to Delta than columns: its
    versions, files and features are the platform's."""
    if not isinstance(error, PySparkException):
        return False
    condition, state = error.getCondition() or "", error.getSqlState() or ""
    if condition.startswith("DELTA_") and "COLUMN" not in condition:
        return False
    return state[:2] in QUERYS_OWN and state not in GONE


def _is_programming(error: Exception) -> bool:
    """Whether the code that raised `error` is wrong, here or in a Python worker, and not the machine."""
    if not isinstance(error, PythonException):
        return isinstance(error, PROGRAMMING)
    raised = getattr(builtins, _raised(str(error)).partition(":")[0], None)
    return isinstance(raised, type) and issubclass(raised, PROGRAMMING)


def _raised(text: str) -> str:
    """What a Python worker has raised, of Spark's error about it, which has the worker's stack."""
    return next(reversed(RAISED.findall(without_stack(text))), "").strip()


def _line(error: Exception, path: str) -> int | None:
    """The line of `path` that raised the error, by the stack, or by what Spark noted of it; None for another
    file, and for what Spark itself failed at."""
    # A Python function in the query may be the declaration's, or the platform's own.
    if not (_is_programming(error) or _refused(error)):
        return None
    if isinstance(error, SyntaxError) and (error.filename or "").endswith(f"/{path}"):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame.lineno for frame in frames if frame.filename.endswith(f"/{path}")]
    noted = re.findall(rf"/{re.escape(path)}(?:\", line |:)(\d+)", str(error))
    return next(reversed([*map(int, noted), *(line for line in inside if line)]), None)


def in_one_line(error: BaseException) -> str:
    """What is wrong, without the stack of Java or of Python's workers."""
    lines = [line.strip() for line in without_stack(str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    chosen = (isinstance(error, PythonException) and _raised(str(error))) or lines[0]
    kind = "" if isinstance(error, PySparkException) else f"{type(error).__name__}: "
    return f"{kind}{chosen}"[:LONGEST].rstrip(".; ")
