"""What every task does when it fails: send an alert, and retry if that may help.

The exception's class decides, never its text. Whether a retry helps after an exception of another library
is not known: the task is retried, with the exception's text as the reason.
"""

from __future__ import annotations

from dataclasses import replace
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

# Twenty seconds are a server's restart; together they outlast a minute or two without HDFS or the database.
DELAYS = (timedelta(seconds=20), timedelta(minutes=1), timedelta(minutes=3))
# After an exception that nobody knows: it may well come each time.
UNKNOWN_RETRIES = 2

# Airflow keeps 500 characters of a reason.
LONGEST_TEXT = 400


class RetryPolicy(ExceptionRetryPolicy):
    """The rules, with delays that grow. Where no rule applies, the exception's text is the reason of the
    retry, which Airflow shows with the task, beside its log."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Any = None,
    ) -> RetryDecision:
        # Somebody who clears a task gives it all retries once more: `max_tries` grows then.
        done = min(max(0, len(DELAYS) - (max_tries - try_number + 1)), len(DELAYS) - 1)
        decision = super().evaluate(exception, try_number, max_tries, context)
        if decision.action is RetryAction.RETRY:
            return replace(decision, retry_delay=DELAYS[done])
        if decision.reason is not None:
            return decision
        text = words_of(exception)[:LONGEST_TEXT]
        if done >= UNKNOWN_RETRIES:
            return RetryDecision.fail(f"Not known whether another try helps, and two did not: {text}")
        return RetryDecision.retry(DELAYS[done], f"Not known whether another try helps: {text}")


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
            reason="A network, a server or a cluster was not there",
        ),
    ]
)

TASK_ARGS: dict[str, Any] = {
    "on_failure_callback": FailureNotifier(),
    "retries": len(DELAYS),
    # Where no exception is at hand, as after a killed process.
    "retry_delay": DELAYS[0],
    "retry_policy": RETRY_POLICY,
}
