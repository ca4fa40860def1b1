"""Decoding clean CSV against Spark's own reader, which numbers no rows and keeps no broken ones.

    python -m bench.decode [--rows 3000000] [--runs 3]

The real flights of 2013, repeated until there are enough rows, in twelve files. Both read all columns as
text and write to nowhere. Spark's reader is told the columns, so that it infers nothing. Runs alternate,
after one warm-up of each. Besides, in this process and without Spark: the two readers of CSV, of which the
platform takes the faster one where it can.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from bench import machine
from bench.gate import print_as_asked, session
from millstream.bronze.decoding import batches
from millstream.bronze.loads import landed_rows
from millstream.bronze.parts import Part
from millstream.contracts.contract import Contract
from millstream.formats.readers import csv
from millstream.lake.storage import Storage
from millstream.landing.manifest import Manifest
from millstream.landing.run import Landing
from millstream.settings import CHECKOUT, Settings
from millstream.sources.files import FilesExtractor
from millstream_demo.reference import reference_file

TITLE = "Decoding CSV"
ROWS, RUNS, FILES = 3_000_000, 3, 12


def from_files(dataset: str, source: dict[str, Any], **more: Any) -> Contract:
    """The contract of `dataset` with other files as its source."""
    real = Contract.load_file(CHECKOUT / "dags" / "datasets" / f"{dataset}.yaml").model_dump(mode="json")
    kept = {"kind": "files", "connection": "drop"}
    return Contract.from_dict({**real, "source": {**kept, **source}, **more}, origin=dataset)


def flights_lines() -> tuple[bytes, list[bytes]]:
    """Header and rows of the real flights."""
    with zipfile.ZipFile(reference_file("flights.csv.zip")) as archive:
        header, *rows = archive.read("flights.csv").splitlines(keepends=True)
    return header, rows


def land(contract: Contract, drop: Path, lake_root: str) -> Manifest:
    landing = Landing(Storage(lake_root), contract.dataset, "bench")
    extractor = FilesExtractor(contract, drop)
    files = [file for piece in extractor.plan([]) for file in extractor.fetch(piece, landing)]
    return landing.commit(sorted({file.partition for file in files if file.partition}), files)


def _medians(works: dict[str, Callable[[], int]], runs: int) -> tuple[int, dict[str, list[float]]]:
    seconds_of: dict[str, list[float]] = {name: [] for name in works}
    rows = set()
    for number in range(runs + 1):
        for name, work in works.items():
            start = time.perf_counter()
            rows.add(work())
            if number:
                seconds_of[name].append(round(time.perf_counter() - start, 2))
    assert len(rows) == 1, rows
    return rows.pop(), seconds_of


def _written_to_nowhere(
    spark: SparkSession, contract: Contract, manifest: Manifest, root: str
) -> Iterator[Any]:
    schema = ", ".join(f"`{name}` string" for name in contract.column_names)
    yield landed_rows(spark, contract, root, manifest)
    files = [f"{root}/{path}" for path in manifest.paths]
    yield spark.read.schema(schema).option("header", True).csv(files)


def run(rows: int = ROWS, runs: int = RUNS) -> dict[str, Any]:
    """Figures for `markdown`."""
    home = Settings().home / "tmp"
    home.mkdir(parents=True, exist_ok=True)
    header, lines = flights_lines()
    lines = (lines * -(-rows // len(lines)))[:rows]
    contract = from_files("flights", {"format": "csv", "path": "flights_{partition}.csv"})
    with tempfile.TemporaryDirectory(dir=home) as folder:
        scratch, root = Path(folder), f"file://{folder}/lake"
        for month in range(FILES):
            content = header + b"".join(lines[month::FILES])
            (scratch / f"flights_2013-{month + 1:02d}.csv").write_bytes(content)
        manifest = land(contract, scratch, root)
        spark = session(scratch)
        try:
            ours, sparks = _written_to_nowhere(spark, contract, manifest, root)

            def noop(frame: Any) -> int:
                frame.write.format("noop").mode("overwrite").save()
                return rows

            assert ours.count() == sparks.count() == rows
            _, seconds_of = _medians(
                {"Millstream": lambda: noop(ours), "Spark's CSV reader": lambda: noop(sparks)}, runs
            )
        finally:
            spark.stop()

    def alone(reader: Callable[..., Any]) -> int:
        read = batches(
            reader(io.BytesIO(content), contract), contract.column_names, Part("f", None, len(content))
        )
        return sum(batch.num_rows for batch in read)

    alone_rows, readers = _medians(
        {"by the column": lambda: alone(csv.rows), "by the row": lambda: alone(csv.records)}, runs
    )
    return {
        "machine": machine.describe(),
        "rows": rows,
        "alone": alone_rows,
        "runs": {**seconds_of, **readers},
        "medians": {name: statistics.median(each) for name, each in {**seconds_of, **readers}.items()},
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a table for bench/results."""
    medians = result["medians"]
    lines = [
        f"{result['machine']}; Spark local[2], 4 GiB; {result['rows']:,} rows in {FILES} files; the readers "
        f"alone: {result['alone']:,} rows in one process.",
        "",
        "| | runs, s | median, s | rows/s |",
        "|---|---|---|---|",
    ]
    for name, each in result["runs"].items():
        rows = result["alone" if name.startswith("by the") else "rows"]
        seconds = " ".join(f"{value:.2f}" for value in each)
        lines.append(f"| {name} | {seconds} | {medians[name]:.2f} | {rows / medians[name]:,.0f} |")
    speed = medians["Spark's CSV reader"] / medians["Millstream"]
    factor = medians["by the row"] / medians["by the column"]
    lines += ["", f"Rows/s of Millstream to those of Spark's reader: {speed:.2f}."]
    lines += [f"By the column to by the row: {factor:.1f} times as fast."]
    return "\n".join(lines)


if __name__ == "__main__":
    print_as_asked(__doc__, run, markdown, ROWS, RUNS)
