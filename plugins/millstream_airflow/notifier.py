"""Failure notifications: always into the log, and to the webhook or mail server whose connection exists.

The connections are called `millstream_alert_webhook` (type http; the address with its secret path is the
password) and `millstream_alert_smtp` (type smtp; `to_email` in its extra). Neither exists by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseNotifier
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context

WEBHOOK = "millstream_alert_webhook"
SMTP = "millstream_alert_smtp"
TIMEOUT_S = 10.0


class FailureNotifier(BaseNotifier):
    """Says which task failed, why, and where to look. A broken channel never hides another one."""

    def notify(self, context: Context) -> None:
        message = describe(context)
        self.log.error("ALERT %s", message["text"])
        for name, send in ((WEBHOOK, self._post), (SMTP, self._mail)):
            connection = _connection(name)
            if connection is None:
                continue
            try:
                send(connection, message)
            except Exception:
                self.log.exception("the alert could not be sent over connection %s", name)

    def _post(self, connection: Connection, message: dict[str, Any]) -> None:
        import httpx

        url = connection.password or connection.get_uri()
        httpx.post(url, json=message, timeout=TIMEOUT_S).raise_for_status()

    def _mail(self, connection: Connection, message: dict[str, Any]) -> None:
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        with SmtpHook(smtp_conn_id=SMTP) as hook:
            hook.send_email_smtp(
                to=connection.extra_dejson["to_email"],
                subject=f"Millstream: {message['dag_id']}.{message['task_id']} failed",
                html_content=f"<pre>{message['text']}</pre>",
            )


class RunNotifier(FailureNotifier):
    """For a DAG run that fails without a failed task, above all by its deadline.

    Airflow tells a DAG's callback neither the failed task nor the exception, so failed tasks speak for
    themselves, through `FailureNotifier`.
    """

    def notify(self, context: Context) -> None:
        if context.get("reason") != "task_failure":
            super().notify(context)


def describe(context: Context) -> dict[str, Any]:
    """The alert as JSON-able values: `text` for people, the other fields for machines."""
    ti = context["ti"]
    error = context.get("exception")
    what = f"{ti.dag_id}.{ti.task_id} failed in run {ti.run_id}"
    reason = f"{type(error).__name__}: {error}" if error else str(context.get("reason", "no reason known"))
    url = getattr(ti, "log_url", "")
    return {
        "text": f"{what}: {reason} {url}".strip(),
        "dag_id": ti.dag_id,
        "task_id": ti.task_id,
        "run_id": ti.run_id,
        "error": reason,
        "url": url,
    }


def _connection(name: str) -> Connection | None:
    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return None
