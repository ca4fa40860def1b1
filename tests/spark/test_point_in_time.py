"""No feature knows what happened at or after a flight's cutoff: changing all of it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.models import model_spec
from millstream.models.arrival_delay import ROUTE_HISTORY
from millstream.transforms import arrival_delay_features as target
from tests.support.reference_silver import DATASETS, silver_rows
from tests.support.route_statistics import by_spark
from tests.support.thorough import thorough

MONTH = 3
# Clocks change on the tenth.
DAYS = range(1, 15)
# Both are the cutoff of flights that leave an hour later; the first lies on the day when clocks change.
MOMENTS = ["2013-03-10 18:00:00", *thorough("2013-03-06 21:30:00")]


@pytest.fixture(scope="module")
def silver(spark: SparkSession) -> Iterator[dict[str, DataFrame]]:
    tables = {name: silver_rows(spark, name, MONTH, DAYS).persist() for name in DATASETS}
    tables["route_delay_statistics"] = by_spark(tables["flights"])
    yield tables
    for table in tables.values():
        table.unpersist()


@pytest.mark.spark
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_happens_after_the_cutoff_changes_no_feature(silver: dict[str, DataFrame], moment: str) -> None:
    at = F.lit(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    as_it_was = _features(silver).persist()
    flights = _flights_otherwise(silver, at)
    otherwise = _features(
        {
            **silver,
            "flights": flights,
            "weather": _weather_otherwise(silver, at),
            "route_delay_statistics": by_spark(flights),
        }
    ).persist()
    known = F.col("cutoff_utc") <= at

    assert as_it_was.where(F.col("cutoff_utc") == at).count() > 0
    before, changed = as_it_was.where(known), otherwise.where(known)
    assert before.exceptAll(changed).count() == 0
    assert before.count() == changed.count()
    # The later flights do see it, or the comparison above would show nothing.
    assert as_it_was.where(~known).exceptAll(otherwise.where(~known)).count() > 1_000
    for features in (as_it_was, otherwise):
        features.unpersist()


@pytest.mark.spark
def test_the_model_reads_only_features(silver: dict[str, DataFrame]) -> None:
    spec = model_spec("arrival_delay")
    offered = set(target.features(silver).columns) - {spec.label, "cutoff_utc"}
    used = {*spec.features.numbers, *spec.features.categories, *spec.features.tree_categories}
    assert used | {*ROUTE_HISTORY} <= offered
    assert not used & {"month", "flight_date"}, "the season is a trap"


def _features(silver: dict[str, DataFrame]) -> DataFrame:
    return target.features(silver).drop(target.LABEL)


def _flights_otherwise(silver: dict[str, DataFrame], at: Column) -> DataFrame:
    """Flights where all that happened at or after `at` went differently.

    A flight has certainly not landed before its departure plus its time in the air.
    """
    departed_later = F.col("dep_utc") >= at
    landed_later = F.timestamp_seconds(F.unix_seconds("dep_utc") + F.col("air_time_min") * 60) >= at
    cancelled = departed_later & (F.col("flight") % 5 == 0)
    clock = F.floor(F.col("arr_time") / 100) * 60 + F.col("arr_time") % 100 + 53
    arrival = (F.floor(clock / 60) % 24 * 100 + clock % 60).cast("int")
    otherwise = {
        "dep_utc": (departed_later, F.col("dep_utc") + F.expr("INTERVAL 3 HOUR")),
        "dep_delay_min": (departed_later, F.col("dep_delay_min") + 180),
        "arr_delay_min": (landed_later, 60 - F.col("arr_delay_min")),
        "arr_time": (landed_later, arrival),
    }
    return silver["flights"].withColumns(
        {
            name: F.when(cancelled, None).when(touched, value).otherwise(F.col(name))
            for name, (touched, value) in otherwise.items()
        }
    )


def _weather_otherwise(silver: dict[str, DataFrame], at: Column) -> DataFrame:
    measured = ("precip_in", "visib_mi", "wind_speed_mph", "wind_gust_mph", "humid_pct", "pressure_mb")
    return silver["weather"].withColumns(
        {name: F.when(F.col("observed_utc") >= at, 77.0).otherwise(F.col(name)) for name in measured}
    )
