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

from typing import TYPE_CHECKING

from pyspark.sql import Column, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from millstream.transforms import column, route_history

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

KEY = ("flight_date", "carrier", "flight", "origin")
LABEL = "arrived_late"

LEAD_S = 3600
LATE_MIN = 15.0
# A few flights are hours late; without bounds one of them decides a mean.
DELAY_FLOOR_MIN, DELAY_CEILING_MIN = -60.0, 120.0

_MINUTE_S = 60
_DAY_S = 86_400
_RECENT_S = 10 * _MINUTE_S
_DEPARTURE_POINTS = 12
_OVERDUE_FROM_S = 15 * _MINUTE_S
# A flight that has not left three hours after its time was probably cancelled; when is not known.
_OVERDUE_POINTS = 18
_SEEN_AIRCRAFT_S = 20 * 3600
# A flight's own history reaches from 56 days to 36 hours before it. Landings more than 34 hours after their
# schedule are left out of it, so everything in it has landed before the cutoff.
HISTORY_FROM_S, _HISTORY_TO_S, _LANDED_WITHIN_S = 56 * _DAY_S, 36 * 3600, 34 * 3600
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
        column("aircraft_gap_h", "double", "Hours since the plane's previous scheduled departure, up to 20"),
        column("aircraft_waiting", "int", "1 = that departure had not happened at the cutoff"),
        column("aircraft_delay_min", "double", "Its departure delay, if departed before the cutoff, minutes"),
        column("aircraft_arrival_delay_min", "double", "Its arrival delay, if landed before it, minutes"),
        column(
            "flight_delay_56d_min", "double", "Mean arrival delay of this flight number in 56 days, minutes"
        ),
        *route_history.COLUMNS,
    ]
)
CHECKS = {f"{LABEL}_is_0_or_1": f"{LABEL} IS NULL OR {LABEL} IN (0, 1)"}


def features(tables: dict[str, DataFrame]) -> DataFrame:
    """One row per flight: the columns of `SCHEMA` and `_source_row_id`; runs no action.

    Args:
        tables: those that `millstream.features` declares, by name without the zone ("flights", …).
    """
    flights = _with_schedule(tables["flights"])
    rows = _with_destination(flights, tables["airports"])
    rows = _with_flight_history(_with_aircraft_history(rows))
    rows = _with_origin_state(rows, flights)
    rows = route_history.with_route_history(rows, flights, tables["route_delay_statistics"])
    rows = _with_weather(rows, tables["weather"])
    rows = _with_planes_and_airlines(rows, tables["planes"], tables["airlines"])
    return rows.select(*_output(), "_source_row_id")


def _with_schedule(flights: DataFrame) -> DataFrame:
    """Adds what the schedule tells, and times as seconds since 1970 (UTC)."""
    sched_s = F.unix_seconds("sched_dep_utc")
    return flights.withColumns(
        {
            "sched_hour": F.hour("sched_dep_local"),
            "weekday": F.dayofweek("flight_date"),
            "sched_s": sched_s,
            "cutoff_s": sched_s - LEAD_S,
            "dep_s": F.unix_seconds("dep_utc"),
        }
    )


def _with_destination(flights: DataFrame, airports: DataFrame) -> DataFrame:
    """Adds the destination's place and, from its time zone, when the flight landed (`arr_s`)."""
    places = airports.select(
        F.col("faa").alias("dest"),
        F.col("lat").alias("dest_lat_deg"),
        F.col("lon").alias("dest_lon_deg"),
        F.col("alt_ft").alias("dest_alt_ft"),
        F.col("tzone").alias("_zone"),
    )
    return flights.join(F.broadcast(places), "dest", "left").withColumn("arr_s", _landing_time())


def _landing_time() -> Column:
    """The first moment after the departure at which clocks at the destination show `arr_time` (HHMM).

    Null, that is never known, where the destination's zone is unknown. Where clocks change within a day of
    the departure the smaller offset is taken: rather an hour too late than known too early.
    """
    ahead = [
        F.unix_seconds(F.from_utc_timestamp(moment, F.col("_zone"))) - F.unix_seconds(moment)
        for moment in (F.col("dep_utc"), F.col("dep_utc") + F.expr("INTERVAL 1 DAY"))
    ]
    offset = F.least(*ahead)
    departed = F.col("dep_s") + offset
    clock_s = (F.floor(F.col("arr_time") / 100) * 60 + F.col("arr_time") % 100) * _MINUTE_S
    same_day = departed - departed % _DAY_S + clock_s
    return same_day + F.when(same_day < departed, _DAY_S).otherwise(0) - offset


def _late(delay: str) -> Column:
    return (F.col(delay) > LATE_MIN).cast("int")


def _bounded(delay: str) -> Column:
    return F.least(F.greatest(F.col(delay), F.lit(DELAY_FLOOR_MIN)), F.lit(DELAY_CEILING_MIN))


def _known_at(seconds: str, step_s: int) -> Column:
    """Grid point from which an event is known: the first that is not before it."""
    return F.ceil(F.col(seconds) / step_s).cast("bigint")


