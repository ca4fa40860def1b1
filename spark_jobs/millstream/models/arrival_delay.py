"""Will a flight arrive more than 15 minutes late? Known one hour before its scheduled departure."""

from __future__ import annotations

from millstream.ml.spec import Candidate, ModelSpec, TabularFeatures, TimeSplit

# No month and no day of the year: a tree that may split on the season learns last summer, not the weather.
NUMBERS = (
    "sched_hour",
    "distance_mi",
    "dest_lat_deg",
    "dest_lon_deg",
    "dest_alt_ft",
    "plane_age_years",
    "plane_seats",
    "wx_precip_in",
    "wx_visib_mi",
    "wx_wind_mph",
    "wx_gust_mph",
    "wx_humid_pct",
    "wx_pressure_mb",
    "origin_departed_2h",
    "origin_delay_2h_min",
    "origin_late_share_2h",
    "origin_overdue",
    "aircraft_gap_h",
    "aircraft_waiting",
    "aircraft_delay_min",
    "aircraft_arrival_delay_min",
    "flight_delay_56d_min",
)
# Switched off: with them the best candidate is no better (docs/models.md has the figures). To switch them on,
# add them to the numbers of `SPEC`.
ROUTE_HISTORY = ("route_late_share", "route_hour_late_share", "route_delay_min")

SPEC = ModelSpec(
    name="arrival_delay",
    description="Will a flight arrive more than 15 minutes late, as known one hour before departure?",
    input_table="gold.arrival_delay_features",
    label="arrived_late",
    key=("month", "flight_date", "carrier", "flight", "origin", "dest"),
    features=TabularFeatures(
        numbers=NUMBERS,
        categories=("carrier", "origin", "weekday", "sched_hour", "plane_engine"),
        tree_categories=("carrier", "origin", "weekday"),
    ),
    split=TimeSplit(column="month", train_until="2013-07", validate_until="2013-09"),
    # Some 60,000 rows order the settings as 190,000 do, at a third of the cost.
    trial_share=1 / 3,
    candidates=(
        Candidate(
            "logistic_regression",
            "logistic_regression",
            (
                {"regParam": 0.001, "elasticNetParam": 0.5, "maxIter": 25},
                {"regParam": 0.01, "elasticNetParam": 0.1, "maxIter": 25},
            ),
        ),
        Candidate(
            "decision_tree",
            "decision_tree",
            ({"maxDepth": 5, "minInstancesPerNode": 200}, {"maxDepth": 8, "minInstancesPerNode": 200}),
        ),
        Candidate(
            "random_forest",
            "random_forest",
            (
                {"numTrees": 20, "maxDepth": 8, "minInstancesPerNode": 50},
                {"numTrees": 20, "maxDepth": 10, "minInstancesPerNode": 50},
            ),
        ),
        Candidate(
            "gradient_boosted_trees",
            "gradient_boosted_trees",
            (
                {"maxIter": 20, "maxDepth": 4, "stepSize": 0.2, "subsamplingRate": 0.5},
                {"maxIter": 20, "maxDepth": 5, "stepSize": 0.2, "subsamplingRate": 0.5},
            ),
        ),
    ),
    partition_column="month",
)
