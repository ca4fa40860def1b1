"""The other side of `bench.ingest`: a plain Spark script with the same tables, checks and row numbers.

    python -m bench.ingest_by_hand DROP_FOLDER OUTPUT_FOLDER

What someone would write who knows that these files have a row a line, and none that is broken.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from bench.gate import checks_by_hand
from bench.handwritten import AIRPORTS, FLIGHTS, PLANES, WEATHER, session
from bench.ingest import REFERENCES
from bench.ingest_platform import made
from bench.sides import Steps, files_below
from millstream.transforms import table_of
from millstream.transforms.arrival_delay_features import features
from millstream.transforms.route_delay_statistics import BINS, LATE_BINS

SILVER = {
    "weather": (WEATHER, ["origin", "observed_local"]),
    "planes": (PLANES, ["tailnum"]),
    "airports": (AIRPORTS, ["faa"]),
    "airlines": ("SELECT carrier, name FROM airlines", ["carrier"]),
}
FEATURES_CHECKS = """
    SELECT count(*) AS rows,
           (SELECT coalesce(sum(size), 0) FROM (SELECT count(*) AS size FROM features
                                                GROUP BY _source_row_id HAVING count(*) > 1)) AS repeated,
           count_if(cutoff_utc IS NULL) AS no_cutoff, count_if(arrived_late NOT IN (0, 1)) AS no_label,
           count_if(sched_hour NOT BETWEEN 0 AND 23) AS hour,
           count_if(distance_mi NOT BETWEEN 1 AND 6000) AS distance,
           count_if(origin_late_share_2h NOT BETWEEN 0 AND 1) AS share,
           count_if(origin_overdue NOT BETWEEN 0 AND 1000) AS overdue,
           count_if(flight_delay_56d_min NOT BETWEEN -60 AND 120) AS delay,
           count_if(wx_visib_mi IS NULL) AS no_weather, count_if(plane_seats IS NULL) AS no_plane,
           avg(arrived_late) AS late
    FROM features
"""

# In the order of BINS.
_ENDS = ("<= -30", "BETWEEN -29 AND -15", "BETWEEN -14 AND 0", "BETWEEN 1 AND 15", "BETWEEN 16 AND 30",
         "BETWEEN 31 AND 60", "BETWEEN 61 AND 120", "> 120")  # fmt: skip
ROUTES = f"""
    SELECT month, carrier, origin, dest, hour(sched_dep_local) AS hour, count(*) AS flights,
           count(delay) AS arrivals, coalesce(sum(delay), 0) AS delay_sum_min,
           coalesce(sum(delay * delay), 0) AS delay_squares_min2, count_if(delay > 15) AS late_arrivals,
           {", ".join(f"count_if(delay {end}) AS {name}" for name, end in zip(BINS, _ENDS, strict=True))}
    FROM (SELECT *, bigint(round(arr_delay_min)) AS delay FROM silver_flights) GROUP BY ALL
"""
ROUTES_CHECKS = f"""
    SELECT count(*) AS rows, sum(flights) AS flights, count_if(arrivals > flights) AS arrivals,
           count_if({" + ".join(BINS)} <> arrivals) AS bins,
           count_if({" + ".join(LATE_BINS)} <> late_arrivals) AS late_bins,
           count_if(hour NOT BETWEEN 0 AND 23) AS hour, count_if(month IS NULL) AS no_month,
           (SELECT coalesce(sum(size), 0) FROM (SELECT count(*) AS size FROM routes
            GROUP BY month, carrier, origin, dest, hour HAVING count(*) > 1)) AS repeated
    FROM routes
