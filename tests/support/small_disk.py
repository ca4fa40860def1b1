"""A file system small enough to be filled, mounted for a test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def mounted(disk: Path, size: int) -> Iterator[Path]:
    """What the folder `disk` holds already is out of sight as long as the disk lies over it.

    Skips where none can be mounted: that needs root, and in a container a right of its own.
    """
    disk.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "millstream-fault", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.skip(f"no file system can be mounted: {error}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no file system can be mounted: {error.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """A file that takes all of the disk but `leave` bytes."""
    ballast = disk / "ballast"
    # Others may write meanwhile: full is full.
    with suppress(OSError):
        ballast.write_bytes(b"\0" * max(0, free(disk) - leave))
    return ballast


def free(disk: Path) -> int:
    """Bytes that can still be written."""
    space = os.statvfs(disk)
    return space.f_bavail * space.f_frsize