def _asked_at(step_s: int) -> Column:
    """Grid point at which a flight asks: the last strictly before its cutoff."""
    return (F.ceil(F.col("cutoff_s") / step_s) - 1).cast("bigint")


def _with_origin_state(rows: DataFrame, flights: DataFrame) -> DataFrame:
    """Adds the origin's departures within 2 hours, and how many flights are overdue there.

    A flight is overdue from 15 minutes to 3 hours after its time, or until it departs. Whether it has
    departed by a grid point is known at that point, whatever it does later.
    """
    overdue_from = F.ceil((F.col("sched_s") + _OVERDUE_FROM_S) / _RECENT_S).cast("bigint")
    departed_at = _known_at("dep_s", _RECENT_S)
    overdue_until = F.least(overdue_from + _OVERDUE_POINTS, departed_at)
    nothing = {"departed": F.lit(0), "late": F.lit(0), "delay": F.lit(0.0), "overdue": F.lit(0)}

    def event(at: Column, **measures: Column) -> Column:
        return F.struct(
            at.alias("_point"), *(value.alias(name) for name, value in {**nothing, **measures}.items())
        )

    departure = F.when(
        F.col("dep_s").isNotNull() & F.col("dep_delay_min").isNotNull(),
        event(
            departed_at,
            departed=F.lit(1),
            late=_late("dep_delay_min"),
            delay=_bounded("dep_delay_min"),
        ),
    )
    becomes_overdue = F.when(overdue_from < overdue_until, event(overdue_from, overdue=F.lit(1)))
    no_longer = F.when(overdue_from < overdue_until, event(overdue_until, overdue=F.lit(-1)))
    changes = (
        flights.select("origin", F.inline(F.array_compact(F.array(departure, becomes_overdue, no_longer))))
        .groupBy("origin", "_point")
        .agg(*[F.sum(name).alias(f"_{name}") for name in nothing])
    )
    by_point = Window.partitionBy("origin").orderBy("_point")
    recent = by_point.rangeBetween(1 - _DEPARTURE_POINTS, 0)
    so_far = by_point.rangeBetween(Window.unboundedPreceding, 0)
    # What is asked comes from `flights`: a plan that used the growing `rows` twice would double.
    asked = flights.select("origin", _asked_at(_RECENT_S).alias("_point")).distinct()
    state = (
        asked.withColumn("_asked", F.lit(True))
        .unionByName(changes, allowMissingColumns=True)
        .select(
            "origin",
            "_point",
            "_asked",
            *[
                F.coalesce(F.sum(name).over(recent), F.lit(0)).alias(name)
                for name in ("_departed", "_late", "_delay")
            ],
            F.coalesce(F.sum("_overdue").over(so_far), F.lit(0)).alias("_overdue"),
        )
        .where("_asked")
        .drop("_asked")
    )
    # Grid points times a few airports: small whatever the number of flights, so the flights are not shuffled.
    return (
        rows.withColumn("_point", _asked_at(_RECENT_S))
        .join(F.broadcast(state), ["origin", "_point"], "left")
        .drop("_point")
    )


def _with_aircraft_history(flights: DataFrame) -> DataFrame:
    """Adds what is known at the cutoff about the plane's previous scheduled departure within 20 hours.

    Null where the tail number is unknown. Which plane flies is taken as planned; its later swap is not known.
    """
    # Some 30 times a year a plane has two departures at one time: which is first must not depend on whether a
    # file or a stream has brought them.
    in_turn = Window.partitionBy("tailnum").orderBy("sched_s", *KEY)
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
        .rangeBetween(-HISTORY_FROM_S, -_HISTORY_TO_S)
    )
    in_time = F.col("arr_s") <= F.col("sched_s") + _LANDED_WITHIN_S
    delay = F.when(in_time, _bounded("arr_delay_min"))
    return rows.withColumn("flight_delay_56d_min", F.avg(delay).over(earlier))


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
        rows.withColumn("_point", _asked_at(3600))
        .join(F.broadcast(latest), ["origin", "_point"], "left")
        .drop("_point")
    )


def _with_planes_and_airlines(rows: DataFrame, planes: DataFrame, airlines: DataFrame) -> DataFrame:
    aircraft = planes.select("tailnum", F.col("year").alias("_built"), "seats", "engine")
    names = airlines.select("carrier", F.col("name").alias("_airline"))
    return rows.join(F.broadcast(aircraft), "tailnum", "left").join(F.broadcast(names), "carrier", "left")


def _output() -> list[Column]:
    """`SCHEMA`'s columns in its order and types; those without an expression are already there by name."""
    made = {
        "cutoff_utc": F.timestamp_seconds("cutoff_s"),
        LABEL: _late("arr_delay_min"),
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
        "origin_departed_2h": F.col("_departed"),
        "origin_delay_2h_min": F.try_divide("_delay", "_departed"),
        "origin_late_share_2h": F.try_divide("_late", "_departed"),
        "origin_overdue": F.col("_overdue"),
    }
    return [
        # By name: over Connect a string type as an object becomes `string collate UTF8_BINARY` in the table.
        made.get(field.name, F.col(field.name)).cast(field.dataType.simpleString()).alias(field.name)
        for field in SCHEMA
    ]
