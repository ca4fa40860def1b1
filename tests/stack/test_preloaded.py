"""What Airflow's processes import before they fork."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from millstream_stack.services.airflow_preloaded import OWN, PRELOADED
from tests.support.thorough import thorough

SCRIPT = """
import json, logging, sys
from millstream_stack.services.airflow_preloaded import preload
logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
preload(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


# Those of `celery` are the scheduler's.
@pytest.mark.parametrize("command", [*(name for name in PRELOADED if name != "celery"), *thorough("celery")])
def test_every_library_loads_and_no_module_of_ours_stays(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, command], capture_output=True, text=True, check=True, timeout=300
    )
    assert "millstream_stack.services.airflow_preloaded" not in done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & set(OWN)
    heavy = {"great_expectations", "mlflow", "pandas", "pyspark"}
    assert loaded & heavy == (set() if command == "dag-processor" else heavy)
