"""Delays by airport, carrier and hour of all events up to one position of their stream, made at once.

`aggregate` is the one definition of these figures: the view that the stream keeps up is made by it too, and
has the same columns (`millstream.streams.views`).
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.transforms import column

# As of silver.flights' label: an arrival or departure of more than 15 minutes behind its time.
LATE_MIN = 15
FIGURES = (
    *("scheduled", "cancelled", "departed", "late_departures", "departure_delay_min"),
    *("arrived", "late_arrivals", "arrival_delay_min"),
)
KEY = ("airport", "carrier", "hour")
AS_OF = "as_of"
COLUMNS = (*KEY, *FIGURES, AS_OF)

SCHEMA = StructType(
    [
        column("airport", "string", "FAA code of the airport of departure", key=True),
        column("carrier", "string", "IATA carrier code", key=True),
        column("hour", "timestamp", "Hour of the events, UTC", key=True),
        column("scheduled", "bigint", "Flights announced"),
        column("cancelled", "bigint", "Flights cancelled"),
        column("departed", "bigint", "Departures"),
        column("late_departures", "bigint", "Departures more than 15 minutes late"),
        column("departure_delay_min", "bigint", "Sum of departure delays, minutes; negative is early"),
        column("arrived", "bigint", "Arrivals"),
        column("late_arrivals", "bigint", "Arrivals more than 15 minutes late"),
        column("arrival_delay_min", "bigint", "Sum of arrival delays, minutes; negative is early"),
        column(AS_OF, "bigint", "Position of the stream whose events these are all of", key=True),
    ]
)
CHECKS = {
    "late_departures_are_departures": "late_departures BETWEEN 0 AND departed",
    "late_arrivals_are_arrivals": "late_arrivals BETWEEN 0 AND arrived",
}


def aggregate(events: DataFrame) -> DataFrame:
    """Figures of `silver.flight_events` by airport of departure, carrier and hour of the event (UTC).

    Columns: airport, carrier, hour (timestamp), then whole numbers that add up: events of each type, those
    more than 15 minutes late, and sums of delays in minutes (negative is early). Ratios are made by who
    reads them. A delay that is not known counts for nothing.
    """
    departures, arrivals = F.col("event_type") == "departed", F.col("event_type") == "arrived"
    left, arrived = F.col("dep_delay_min").cast("bigint"), F.col("arr_delay_min").cast("bigint")
    return events.groupBy(
        F.col("origin").alias("airport"), "carrier", F.date_trunc("hour", "event_time").alias("hour")
    ).agg(
        F.count_if(F.col("event_type") == "scheduled").alias("scheduled"),
        F.count_if(F.col("event_type") == "cancelled").alias("cancelled"),
        F.count_if(departures).alias("departed"),
        F.count_if(departures & (left > LATE_MIN)).alias("late_departures"),
        F.coalesce(F.sum(F.when(departures, left)), F.lit(0)).alias("departure_delay_min"),
        F.count_if(arrivals).alias("arrived"),
        F.count_if(arrivals & (arrived > LATE_MIN)).alias("late_arrivals"),
        F.coalesce(F.sum(F.when(arrivals, arrived)), F.lit(0)).alias("arrival_delay_min"),
    )


def features(tables: dict[str, DataFrame]) -> DataFrame:
    """All groups, but for the position, which is that of the pinned version.

    Args:
        tables: has "flight_events".
    """
    identity = F.concat_ws("/", *KEY).alias("_source_row_id")
    return aggregate(tables["flight_events"]).select(*KEY, *FIGURES, identity)
