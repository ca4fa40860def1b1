"""Weather: hourly observations at the airports of departure.

The key is the source's own: airport and local hour. When daylight saving time ended on 2013-11-03, hour 1
came twice, so each of the three airports has two observations under one key: the first in file order is
published, the second counts as deduplicated. To keep both, change `primary_key` in the contract to [origin,
time_hour], `KEY` here to ("origin", "observed_utc") and the uniqueness rule in the suite; then raise the
contract's version and run a full refresh.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.transforms import KEPT, Reference, column

SCHEMA = StructType(
    [
        column("origin", "string", "FAA code of the airport", key=True),
        column("observed_local", "timestamp_ntz", "Hour of the observation, local wall clock", key=True),
        column("observed_utc", "timestamp", "Hour of the observation, UTC"),
        column("temp_f", "double", "Temperature, degrees Fahrenheit"),
        column("dewp_f", "double", "Dew point, degrees Fahrenheit"),
        column("humid_pct", "double", "Relative humidity, percent"),
        column("wind_dir_deg", "double", "Wind direction, degrees"),
        column("wind_speed_mph", "double", "Wind speed, miles per hour"),
        column("wind_gust_mph", "double", "Wind gust, miles per hour"),
        column("precip_in", "double", "Precipitation, inches"),
        column("pressure_mb", "double", "Sea level pressure, millibars"),
        column("visib_mi", "double", "Visibility, miles"),
    ]
)
# The source's own key. The hour that daylight saving time repeats has two observations under one key.
KEY = ("origin", "observed_local")
REFERENCES: dict[str, Reference] = {}
CHECKS = {"humidity_is_a_share": "humid_pct IS NULL OR humid_pct BETWEEN 0 AND 100"}


def transform(rows: DataFrame) -> DataFrame:
    return rows.select(
        "origin",
        F.try_make_timestamp_ntz("year", "month", "day", "hour", F.lit(0), F.lit(0)).alias("observed_local"),
        F.col("time_hour").alias("observed_utc"),
        F.col("temp").alias("temp_f"),
        F.col("dewp").alias("dewp_f"),
        F.col("humid").alias("humid_pct"),
        F.col("wind_dir").alias("wind_dir_deg"),
        F.col("wind_speed").alias("wind_speed_mph"),
        F.col("wind_gust").alias("wind_gust_mph"),
        F.col("precip").alias("precip_in"),
        F.col("pressure").alias("pressure_mb"),
        F.col("visib").alias("visib_mi"),
        *KEPT,
    )
