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


class StreamTrigger(BaseTrigger):
    """Fires when a stream gets into trouble or out of it, and at `until`.

    `trouble` is the trouble that is known. The event has `trouble`, empty when the stream is well, `over`
    and `until`. It has no state besides: another triggerer goes on with the same arguments.
    """

    def __init__(self, lake_root: str, stream: str, deadline_s: float, until: str, trouble: str = "") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lake_root = lake_root
        self.stream = stream
        self.deadline_s = deadline_s
        self.until = until
        self.trouble = trouble

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("lake_root", "stream", "deadline_s", "until", "trouble")
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
        from millstream.streams import snapshot, watching

        seen = snapshot.read(self.lake_root, self.stream)
        if seen is None:
            return "its snapshot is gone"
        return watching.trouble(seen, now, timedelta(seconds=self.deadline_s))


class WatchStreamOperator(BaseOperator):
    """Watch a stream until `minutes` (templated) are over, and send an alert whenever it gets into trouble.

    Skipped where the stream has never begun, or was ended with the stack.
    Raises: StreamBehindError: it is in trouble at the end.
    """

    template_fields = ("minutes",)

    def __init__(self, *, stream: str, minutes: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stream = stream
        self.minutes = minutes

    def execute(self, context: Context) -> None:
        from millstream.streams import watching

        if watching.seen_of_started(catalog.lake_root(), self.stream) is None:
            raise AirflowSkipException(watching.NOT_STARTED.format(stream=self.stream))
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
        trigger = StreamTrigger(catalog.lake_root(), self.stream, deadline.total_seconds(), until, trouble)
        self.defer(trigger=trigger, method_name="go_on")
