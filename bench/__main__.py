"""Run the benchmarks and print their results as bench/README.md shows them: `python -m bench [name ...]`.

A benchmark is a module of this package with `TITLE`, `run() -> dict` and `markdown(result) -> str`.
"""

from __future__ import annotations

import argparse
import importlib

BENCHMARKS = (
    "chain",
    "dags",
    "decode",
    "gate",
    "ingest",
    "long_files",
    "marts",
    "own_data",
    "publish",
    "small",
    "training",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"one of {', '.join(BENCHMARKS)}; default: all"
    )
    names = parser.parse_args().names or BENCHMARKS
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
    for name in names:
        benchmark = importlib.import_module(f"bench.{name}")
        print(f"## {benchmark.TITLE}\n\n{benchmark.markdown(benchmark.run())}\n", flush=True)


if __name__ == "__main__":
    main()
