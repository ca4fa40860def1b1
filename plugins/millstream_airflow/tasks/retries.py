"""What every task does when it fails: send an alert, and retry if that may help.

The exception's class decides, never its text. Whether a retry helps after an exception of another library
is not known: the task is retried, with the exception's text as the reason.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.retry_policy import (
    ExceptionRetryPolicy,
    RetryAction,
    RetryDecision,
    RetryRule,
)

from millstream.errors import PermanentError, TransientError
from millstream_airflow.tasks.alerts import FailureNotifier, words_of

RETRIES = 2
RETRY_DELAY = timedelta(seconds=20)

# Airflow keeps 500 characters of a reason.
LONGEST_TEXT = 400


class RetryPolicy(ExceptionRetryPolicy):
    """The rules. Where none applies, the exception's text is the reason of the retry, which
    Airflow shows with the task, beside its log."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Any = None,
    ) -> RetryDecision:
        decision = super().evaluate(exception, try_number, max_tries, context)
        if decision.reason is not None:
            return decision
        return RetryDecision.retry(
            RETRY_DELAY, f"Not known whether another try helps: {words_of(exception)[:LONGEST_TEXT]}"
        )


RETRY_POLICY = RetryPolicy(
    rules=[
        RetryRule(
            exception=PermanentError,
            action=RetryAction.FAIL,
            reason="Another try with the same input would end the same way",
        ),
        RetryRule(
            exception=TransientError,
            action=RetryAction.RETRY,
            retry_delay=RETRY_DELAY,
            reason="A network, a server or a cluster was not there",
        ),
    ]
)

TASK_ARGS: dict[str, Any] = {
    "on_failure_callback": FailureNotifier(),
    "retries": RETRIES,
    "retry_delay": RETRY_DELAY,
    "retry_policy": RETRY_POLICY,
}