"""


class Script:
    """Where the script reads and writes."""

    def __init__(self, drop: Path, out: Path) -> None:
        self.drop, self.out = drop, out
        self.spark = session(out)

    def table(self, name: str) -> DataFrame:
        return self.spark.read.format("delta").load(str(self.out / "lake" / name))

    def write(self, name: str, rows: DataFrame, *partition: str) -> None:
        rows.write.format("delta").partitionBy(*partition).save(str(self.out / "lake" / name))

    def references(self) -> None:
        for name in REFERENCES:
            self.write(
                f"bronze_{name}", self.spark.read.option("header", True).csv(f"{self.drop}/{name}.csv")
            )
            self.table(f"bronze_{name}").createOrReplaceTempView(name)
            statement, key = SILVER[name]
            self.write(name, self.spark.sql(statement).dropDuplicates(key))
            self.table(name).agg(F.count(F.lit(1))).collect()

    def copy(self) -> None:
        """Each file as it is, and its rows with their numbers, since Spark reads no zip files."""
        landed, unpacked = self.out / "lake" / "landed", self.out / "lake" / "unpacked"
        landed.mkdir(parents=True)
        unpacked.mkdir()
        for source in sorted(self.drop.glob("flights_*.zip")):
            archive = landed / source.name
            shutil.copyfile(source, archive)
            with (
                zipfile.ZipFile(archive) as packed,
                io.BufferedReader(packed.open(source.stem), 1 << 20) as lines,  # type: ignore[arg-type]
                (unpacked / source.stem).open("wb") as numbered,
            ):
                numbered.write(b"_source_row," + next(lines))
                numbered.writelines(b"%d,%b" % row for row in enumerate(lines, start=1))

    def bronze(self) -> None:
        rows = self.spark.read.option("header", True).csv(f"{self.out}/lake/unpacked")
        named = rows.withColumn("_source_file", F.col("_metadata.file_name"))
        month = F.regexp_extract("_source_file", r"_(\d{4}-\d{2})\.csv", 1)
        self.write("bronze_flights", named.withColumn("_partition", month), "_partition")

    def silver(self) -> None:
        self.table("bronze_flights").createOrReplaceTempView("flights")
        rows = self.spark.sql(FLIGHTS.format(row_id="concat_ws('#', _source_file, _source_row)"))
        self.write("flights", rows.dropDuplicates(list(table_of("flights").key)), "month")

    def silver_checks(self) -> None:
        rows = self.table("flights")
        for flag, (own, table, other) in table_of("flights").references.items():
            known = self.table(table.removeprefix("silver.")).select(F.col(other).alias("_known"))
            rows = (
                rows.join(F.broadcast(known), F.col(own) == F.col("_known"), "left")
                .withColumn(flag, F.when(F.col(own).isNotNull(), F.col("_known").isNotNull()))
                .drop("_known")
            )
        rows = rows.withColumn("_duplicate", F.lit(False)).withColumn("_malformed", F.array())
        rows.createOrReplaceTempView("staged")
        dates = {"first_date": "2013-01-01", "last_date": "9999-12-31"}
        print(self.spark.sql(checks_by_hand(dates)).collect()[0].asDict(), file=sys.stderr)

    def routes(self) -> None:
        self.table("flights").createOrReplaceTempView("silver_flights")
        self.write("routes", self.spark.sql(ROUTES), "month")

    def routes_checks(self) -> None:
        self.table("routes").createOrReplaceTempView("routes")
        print(self.spark.sql(ROUTES_CHECKS).collect()[0].asDict(), file=sys.stderr)

    def features(self) -> None:
        names = ("flights", "weather", "planes", "airports", "airlines")
        tables = {name: self.table(name) for name in names}
        tables["route_delay_statistics"] = self.table("routes")
        self.write("features", features(tables), "month")

    def features_checks(self) -> None:
        self.table("features").createOrReplaceTempView("features")
        print(self.spark.sql(FEATURES_CHECKS).collect()[0].asDict(), file=sys.stderr)


def main(drop: Path, out: Path) -> dict[str, Any]:
    script, steps = Script(drop, out), Steps()
    began = time.perf_counter()
    script.references()
    references = time.perf_counter() - began
    steps.timed("copy", script.copy)
    steps.timed("bronze", script.bronze)
    steps.timed("silver", script.silver)
    steps.timed("silver checks", script.silver_checks)
    steps.timed("routes", script.routes)
    steps.timed("routes checks", script.routes_checks)
    steps.timed("features", script.features)
    steps.timed("features checks", script.features_checks)
    files, size = files_below(out / "lake")
    return {
        "steps": steps.seconds,
        "references": references,
        "files": files,
        "bytes": size,
        "made": made(script.table("flights"), script.table("features")),
    }


if __name__ == "__main__":
    print(json.dumps(main(*(Path(argument).resolve() for argument in sys.argv[1:]))))
