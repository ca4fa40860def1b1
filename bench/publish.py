"""Judging and publishing a staged table against a script that checks and writes the same rows.

    python -m bench.publish [--rows 10000000] [--runs 3] [--warm]

The table and its suite are those of `bench.gate`. The script has one aggregation with the checks, then one
write of the good rows. The platform has the jobs `quality_gate` and `publish`: verdict, split, quarantine
with reasons, counts and content hashes by partition in the commit, constraints. Both write partitions by
month. The script is timed under the settings of the stack's Spark server, as the platform is, and under
Spark's own default of adaptive execution; the ratios are to the better of the two. Runs alternate, after one
warm-up of each; every run writes tables that are not there yet; with `--warm`, over the tables before it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.gate import ROWS, RUNS, Bench, by_default, compared, table_of
from bench.spark_counts import Measured, measure
from millstream import transforms
from millstream.jobs import publish, quality_gate
from millstream.lake.tables import TableRef

TITLE = "Publish"
TABLE = TableRef.parse("silver.flights")


class Published(Bench):
    """The staged table of `bench.gate`, in a lake; whose tables are written new, or over."""

    warm = False
    number = 0

    def gate(self) -> None:
        self.number += 1
        # By the same suite the same rows would not be written once more.
        self.suite_data = {**self.suite_data, "notes": f"run {self.number}"}
        parameters = {**self.suite.parameters, "tomorrow": f"{self.suite.parameters['last_date']} 23:59:59"}
        judged = quality_gate.Args(
            lake_root=self.root,
            table=str(TABLE),
            staged_uri=self.uri,
            staged_version=self.version,
            suite=self.suite_data,
            run="bench",
            parameters=parameters,
        )
        self.verdict = quality_gate.run(self.spark, judged)

    def publish(self) -> None:
        published = publish.run(
            self.spark,
            publish.Args(
                lake_root=self.root,
                table=str(TABLE),
                run="bench",
                sequence=self.number,
                staged_uri=self.uri,
                staged_version=self.version,
                rows_read=self.rows,
                load="full",
                partition_column="month",
                suite=self.suite_data,
                code_version="bench",
            ),
        )
        assert published.changed
        assert published.quarantined == self.verdict.quarantined_rows > 0
        self.written = published.written

    def plain_by_default(self) -> None:
        with by_default(self.spark):
            self.plain("plain_adaptive")

    def plain(self, name: str = "plain") -> None:
        good = self.staged.where("NOT _duplicate AND coalesce(dep_delay_min BETWEEN -120 AND 2880, true)")
        rows = good.select(*transforms.table_of("flights").schema.fieldNames(), "_source_row_id")
        rows.write.format("delta").partitionBy("month").mode("overwrite").save(f"{self.root}/{name}")

    def compare(self, runs: int) -> dict[str, list[Measured]]:
        works: dict[str, Callable[[], Any]] = {
            "checks by hand": self.by_hand,
            "plain write": self.plain,
            "checks by hand, adaptive": self.by_hand_by_default,
            "plain write, adaptive": self.plain_by_default,
            "gate": self.gate,
            "publish": self.publish,
        }
        runs_of: dict[str, list[Measured]] = {name: [] for name in works}
        for number in range(runs + 1):
            if not self.warm:
                for name in ("silver", "plain", "plain_adaptive"):
                    shutil.rmtree(Path(self.root.removeprefix("file://")) / name, ignore_errors=True)
            for name, work in works.items():
                measured = measure(self.spark, work)
                print(f"{name}, run {number}: {measured}", file=sys.stderr, flush=True)
                if number:
                    runs_of[name].append(measured)
            for name in ("plain", "plain_adaptive"):
                plain = self.spark.read.format("delta").load(f"{self.root}/{name}")
                assert plain.count() == self.written
        return runs_of


class PublishedOver(Published):
    warm = True


def run(rows: int = ROWS, runs: int = RUNS, warm: bool = False) -> dict[str, Any]:
    """Figures for `markdown`."""
    result = compared(PublishedOver if warm else Published, rows, runs)
    medians = result["medians"]
    checks, plain = (
        min(medians[name], medians[f"{name}, adaptive"]) for name in ("checks by hand", "plain write")
    )
    return {
        **result,
        "ratio": round((medians["gate"] + medians["publish"]) / (checks + plain), 2),
        "publish_ratio": round(medians["publish"] / plain, 2),
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a table for bench/results."""
    ratios = (
        f"Gate and publish against checks by hand and a plain write, ratio of the medians: "
        f"{result['ratio']:.2f}; publish against the plain write {result['publish_ratio']:.2f}."
    )
    return "\n".join([*table_of(result), "", ratios])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--warm", action="store_true", help="write over tables that are there")
    asked = parser.parse_args()
    print(markdown(run(asked.rows, asked.runs, asked.warm)))
