"""A file system small enough to be filled, mounted for a test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(disk: Path, size: int) -> Iterator[Path]:
    """What the folder `disk` holds already is out of sight as long as the disk lies over it."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    disk.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "millstream-fault", str(disk)]
    subprocess.run(mount, check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """A file that takes all of the disk but `leave` bytes."""
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * max(0, free(disk) - leave))
    return ballast


def free(disk: Path) -> int:
    """Bytes that can still be written."""
    space = os.statvfs(disk)
    return space.f_bavail * space.f_frsize
