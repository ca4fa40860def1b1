"""Features for "will this flight arrive more than 15 minutes late?", as known one hour before departure.

Every feature of a flight uses only what had happened strictly before its *cutoff*: `LEAD_S` seconds before
the scheduled departure. What is fixed long before (schedule, aircraft, airports) may be used freely; what
happens (departures, landings, weather) is an event with a time, and counts only from then on.

Events are summed on a time grid: an event is known from the first grid point that is not before it, and a
flight asks at the last grid point strictly before its cutoff, so an event at or after the cutoff can never
be seen whatever the grid's step. The grid keeps a year of flights cheap: small sums per grid point are
rolled up and joined by equality, instead of a range join of events to flights. (Point-in-time correctness
as in https://docs.databricks.com/aws/en/machine-learning/feature-store/time-series.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import Column, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.transforms import column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

INPUTS = ("silver.flights", "silver.weather", "silver.planes", "silver.airports", "silver.airlines")
KEY = ("flight_date", "carrier", "flight", "origin")
PARTITION = "month"
LABEL = "arrived_late"

LEAD_S = 3600
LATE_MIN = 15.0
# A few flights are hours late; without bounds one of them decides a mean.
DELAY_FLOOR_MIN, DELAY_CEILING_MIN = -60.0, 120.0

_MINUTE_S = 60
_DAY_S = 86_400
_RECENT_S = 10 * _MINUTE_S
_OVERDUE_FROM_S = 15 * _MINUTE_S
# A flight that has not left three hours after its time was probably cancelled; nobody tells us when.
_OVERDUE_POINTS = 18
_SEEN_AIRCRAFT_S = 20 * 3600
# A flight's own history reaches from 56 days to 36 hours before it. Landings more than 34 hours after their
# schedule are left out of it, so everything in it has landed before the cutoff.
_HISTORY_FROM_S, _HISTORY_TO_S, _LANDED_WITHIN_S = 56 * _DAY_S, 36 * 3600, 34 * 3600
_WEATHER_HOURS = 3

SCHEMA = StructType(
    [
        column("month", "string", "Month of the scheduled departure, YYYY-MM (partition)", key=True),
        column("flight_date", "date", "Local date of the scheduled departure", key=True),
        column("carrier", "string", "IATA carrier code", key=True),
        column("flight", "int", "Flight number", key=True),
        column("origin", "string", "FAA code of the airport of departure", key=True),
        column("dest", "string", "FAA code of the airport of destination"),
        column("cutoff_utc", "timestamp", "Prediction time: one hour before the scheduled departure"),
        column(
            LABEL, "int", "LABEL, known only after landing: 1 = more than 15 minutes late; null = no arrival"
        ),
        column("airline", "string", "Airline's name, or its code where the name is unknown"),
        column("sched_hour", "int", "Local hour of the scheduled departure, 0-23"),
        column("weekday", "int", "Local day of the week, 1 = Sunday"),
        column("distance_mi", "double", "Distance between the airports, miles"),
        column("origin_hour_flights", "bigint", "Departures scheduled from the origin in the same hour"),
        column("dest_lat_deg", "double", "Latitude of the destination, degrees north"),
        column("dest_lon_deg", "double", "Longitude of the destination, degrees east"),
        column("dest_alt_ft", "int", "Altitude of the destination, feet"),
        column("plane_age_years", "int", "Year of the flight minus the plane's year of manufacture"),
        column("plane_seats", "int", "Seats of the plane"),
        column("plane_engine", "string", "Type of the plane's engines"),
        column("wx_precip_in", "double", "Precipitation at the last observation before the cutoff, inches"),
        column("wx_visib_mi", "double", "Visibility at that observation, miles"),
        column("wx_wind_mph", "double", "Wind speed at that observation, miles per hour"),
        column("wx_gust_mph", "double", "Gusts at that observation, miles per hour; null without gusts"),
        column("wx_humid_pct", "double", "Relative humidity at that observation, percent"),
        column("wx_pressure_mb", "double", "Sea level pressure at that observation, millibar"),
        column("origin_departed_2h", "bigint", "Departures from the origin within 2 hours before the cutoff"),
        column("origin_delay_2h_min", "double", "Their mean delay, minutes"),
        column("origin_late_share_2h", "double", "Share of them more than 15 minutes late"),
        column(
            "origin_overdue", "bigint", "Flights at the origin 15 minutes to 3 hours overdue at the cutoff"
        ),
        column(
            "landed_late_share_3h", "double", "Share late of all landings within 3 hours before the cutoff"
        ),
        column("aircraft_gap_h", "double", "Hours since the plane's previous scheduled departure, up to 20"),
        column("aircraft_waiting", "int", "1 = that departure had not happened at the cutoff"),
        column("aircraft_delay_min", "double", "Its departure delay, if departed before the cutoff, minutes"),
        column("aircraft_arrival_delay_min", "double", "Its arrival delay, if landed before it, minutes"),
        column(
            "carrier_late_share_28d", "double", "Share late of the carrier's landings, same origin, 28 days"
        ),
        column(
            "flight_delay_56d_min", "double", "Mean arrival delay of this flight number in 56 days, minutes"
        ),
        column("hour_late_share_28d", "double", "Share late of landings from this origin and hour, 28 days"),
    ]
)
CHECKS = {f"{LABEL}_is_0_or_1": f"{LABEL} IS NULL OR {LABEL} IN (0, 1)"}


@dataclass(frozen=True)
class Rolling:
    """Sums over the last `points` grid points, up to the one at which a flight asks.

    keys: columns that a flight shares with the events it looks at; step_s: the grid's step in seconds;
    sums: output column -> column of the events.
    """

    keys: tuple[str, ...]
    step_s: int
    points: int
    sums: dict[str, str]


AFTER_DEPARTURES = (
    Rolling(
        ("origin",),
        _RECENT_S,
        12,
        {"origin_departed_2h": "happened", "_origin_late": "late", "_origin_delay": "delay"},
    ),
)
AFTER_LANDINGS = (
    Rolling((), _RECENT_S, 18, {"_landed_3h": "happened", "_late_3h": "late"}),
    Rolling(("origin", "carrier"), _DAY_S, 28, {"_carrier_landed": "happened", "_carrier_late": "late"}),
    Rolling(("origin", "sched_hour"), _DAY_S, 28, {"_hour_landed": "happened", "_hour_late": "late"}),
)


def features(silver: dict[str, DataFrame]) -> DataFrame:
    """One row per flight: the columns of `SCHEMA` and `_source_row_id`; runs no action.

    Args:
        silver: the tables of `INPUTS` by name ("flights", "weather", "planes", "airports", "airlines").
    """
    flights = _with_event_times(silver["flights"], silver["airports"])
    departures = _events(flights, "dep_s", "dep_delay_min")
    landings = _events(flights, "arr_s", "arr_delay_min")
    rows = _with_aircraft_history(flights)
    rows = _with_flight_history(rows)
    for rolling in AFTER_DEPARTURES:
        rows = _with_rolling(rows, flights, departures, rolling)
    for rolling in AFTER_LANDINGS:
        rows = _with_rolling(rows, flights, landings, rolling)
    rows = _with_overdue(rows, flights)
    rows = _with_origin_traffic(rows, flights)
    rows = _with_weather(rows, silver["weather"])
    rows = _with_planes_and_airlines(rows, silver["planes"], silver["airlines"])
    return rows.select(*_output(), "_source_row_id")


def _with_event_times(flights: DataFrame, airports: DataFrame) -> DataFrame:
    """Adds the destination, what the schedule tells, and times as seconds since 1970 (UTC)."""
    places = airports.select(
        F.col("faa").alias("dest"),
        F.col("lat").alias("dest_lat_deg"),
        F.col("lon").alias("dest_lon_deg"),
        F.col("alt_ft").alias("dest_alt_ft"),
        F.col("tzone").alias("_zone"),
    )
    sched_s = F.unix_seconds("sched_dep_utc")
    timed = (
        flights.join(F.broadcast(places), "dest", "left")
        .join(F.broadcast(_zone_offsets(flights, places)), ["_zone", "flight_date"], "left")
        .withColumns(
            {
                "sched_hour": F.hour("sched_dep_local"),
                "weekday": F.dayofweek("flight_date"),
                "sched_s": sched_s,
                "cutoff_s": sched_s - LEAD_S,
                "dep_s": F.unix_seconds("dep_utc"),
            }
        )
    )
    return timed.withColumn("arr_s", _landing_time())


def _zone_offsets(flights: DataFrame, places: DataFrame) -> DataFrame:
    """Seconds that each time zone is ahead of UTC, by flight date: asking once a day is fast.

    Where clocks change, the smaller of the two: it puts a landing an hour too late rather than too early.
    """
    days = flights.select("flight_date").distinct()
    midnight = F.unix_seconds(F.col("flight_date").cast("timestamp"))
    around = [midnight, midnight + 2 * _DAY_S]
    ahead = [
        F.unix_seconds(F.from_utc_timestamp(F.timestamp_seconds(at), F.col("_zone"))) - at for at in around
    ]
    zones = places.select("_zone").where("_zone IS NOT NULL").distinct()
    return days.crossJoin(F.broadcast(zones)).select(
        "_zone", "flight_date", F.least(*ahead).alias("_ahead_s")
    )


def _landing_time() -> Column:
    """The first moment after the departure at which clocks at the destination show `arr_time` (HHMM).

    Null, that is never known, where the destination's zone is unknown.
    """
    departed = F.col("dep_s") + F.col("_ahead_s")
    clock_s = (F.floor(F.col("arr_time") / 100) * 60 + F.col("arr_time") % 100) * _MINUTE_S
    same_day = departed - departed % _DAY_S + clock_s
    return same_day + F.when(same_day < departed, _DAY_S).otherwise(0) - F.col("_ahead_s")


def _events(flights: DataFrame, at: str, delay: str) -> DataFrame:
    """Departures or landings: whose (the keys), when (`event_s`), and `happened` 1, `late` 0/1, `delay`."""
    return flights.where(F.col(at).isNotNull() & F.col(delay).isNotNull()).select(
        *("carrier", "origin", "sched_hour"),
        F.col(at).alias("event_s"),
        F.lit(1).alias("happened"),
        (F.col(delay) > LATE_MIN).cast("int").alias("late"),
        _bounded(delay).alias("delay"),
    )


def _bounded(delay: str) -> Column:
    return F.least(F.greatest(F.col(delay), F.lit(DELAY_FLOOR_MIN)), F.lit(DELAY_CEILING_MIN))


def _known_at(seconds: str, step_s: int) -> Column:
    """Grid point from which an event is known: the first that is not before it."""
    return F.ceil(F.col(seconds) / step_s).cast("bigint")


def _asked_at(step_s: int) -> Column:
    """Grid point at which a flight asks: the last strictly before its cutoff."""
    return (F.ceil(F.col("cutoff_s") / step_s) - 1).cast("bigint")


def _with_rolling(rows: DataFrame, flights: DataFrame, events: DataFrame, rolling: Rolling) -> DataFrame:
    """Adds the sums of `rolling`; what is asked comes from `flights`, because a plan that used the growing
    `rows` twice at every step would double with each one."""
    keys = list(rolling.keys)
    point = _asked_at(rolling.step_s)
    asked = flights.select(*keys, point.alias("_point")).distinct().withColumn("_asked", F.lit(True))
    happened = (
        events.withColumn("_point", _known_at("event_s", rolling.step_s))
        .groupBy(*keys, "_point")
        .agg(*[F.sum(column).alias(name) for name, column in rolling.sums.items()])
    )
    frame = Window.partitionBy(*keys).orderBy("_point").rangeBetween(1 - rolling.points, 0)
    sums = (
        asked.unionByName(happened, allowMissingColumns=True)
        .withColumns({name: F.coalesce(F.sum(name).over(frame), F.lit(0)) for name in rolling.sums})
        .where("_asked")
        .drop("_asked")
    )
    # Grid points times a few keys: small whatever the number of flights, so the wide rows are not shuffled.
    return rows.withColumn("_point", point).join(F.broadcast(sums), [*keys, "_point"], "left").drop("_point")


def _with_aircraft_history(flights: DataFrame) -> DataFrame:
    """Adds what is known at the cutoff about the plane's previous scheduled departure within 20 hours.

    Null where the tail number is unknown. Which plane flies is taken as planned; its later swap is not known.
    """
    in_turn = Window.partitionBy("tailnum").orderBy("sched_s", "_source_row_id")
    previous = F.struct(
        "sched_s",
        "dep_s",
        "arr_s",
        _bounded("dep_delay_min").alias("left"),
        _bounded("arr_delay_min").alias("landed"),
    )
    before = F.col("_before")
    gap_s = F.col("sched_s") - before.sched_s
    return (
        flights.withColumn("_before", F.lag(previous).over(in_turn))
        .withColumn(
            "_before",
            F.when(F.col("tailnum").isNotNull() & (gap_s <= _SEEN_AIRCRAFT_S), before),
        )
        .withColumns(
            {
                "aircraft_gap_h": gap_s / 3600,
                "aircraft_waiting": F.when(before.isNotNull(), ~_happened_before_cutoff(before.dep_s)),
                "aircraft_delay_min": F.when(_happened_before_cutoff(before.dep_s), before.left),
                "aircraft_arrival_delay_min": F.when(_happened_before_cutoff(before.arr_s), before.landed),
            }
        )
        .drop("_before")
    )


def _happened_before_cutoff(at: Column) -> Column:
    return F.coalesce(at < F.col("cutoff_s"), F.lit(False))


def _with_flight_history(rows: DataFrame) -> DataFrame:
    """Adds the mean arrival delay of earlier flights with the same number."""
    earlier = (
        Window.partitionBy("carrier", "flight")
        .orderBy("sched_s")
        .rangeBetween(-_HISTORY_FROM_S, -_HISTORY_TO_S)
    )
    in_time = F.col("arr_s") <= F.col("sched_s") + _LANDED_WITHIN_S
    delay = F.when(in_time, _bounded("arr_delay_min"))
    return rows.withColumn("flight_delay_56d_min", F.avg(delay).over(earlier))


def _with_overdue(rows: DataFrame, flights: DataFrame) -> DataFrame:
    """Adds how many flights of the origin should have left 15 minutes ago or more and have not.

    Whether a flight has left by a grid point is known at that point, whatever it does later.
    """
    first = F.ceil((F.col("sched_s") + _OVERDUE_FROM_S) / _RECENT_S).cast("bigint")
    last = F.least(first + _OVERDUE_POINTS, _known_at("dep_s", _RECENT_S) - 1)
    overdue = (
        flights.select("origin", first.alias("_first"), last.alias("_last"))
        .where("_first <= _last")
        .select("origin", F.explode(F.sequence("_first", "_last")).alias("_point"))
        .groupBy("origin", "_point")
        .agg(F.count("*").alias("_overdue"))
    )
    return (
        rows.withColumn("_point", _asked_at(_RECENT_S))
        .join(F.broadcast(overdue), ["origin", "_point"], "left")
        .withColumn("origin_overdue", F.coalesce("_overdue", F.lit(0)))
        .drop("_point", "_overdue")
    )


def _with_origin_traffic(rows: DataFrame, flights: DataFrame) -> DataFrame:
    traffic = flights.groupBy("origin", "flight_date", "sched_hour").agg(
        F.count("*").alias("origin_hour_flights")
    )
    return rows.join(F.broadcast(traffic), ["origin", "flight_date", "sched_hour"], "left")


def _with_weather(rows: DataFrame, weather: DataFrame) -> DataFrame:
    """Adds the latest observation at the origin before the cutoff, at most `_WEATHER_HOURS` old."""
    measured = ("precip_in", "visib_mi", "wind_speed_mph", "wind_gust_mph", "humid_pct", "pressure_mb")
    # An observation answers for its own hour and the ones after it, until a newer one exists.
    hours = F.sequence(F.col("_seen"), F.col("_seen") + _WEATHER_HOURS - 1)
    latest = (
        weather.withColumn("_observed_s", F.unix_seconds("observed_utc"))
        .withColumn("_seen", _known_at("_observed_s", 3600))
        .withColumn("_point", F.explode(hours))
        .groupBy("origin", "_point")
        .agg(F.max_by(F.struct(*measured), "_observed_s").alias("_weather"))
    )
    return (
        rows.withColumn("_point", _asked_at(3600)).join(latest, ["origin", "_point"], "left").drop("_point")
    )


def _with_planes_and_airlines(rows: DataFrame, planes: DataFrame, airlines: DataFrame) -> DataFrame:
    aircraft = planes.select("tailnum", F.col("year").alias("_built"), "seats", "engine")
    names = airlines.select("carrier", F.col("name").alias("_airline"))
    return rows.join(F.broadcast(aircraft), "tailnum", "left").join(F.broadcast(names), "carrier", "left")


def _output() -> list[Column]:
    """`SCHEMA`'s columns in its order and types; those without an expression are already there by name."""
    made = {
        "cutoff_utc": F.timestamp_seconds("cutoff_s"),
        LABEL: (F.col("arr_delay_min") > LATE_MIN).cast("int"),
        "airline": F.coalesce("_airline", "carrier"),
        "plane_age_years": F.year("flight_date") - F.col("_built"),
        "plane_seats": F.col("seats"),
        "plane_engine": F.col("engine"),
        "wx_precip_in": F.col("_weather.precip_in"),
        "wx_visib_mi": F.col("_weather.visib_mi"),
        "wx_wind_mph": F.col("_weather.wind_speed_mph"),
        "wx_gust_mph": F.col("_weather.wind_gust_mph"),
        "wx_humid_pct": F.col("_weather.humid_pct"),
        "wx_pressure_mb": F.col("_weather.pressure_mb"),
        "origin_delay_2h_min": F.try_divide("_origin_delay", "origin_departed_2h"),
        "origin_late_share_2h": F.try_divide("_origin_late", "origin_departed_2h"),
        "landed_late_share_3h": F.try_divide("_late_3h", "_landed_3h"),
        "carrier_late_share_28d": F.try_divide("_carrier_late", "_carrier_landed"),
        "hour_late_share_28d": F.try_divide("_hour_late", "_hour_landed"),
    }
    return [
        made.get(field.name, F.col(field.name)).cast(field.dataType).alias(field.name) for field in SCHEMA
    ]
