"""What `make streams-up` starts: by the contract, and by what is wanted of the stream."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream.contracts.documents import read_yaml
from millstream.errors import QualityGateError
from millstream.settings import CHECKOUT, Settings
from millstream.streams import desired, snapshot
from millstream.streams.snapshot import Snapshot, State
from millstream_stack.commands import streams
from millstream_stack.services.declared import services
from millstream_stack.services.stream_process import stream_runs
from millstream_stack.supervision import lifecycle
from millstream_stack.supervision.health import Health
from millstream_stack.supervision.supervision import ProcessState

DATASET = streams.DATASET
REASON = "too many rows break 'event_type in set [scheduled]'"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that were started, beside a Kafka of one's own."""
    parts: list[str] = []
    monkeypatch.setattr(streams, "up", lambda *_: None)
    monkeypatch.setattr(streams, "hand_on", lambda *_: True)
    monkeypatch.setattr(streams, "start_part", lambda _settings, _report, part: parts.append(part))
    return parts


def test_alerts_are_started_only_where_the_contract_has_some(
    settings: Settings, tmp_path: Path, started: list[str]
) -> None:
    assert streams.streams_up(settings) == 0
    assert started == ["streams", "alerts"]

    started.clear()
    data: Any = read_yaml(CHECKOUT / "dags" / "streams" / f"{DATASET}.yaml")
    del data["source"]["alerts"]
    contract = tmp_path / "project" / "dags" / "streams" / f"{DATASET}.yaml"
    contract.parent.mkdir(parents=True)
    contract.write_text(json.dumps(data, default=str))
    assert streams.streams_up(settings.model_copy(update={"project": tmp_path / "project"})) == 0
    assert started == ["streams"]


def test_a_parked_stream_stays_parked_and_a_drained_one_goes_on(
    settings: Settings, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = (settings.lake_root, DATASET)
    desired.write(*wish, "park", REASON)
    streams.streams_up(settings)
    assert (desired.read(*wish), desired.reason(*wish)) == ("park", REASON)
    assert started == ["streams", "alerts"]
    monkeypatch.setattr(streams, "hand_on", lambda *_: False)
    monkeypatch.setattr(streams, "_events", lambda *_: ["true"])
    with pytest.raises(QualityGateError, match="flight_events is parked: too many rows break"):
        streams.run_demo_streams(settings)

    desired.write(*wish, "drain")
    streams.streams_up(settings)
    assert desired.read(*wish) == "run"


def test_a_parked_stream_is_up_and_not_well(settings: Settings) -> None:
    def say(state: State, age_s: float = 0) -> Health:
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        said = Snapshot(stream=DATASET, state=state, at=at, reason=REASON)
        snapshot.write(settings.lake_root, said)
        return stream_runs(settings, DATASET)

    desired.write(settings.lake_root, DATASET, "park", REASON)
    parked = say("parked")
    assert (parked.healthy, parked.parked) == (False, True)
    assert parked.detail == f"parked, 0 s ago: {REASON}"
    # As the process before this one has left it.
    assert not say("parked", age_s=100).parked
    assert not say("starting").parked
    # Its process has not seen the wish yet.
    desired.write(settings.lake_root, DATASET, "run")
    assert not say("parked").parked


def test_nothing_waits_for_a_parked_stream_to_run(settings: Settings) -> None:
    class Running:
        def states(self) -> list[ProcessState]:
            return [ProcessState("stream-flights", "RUNNING", 1, 1, "")]

    [service] = [one for one in services(settings) if one.part == "streams"]
    asked = replace(service, health=lambda: Health(False, f"parked, 0 s ago: {REASON}", parked=True))
    lines: list[str] = []
    supervisor: Any = Running()
    lifecycle._wait_healthy([asked], supervisor, lines.append, time.monotonic())
    assert lines == [f"Stream of flights is parked, 0 s ago: {REASON} (0 s)"]
