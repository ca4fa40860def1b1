"""Documents whose steps need Spark are run with the Spark tests' own session and chain."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_SPARK_TESTS = Path(__file__).parents[1] / "spark"

# Two files called conftest cannot be told apart by a plain import.
_spec = spec_from_file_location("spark_conftest", _SPARK_TESTS / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_module = module_from_spec(_spec)
_spec.loader.exec_module(_module)

spark = _module.spark
sys.path.append(str(_SPARK_TESTS))
