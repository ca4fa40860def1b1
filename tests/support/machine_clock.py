"""The wall clock of the processes that a test starts, which it can set while they run."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path


class MachineClock:
    """Shows the machine's own time until it is set.

    Processes that are started with `environment` live by it. It is made by the machine's C compiler.
    """

    @staticmethod
    def can_be_made() -> bool:
        return shutil.which("cc") is not None

    def __init__(self, folder: Path) -> None:
        library, self._file = folder / "set_clock.so", folder / "clock"
        source = Path(__file__).with_name("set_clock.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self._file.write_bytes(struct.pack("=q", 0))
        self.environment = {"LD_PRELOAD": str(library), "MILLSTREAM_FAULT_CLOCK": str(self._file)}

    def set(self, hours: float) -> None:
        """Set it this far from the machine's own time; all processes see it at once."""
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as seconds:
            seconds[:] = struct.pack("=q", round(hours * 3600))

    def now(self) -> datetime:
        (ahead,) = struct.unpack("=q", self._file.read_bytes())
        return datetime.now(UTC) + timedelta(seconds=ahead)
