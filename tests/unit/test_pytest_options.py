"""Options of the tests that cannot pass are refused before anything is started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from millstream.settings import CHECKOUT


@pytest.mark.parametrize("days", ["1", "0", "-3"])
def test_fewer_days_than_two_are_refused(days: str) -> None:
    command = [sys.executable, "-m", "pytest", f"--days={days}", "--collect-only", __file__]
    refused = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"--days: {days} is too few: the stream reads two halves" in refused.stderr
