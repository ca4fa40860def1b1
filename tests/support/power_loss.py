"""A disk that loses its power: what was not forced to it is gone."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# FS_IOC_SHUTDOWN of Linux, as file systems are tested with it; its flag says not to write the journal first.
SHUTDOWN = 0x8004587D
WITHOUT_JOURNAL = 2
SIZE = 64 * 2**20


@contextmanager
def mounted(folder: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """An ext4 disk below `folder`, and what takes its power away and brings it back.

    Skips where none can be mounted: that needs root, and in a container a right of its own.
    """
    image, disk = folder / "disk.img", folder / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE)
    try:
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True, text=True)
        _mount(image, disk)
    except FileNotFoundError as error:
        pytest.skip(f"no file system can be mounted: {error}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no file system can be mounted: {error.stderr.strip()}")

    def power_loss() -> None:
        root = os.open(disk, os.O_RDONLY)
        try:
            fcntl.ioctl(root, SHUTDOWN, struct.pack("I", WITHOUT_JOURNAL))
        finally:
            os.close(root)
        subprocess.run(["umount", str(disk)], check=True)
        _mount(image, disk)

    try:
        yield disk, power_loss
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _mount(image: Path, disk: Path) -> None:
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True, capture_output=True, text=True)
