"""Every way a run can fail, sorted by what helps: a person (permanent) or another try (transient).

Airflow's retry rules match exception classes, so the class alone decides whether a task is tried again.
A message says what is wrong, where, and what to do. A permanent error may say the latter behind `REMEDY`, at
the end; each class has a general remedy besides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pyspark.errors import PySparkException

# What sets a remedy off in a message. Errors that may quote the data have it behind the quotation.
REMEDY = "What to do: "
# How Python names an error of ours at the end of a stack, as Spark hands on that of a worker.
_OURS = re.compile(rf"^{re.escape(__name__)}\.(\w+): (.+)$", re.MULTILINE)
# The class of SQLSTATE for what lies outside a database: its disks, and what it is run by.
_SYSTEM_ERROR = "58"
_CAUSE = re.compile(r"^Caused by: [\w.$]+: (.+)$", re.MULTILINE)


class MillstreamError(Exception):
    """Root of all errors raised by the platform itself."""

    remedy: ClassVar[str] = "look at the stack above, then clear the task to try again"


class PermanentError(MillstreamError):
    """Another try with the same input ends the same way: fail at once."""


class TransientError(MillstreamError):
    """A network, a server or a cluster was not there: another try may pass."""


class ConfigurationError(PermanentError):
    """A setting or connection is missing or cannot be right."""

    remedy = "correct the setting or connection that is named, then clear the task"


class ContractError(PermanentError):
    """A dataset contract or an expectation suite is wrong."""

    remedy = "correct the file that is named, or raise the contract's version, then clear the task"


class UnsupportedExpectationError(ContractError):
    """A critical expectation cannot be expressed as a row predicate, so its rows cannot be quarantined."""

    remedy = "give the expectation the severity warning, or use another one"


class TransformError(PermanentError):
    """A transform, or one of a table's checks, does not fit the rows: nothing was published."""

    remedy = "correct the transform, then clear the task"


class SourceDataError(PermanentError):
    """A source delivered something that cannot be read: corrupt, truncated, empty or missing."""

    remedy = "ask the source's owner; clear the run from plan when it is corrected"


class SchemaDriftError(PermanentError):
    """A source's columns no longer match the contract."""

    remedy = "have the source corrected, or allow the change in the contract's drift policies"


class QualityGateError(PermanentError):
    """The quality gate did not pass, or gave no verdict: nothing was published."""

    remedy = (
        "look at the page in Data Docs; correct the source or the suite, then clear from plan or quality_gate"
    )


class GateInconsistencyError(QualityGateError):
    """Great Expectations decides otherwise than the counted rows do: nothing was published."""

    remedy = "report it with the rule that is named: a defect"


class ConservationError(PermanentError):
    """Rows that came in do not equal those that would be published or kept: nothing was published."""

    remedy = "let a transform of your own hand on each row once; otherwise report it: a defect"


class ReconciliationError(PermanentError):
    """Sources, landing, tables, ledger and events do not agree, and only a person can tell why."""

    remedy = "see what each difference needs, in docs/maintenance.md"


class DecisionRefusedError(PermanentError):
    """A person's decision on quarantined rows cannot be carried out: nothing was recorded."""

    remedy = "choose fewer rows by a reason or a partition, drop them, or have the source corrected"


class LakeWriterError(PermanentError):
    """A Spark session without the lake's log store, or a second stack, was to write a local lake."""

    remedy = "start the session as the message says; stop the other stack, if one is named"


class ReadBackError(PermanentError):
    """The model in the artifact store does not score as the one that was logged."""

    remedy = "look at MLflow's artifacts (make logs S=mlflow), then clear register"


class ArtifactDigestError(PermanentError):
    """A stored model is not, byte for byte, the one that was registered: it was not served."""

    remedy = "look for who changed the files; train again, or move the alias champion"


class SupersededError(PermanentError):
    """A newer attempt has already published what this one was about to publish."""

    remedy = "nothing: the newer result stands"


class StreamPositionError(PermanentError):
    """A topic does not go on where a table's newest account ends: records are gone, or it is another one."""

    remedy = "see docs/streams.md: find out what became of the topic before the stream goes on"


class StreamBehindError(PermanentError):
    """A stream has stopped, or is further behind its topic than its contract allows."""

    remedy = "make status and make logs S=stream-flights show what it waits for or why it stopped"


class SourceUnavailableError(TransientError):
    """A source system does not answer."""

    remedy = "look after the source, then clear the task"


class ClusterError(TransientError):
    """Spark, or the storage under it, failed or went away."""

    remedy = "make status and make logs show what is down; then clear the task"


class TrackingError(TransientError):
    """The MLflow server does not answer."""

    remedy = "make status and make logs S=mlflow show whether MLflow is up; then clear the task"


def without_stack(text: str) -> str:
    """An error's text without the stack of Java's machine, which Spark hands on with it."""
    return text.partition("JVM stacktrace:")[0].partition("\n\tat ")[0].strip()


def of_worker(text: str) -> MillstreamError | None:
    """The error of ours that a Python worker has raised, from the `text` of Spark's error about it."""
    if raised := _OURS.search(text):
        name, message = raised.groups()
        return error_class(name)(message.strip())
    return None


def of_machine(error: PySparkException) -> ClusterError | None:
    """What failed below Spark, such as a full disk; None for all other errors.

    Spark's own text names the table that could not be written, and leaves the reason to Java's stack.
    """
    if not (error.getSqlState() or "").startswith(_SYSTEM_ERROR):
        return None
    told, _, stack = str(error).partition("JVM stacktrace:")
    # Over Connect the text has no stack, but the error has.
    stack = stack or str(getattr(error, "getStackTrace", str)())
    causes = _CAUSE.findall(stack)
    return ClusterError(f"{told.strip()}. Cause: {causes[-1].strip()}") if causes else None


def error_class(name: str) -> type[MillstreamError]:
    """The class of this module called `name`; `ClusterError` for any other name.

    A job on a cluster reports its failure by name (`jobs.outcome`); a name we do not know came from
    Spark or the machine below it, which another try may heal.
    """
    candidate = globals().get(name)
    if isinstance(candidate, type) and issubclass(candidate, MillstreamError):
        return candidate
    return ClusterError


def printable(text: str) -> str:
    """`text` as a part of a message: in one line, and in characters that can be written anywhere.

    It never looks like the remedy of the message.
    """
    plain = "".join(character if character.isprintable() else _escaped(character) for character in text)
    return plain.replace(REMEDY, REMEDY.replace(":", "\\x3a"))


def _escaped(character: str) -> str:
    # What Python's `surrogateescape` makes of a byte that is not UTF-8.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
