"""Where a local lake may lie: on a file system whose hard links keep writers apart."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import psutil
import pytest

from millstream.errors import ConfigurationError
from millstream.lake.filesystems.file import kind_of_mount
from millstream.lake.storage import Storage
from millstream.settings import Settings
from millstream_stack.supervision.lifecycle import status, up


def refuse_links(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_folder_of_this_machine_is_taken_and_left_as_it_was(tmp_path: Path) -> None:
    Storage(f"file://{tmp_path}/lake").require_safe_for_writers()
    assert list((tmp_path / "lake").iterdir()) == []


def test_without_hard_links_the_stack_does_not_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on FAT: the call is refused by the system."""
    monkeypatch.setattr(os, "link", refuse_links)
    with pytest.raises(
        ConfigurationError, match=rf"cannot lie in .*{settings.home}/lake: it is on a file system"
    ):
        up(settings, lambda line: None)
    assert not any(one.process for one in status(settings))
    assert list(Path(settings.lake_root.removeprefix("file://")).iterdir()) == []


def test_a_network_file_system_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = psutil.disk_partitions(all=True)
    share = kept[0]._replace(mountpoint=str(tmp_path), fstype="nfs4")
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [*kept, share])
    with pytest.raises(
        ConfigurationError, match=rf"cannot lie in {tmp_path}/lake: it is on a network file system \(nfs4\)"
    ):
        Storage(f"file://{tmp_path}/lake").require_safe_for_writers()


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    told = subprocess.run(
        ["stat", "--file-system", "--format", "%T", "/proc"], check=True, capture_output=True, text=True
    )
    assert kind_of_mount(Path("/proc/self")) == told.stdout.strip() == "proc"
    assert kind_of_mount(tmp_path) not in ("proc", "unknown")
