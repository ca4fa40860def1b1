"""Database servers refuse to run as root: how a test that does starts one all the same."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

NOBODY = 65534


def as_ordinary_user(folder: Path) -> list[str]:
    """What comes in front of a program that must own `folder` as somebody other than root. The program has
    the process id of what it is started with."""
    if os.geteuid() != 0:
        return []
    mapped = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--"]
    if subprocess.run([*mapped, "true"], check=False, capture_output=True).returncode == 0:
        return mapped
    os.chown(folder, NOBODY, NOBODY)
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
