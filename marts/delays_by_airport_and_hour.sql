/*
description: When flights leave late, by airport of departure and scheduled hour.
tags: [aviation]
key: [origin, hour]
columns:
  origin: FAA code of the airport of departure
  hour: Local hour of the scheduled departure, 0 to 23
  flights: Scheduled departures
  cancelled: Those that never departed
  dep_delay_min: Mean departure delay, minutes
  arr_delay_min: Mean arrival delay, minutes
  late_share: Share of the arrivals more than 15 minutes late
chart: {x: hour, y: dep_delay_min, by: origin}
*/
SELECT
  origin,
  hour(sched_dep_local) AS hour,
  count(*) AS flights,
  count_if(cancelled) AS cancelled,
  round(avg(dep_delay_min), 2) AS dep_delay_min,
  round(avg(arr_delay_min), 2) AS arr_delay_min,
  round(try_divide(count_if(arr_delay_min > 15), count(arr_delay_min)), 4) AS late_share
FROM silver.flights
GROUP BY ALL
