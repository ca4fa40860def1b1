"""What every task does when it fails: tell, and try again where that may help.

The exception's class decides, never its text.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

from millstream.errors import PermanentError, TransientError
from millstream_airflow.notifier import FailureNotifier

RETRIES = 2
RETRY_DELAY = timedelta(seconds=20)

RETRY_POLICY = ExceptionRetryPolicy(
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
