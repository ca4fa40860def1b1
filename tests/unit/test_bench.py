"""`make bench`: what it can run, and how it answers an unknown name. A benchmark itself is no test."""

from __future__ import annotations

import subprocess
import sys

from millstream.settings import CHECKOUT


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )


def test_every_benchmark_can_be_run_and_shown() -> None:
    probe = (
        "import importlib, bench.__main__ as main\n"
        "for name in main.BENCHMARKS:\n"
        "    module = importlib.import_module(f'bench.{name}')\n"
        "    assert module.TITLE and callable(module.run) and callable(module.markdown), name\n"
    )
    found = python("-c", probe)
    assert found.returncode == 0, found.stderr


def test_an_unknown_benchmark_is_refused_with_the_known_ones() -> None:
    found = python("-m", "bench", "nothing")
    assert found.returncode == 2
    assert (
        "no benchmark nothing; there are: chain, dags, decode, gate, ingest, long_files, marts, own_data,"
        in found.stderr
    )
