"""A program that runs in an Airflow home and database of its own, with the platform's plugins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from millstream.settings import CHECKOUT

TIMEOUT_S = 250


def run_in(home: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `program` of tests/support to its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")}
    return subprocess.run(
        [sys.executable, str(Path(__file__).with_name(program)), *arguments],
        env={
            **environment,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
