"""Failure notifications: always to the log, and to the webhook and mail server if their connections exist.

The connections are called `millstream_alert_webhook` (type http; the address with its secret path is the
password) and `millstream_alert_smtp` (type smtp; `to_email` in its extra). Neither exists by default.
"""

from __future__ import annotations

import traceback
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseNotifier
from airflow.sdk.exceptions import AirflowNotFoundException

from millstream.errors import REMEDY, MillstreamError, PermanentError, without_stack

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context

WEBHOOK = "millstream_alert_webhook"
SMTP = "millstream_alert_smtp"
TIMEOUT_S = 10.0
# Of a line of an alert.
WIDTH = 100


class FailureNotifier(BaseNotifier):
    """Says which task failed, why, and where to look."""

    def notify(self, context: Context) -> None:
        alert(describe(context), self.log)


def alert(message: dict[str, Any], log: Any) -> None:
    """Write to the log and send over each channel whose connection exists; one that fails stops no other."""
    # A line each: the log's view wraps none.
    for line in f"ALERT {message['text']}".splitlines():
        log.error("%s", line)
    for name, send in ((WEBHOOK, _post), (SMTP, _mail)):
        try:
            if connection := _connection(name):
                send(connection, message)
        except Exception:
            log.exception("the alert could not be sent over connection %s", name)


def _post(connection: Connection, message: dict[str, Any]) -> None:
    import httpx

    url = connection.password or connection.get_uri()
    httpx.post(url, json=message, timeout=TIMEOUT_S).raise_for_status()


def _mail(connection: Connection, message: dict[str, Any]) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    subject = ".".join(filter(None, [message["dag_id"], message["task_id"]]))
    with SmtpHook(smtp_conn_id=SMTP) as hook:
        hook.send_email_smtp(
            to=connection.extra_dejson["to_email"],
            subject=f"Millstream: {subject} failed",
            html_content=f"<pre>{escape(message['text'])}</pre>",
        )


class RunNotifier(FailureNotifier):
    """For a DAG run that fails without a failed task, above all by its deadline.

    Airflow gives a DAG's callback neither the failed task nor the exception, so failed tasks send their own
    alerts (`FailureNotifier`).
    """

    def notify(self, context: Context) -> None:
        if context.get("reason") != "task_failure":
            super().notify(context)


def describe(context: Context) -> dict[str, Any]:
    """The alert as JSON-able values: `text` for people, in lines; the other fields for machines."""
    # Airflow's context for a run that has no task to speak of has no more than the DAG and the run's id.
    ti = context.get("ti")
    dag_id, run_id = (ti.dag_id, ti.run_id) if ti else (context["dag"].dag_id, context["run_id"])
    task_id = ti.task_id if ti else ""
    error = context.get("exception")
    name = type(error).__name__ if isinstance(error, BaseException) else ""
    message = without_stack(str(error or context.get("reason", "no reason known")))
    if error and not message.strip():
        name, message = "", words_of(error)
    what = f"{'.'.join(filter(None, [dag_id, task_id]))} failed in run {run_id}" + (
        f" ({name})" if name else ""
    )
    reason = f"{name}: {message}" if name else message
    url = getattr(ti, "log_url", "")
    return {
        "text": "\n".join([what, *_explained(error, message), url]).strip(),
        "dag_id": dag_id,
        "task_id": task_id,
        "run_id": run_id,
        "error": reason,
        "url": url,
    }


def _explained(error: str | BaseException | None, message: str) -> list[str]:
    """What to do, first and set apart, then what happened; wrapped to `WIDTH`."""
    # The last one is ours: a value from the data may stand before it. What is tried again may quote a server,
    # and what is no error of ours anything at all: neither has a remedy of its own.
    what, marked, remedy = message.rpartition(REMEDY)
    if not (marked and isinstance(error, PermanentError)):
        what, remedy = message, getattr(error, "remedy", MillstreamError.remedy)
    lines = [("What to do", remedy), ("What happened", what)]
    return [line for title, text in lines for line in (f"{title}:", *_wrapped(text))]


def _wrapped(text: str) -> list[str]:
    return [
        line
        for paragraph in text.strip().splitlines()
        for line in wrap(
            paragraph, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        )
    ]


def words_of(error: BaseException | str) -> str:
    """An exception's class and text; for one without a text, where it was raised."""
    if not isinstance(error, BaseException):
        return str(error)
    if text := str(error).strip():
        return f"{type(error).__name__}: {text}"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].name}, {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    cause = error.__cause__ or error.__context__
    return f"{type(error).__name__} without a text{where}" + (f", after {words_of(cause)}" if cause else "")


def _connection(name: str) -> Connection | None:
    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return None
