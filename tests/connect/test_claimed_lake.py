"""The claim on the lake of a running server: its own process has it, and what it starts has not."""

from __future__ import annotations

import re

import pytest

from millstream.engines import sessions
from millstream.errors import LakeWriterError
from millstream.lake.storage import CLAIM, Storage
from millstream.settings import Settings
from millstream_stack.services.lake_claim import owner, scratch_path
from tests.connect.test_idle_daemons import process_of


def test_a_running_server_has_its_lake_and_its_python_daemons_have_not(server: Settings) -> None:
    process = process_of(server)
    lake = Storage(server.lake_root)
    holder = f"{owner(str(server.home))} (process {process.pid})"
    with pytest.raises(LakeWriterError, match=re.escape(f"belongs to {holder} already")):
        lake.require_unclaimed("another")

    with sessions.connect(server.connect_url, "claim/1", [], tag="claim") as spark:
        assert len(spark.range(10).mapInArrow(lambda batches: batches, "id long").collect()) == 10
        daemons = process.children()
        assert daemons
        lock = f"{server.lake_root.removeprefix('file://')}/{CLAIM}"
        assert lock in {file.path for file in process.open_files()}
        assert all(lock not in {file.path for file in daemon.open_files()} for daemon in daemons)


def test_it_has_emptied_its_scratch_space_and_works_there(server: Settings) -> None:
    names = [path.name for path in scratch_path(server.home).iterdir()]

    assert any(name.startswith("blockmgr-") for name in names)
    assert "blockmgr-of-a-killed-server" not in names
