"""Every way a run can fail, sorted by what helps: a person (permanent) or another try (transient).

Airflow's retry rules match exception classes, so the class alone decides whether a task is tried again.
A message says what is wrong, where, and what to do.
"""


class MillstreamError(Exception):
    """Root of all errors raised by the platform itself."""


class PermanentError(MillstreamError):
    """Another try with the same input ends the same way: fail at once."""


class TransientError(MillstreamError):
    """A network, a server or a cluster was not there: another try may pass."""


class ConfigurationError(PermanentError):
    """A setting or connection is missing or cannot be right."""


class ContractError(PermanentError):
    """A dataset contract or an expectation suite is wrong."""


class UnsupportedExpectationError(ContractError):
    """A critical expectation cannot be expressed as a row predicate, so its rows cannot be quarantined."""


class SourceDataError(PermanentError):
    """A source delivered something that cannot be read: corrupt, truncated, empty or missing."""


class SchemaDriftError(PermanentError):
    """A source's columns no longer match the contract."""


class QualityGateError(PermanentError):
    """The quality gate did not pass, or gave no verdict: nothing was published."""


class GateInconsistencyError(QualityGateError):
    """Great Expectations decides otherwise than the counted rows do: nothing was published."""


class ConservationError(PermanentError):
    """Rows that came in do not equal those that would be published or kept: nothing was published."""


class ReconciliationError(PermanentError):
    """Sources, landing, tables, ledger and events do not agree, and only a person can tell why."""


class DecisionRefusedError(PermanentError):
    """A person's decision on quarantined rows cannot be carried out: nothing was recorded."""


class LakeWriterError(PermanentError):
    """A second process, or a second stack, tried to write Delta tables on a local folder."""


class ReadBackError(PermanentError):
    """The model in the artifact store does not score as the one that was logged."""


class ArtifactDigestError(PermanentError):
    """A stored model is not, byte for byte, the one that was registered: it was not served."""


class SupersededError(PermanentError):
    """A newer attempt has already published what this one was about to publish."""


class SourceUnavailableError(TransientError):
    """A source system does not answer."""


class ClusterError(TransientError):
    """Spark, or the storage under it, failed or went away."""


class TrackingError(TransientError):
    """The MLflow server does not answer."""


def error_class(name: str) -> type[MillstreamError]:
    """The class of this module called `name`; `ClusterError` for any other name.

    A job on a cluster reports its failure by name (`jobs.outcome`); a name we do not know came from
    Spark or the machine below it, which another try may heal.
    """
    candidate = globals().get(name)
    if isinstance(candidate, type) and issubclass(candidate, MillstreamError):
        return candidate
    return ClusterError
