"""The task that watches a stream without a slot, and its trigger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, get_current_context
from airflow.sdk.exceptions import AirflowSkipException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from millstream.errors import StreamBehindError
from millstream_airflow import catalog
from millstream_airflow.tasks.alerts import alert, describe

if TYPE_CHECKING:
    from airflow.sdk import Context

POKE_S = 5.0
GONE = "its snapshot is gone"


class StreamTrigger(BaseTrigger):
    """Fires when a stream, or with `alerts` what sends its alerts, gets into trouble or out of it, and at
    `until`.

    `trouble` is the trouble that is known. The event has `trouble`, empty when the stream is well, `over`
    and `until`. It has no state besides: another triggerer goes on with the same arguments.
    """

    def __init__(
        self,
        lake_root: str,
        stream: str,
        deadline_s: float,
        until: str,
        trouble: str = "",
        alerts: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lake_root = lake_root
        self.stream = stream
        self.deadline_s = deadline_s
        self.until = until
        self.trouble = trouble
        self.alerts = alerts

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("lake_root", "stream", "deadline_s", "until", "trouble", "alerts")
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while True:
            now = datetime.now(UTC)
            trouble = await asyncio.to_thread(self._trouble, now)
            over = now >= datetime.fromisoformat(self.until)
            if over or bool(trouble) != bool(self.trouble):
                event = {"trouble": trouble, "over": over, "until": self.until}
                yield TriggerEvent(event)  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(POKE_S)

    def _trouble(self, now: datetime) -> str:
        from millstream.streams import alert_snapshot, snapshot, watching

        deadline = timedelta(seconds=self.deadline_s)
        if self.alerts:
            sending = alert_snapshot.read(self.lake_root, self.stream)
            return watching.alerts_trouble(sending, now, deadline) if sending is not None else GONE
        seen = snapshot.read(self.lake_root, self.stream)
        return watching.trouble(seen, now, deadline) if seen is not None else GONE


class WatchStreamOperator(BaseOperator):
    """Watch a stream until `minutes` (templated) are over, and send an alert whenever it gets into trouble.

    With `alerts` it is what sends the stream's alerts that is watched. Skipped where that has never begun, or
    was ended with the stack.
    Raises: StreamBehindError: it is in trouble at the end.
    """

    template_fields = ("minutes",)

    def __init__(self, *, stream: str, minutes: str, alerts: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stream = stream
        self.minutes = minutes
        self.alerts = alerts

    def execute(self, context: Context) -> None:
        from millstream.streams import watching

        started = watching.seen_of_started_alerts if self.alerts else watching.seen_of_started
        not_started = watching.ALERTS_NOT_STARTED if self.alerts else watching.NOT_STARTED
        if started(catalog.lake_root(), self.stream) is None:
            raise AirflowSkipException(not_started.format(stream=self.stream))
        until = datetime.now(UTC) + timedelta(minutes=float(self.minutes))
        self._wait(until.isoformat(), "")

    def go_on(self, context: Context, event: dict[str, Any]) -> None:
        trouble = event["trouble"]
        said = f"stream {self.stream}: {trouble}"
        if event["over"]:
            if trouble:
                raise StreamBehindError(said)
            self.log.info("stream %s is well", self.stream)
            return
        if trouble:
            alert(describe({**get_current_context(), "exception": StreamBehindError(said)}), self.log)
        else:
            self.log.info("stream %s is well again", self.stream)
        self._wait(event["until"], trouble)

    def _wait(self, until: str, trouble: str) -> None:
        deadline = timedelta(minutes=catalog.stream(self.stream).deadline_minutes)
        trigger = StreamTrigger(
            catalog.lake_root(), self.stream, deadline.total_seconds(), until, trouble, self.alerts
        )
        self.defer(trigger=trigger, method_name="go_on")
