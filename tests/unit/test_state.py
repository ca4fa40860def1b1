"""What a publish reads of a real lake before it decides: each table's log once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import DECISIONS, TableRef
from millstream.landing.run import Landing, in_memory
from millstream.publishing.decide import decide
from millstream.publishing.precedence import in_turn
from millstream.publishing.request import Request
from millstream.publishing.state import look
from tests.support import ledger_tables
from tests.support.publications import TABLE, four, months, verdict, whole

WEATHER = TableRef.parse("silver.weather")
ALWAYS = (TABLE, TABLE.quarantine, DECISIONS)


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """Published once, with broken rows, and run r2 has landed since."""
    root = f"file://{tmp_path}/lake"
    ledger_tables.publish(root, str(TABLE), "r1", read=4, quarantined=1)
    ledger_tables.publish(root, str(WEATHER), "r1", read=1)
    landing = Landing(Storage(root), TABLE.name, "r2")
    landing.commit(["2013-01"], [landing.land("drop", "a.csv", in_memory(b"a"))])
    return root


@pytest.mark.parametrize(
    ("request_", "places"),
    [
        (months("r2", "2013-01"), ALWAYS),
        (whole("r2", inputs={str(WEATHER): 0, "model.delay": 3}), (*ALWAYS, WEATHER)),
    ],
    ids=["landed", "made of tables"],
)
def test_each_history_is_read_once_and_deciding_reads_none(
    lake: str, monkeypatch: pytest.MonkeyPatch, request_: Request, places: tuple[TableRef, ...]
) -> None:
    opened: Counter[str] = Counter()
    open_log = history._open

    def counting(uri: str, version: int | None = None) -> Any:
        opened[uri] += 1
        return open_log(uri, version)

    monkeypatch.setattr(history, "_open", counting)
    state = look(request_, lake)
    request = in_turn(request_, state.histories)
    name = request.partitions[0] if request.partitions else "all"
    made = decide(request, {name: four()}, 0, verdict(), state)
    assert made.changed
    assert made.has_quarantine
    assert opened == {place.uri(lake): 1 for place in places}


def test_a_look_brings_what_the_run_has_landed_and_what_later_runs_have(lake: str) -> None:
    later = Landing(Storage(lake), TABLE.name, "r3")
    file = later.land("drop", "b.csv", in_memory(b"b"))
    later.commit([], [file])
    state = look(months("r2", load="watermark", rows_read=4), lake)
    assert state.manifest is not None
    assert state.manifest.key == "r2"
    assert state.later == {file.path}
    assert state.decisions is None
    assert look(months("r2", "2013-01"), lake).later == frozenset()
