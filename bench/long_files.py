"""One long file from its source to bronze: seconds, and the memory of the processes that read it.

    python -m bench.long_files [--gigabytes 10] [--format csv.gz]

Ten of the real flights of 2013 make one quoted text; they are repeated until the file, or what is packed in
it, is long enough. Spark has a heap of 4 GiB. Memory is the resident size, sampled ten times a second: of
this process while it lands, and of the largest of Spark's Python workers.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from bench import machine
from bench.decode import flights_lines, from_files, land
from bench.gate import session
from bench.memory import Peak
from millstream import jobs
from millstream.settings import Settings

TITLE = "Long files"
GIGABYTES = 3.0


def _write(path: Path, file_format: str, size: float) -> None:
    _, flights = flights_lines()
    texts = [b";".join(line.strip() for line in flights[at : at + 10]) for at in range(0, len(flights), 10)]
    if file_format == "jsonl.gz":
        rows = [json.dumps({"number": number, "text": text.decode()}) for number, text in enumerate(texts)]
        header, year = b"", "".join(f"{row}\n" for row in rows).encode()
    else:
        year = b"".join(
            b'%d,"%b"\n' % (number, text.replace(b",", b", ")) for number, text in enumerate(texts)
        )
        header = b"number,text\n"
    with _content(path, file_format) as content:
        written = content.write(header)
        while written < size:
            written += content.write(year)


@contextmanager
def _content(path: Path, file_format: str) -> Iterator[IO[bytes]]:
    match file_format:
        case "csv":
            with path.open("wb") as plain:
                yield plain
        case "csv.zip":
            with (
                zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
                archive.open("flights.csv", "w", force_zip64=True) as member,
            ):
                yield member
        case _:
            with gzip.open(path, "wb", compresslevel=1) as packed:
                yield cast(IO[bytes], packed)


def run(gigabytes: float = GIGABYTES, file_format: str = "csv") -> dict[str, Any]:
    """Figures for `markdown`."""
    home = Settings().home / "tmp"
    home.mkdir(parents=True, exist_ok=True)
    contract = from_files(
        "flights",
        {"format": file_format, "path": f"flights.{file_format}"},
        load="full",
        partition=None,
        columns=[{"name": name, "type": "string", "description": name} for name in ("number", "text")],
        primary_key=["number"],
        event_time=None,
    )
    with tempfile.TemporaryDirectory(dir=home) as folder:
        scratch, root = Path(folder), f"file://{folder}/lake"
        path = scratch / f"flights.{file_format}"
        _write(path, file_format, gigabytes * 1e9)
        peak = Peak()
        start = time.perf_counter()
        manifest = land(contract, scratch, root)
        landed = time.perf_counter() - start
        own = peak.own
        spark = session(scratch)
        try:
            start = time.perf_counter()
            arguments = {"lake_root": root, "run": "bench", "contract": contract.model_dump(mode="json")}
            loaded = jobs.execute(spark, "load_bronze", arguments)
            seconds = time.perf_counter() - start
        finally:
            peak.end()
            spark.stop()
    return {
        "machine": machine.describe(),
        "format": file_format,
        "gigabytes": gigabytes,
        "bytes": manifest.files[0].size,
        "pieces": len(manifest.files[0].pieces),
        "rows": loaded["rows"],
        "landed": landed,
        "loaded": seconds,
        "own": own,
        "worker": peak.worker,
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a table for bench/results."""
    return "\n".join(
        [
            f"{result['machine']}; Spark local[2], 4 GiB.",
            "",
            "| format | content, GB | landed, GB | pieces | rows | land, s | peak, MB | bronze, s | "
            "a worker's peak, MB |",
            "|---|---|---|---|---|---|---|---|---|",
            f"| {result['format']} | {result['gigabytes']:.1f} | {result['bytes'] / 1e9:.2f} | "
            f"{result['pieces']} | {result['rows']:,} | {result['landed']:.1f} | {result['own'] / 1e6:.0f} | "
            f"{result['loaded']:.1f} | {result['worker'] / 1e6:.0f} |",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=GIGABYTES)
    parser.add_argument("--format", default="csv", choices=("csv", "csv.gz", "csv.zip", "jsonl.gz"))
    asked = parser.parse_args()
    print(markdown(run(asked.gigabytes, asked.format)))
