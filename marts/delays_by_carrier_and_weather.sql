/*
description: How much each airline's departures suffer from the weather at the airport.
tags: [aviation]
key: [carrier, weather]
columns:
  carrier: IATA carrier code
  airline: Airline's name, or its code where the name is unknown
  weather: Worst of the hour - wet, poor sight (below 3 miles), wind (20 miles per hour or more), fair; or not observed
  flights: Scheduled departures
  cancelled_share: Share of them that never departed
  dep_delay_min: Mean departure delay, minutes
chart: {x: carrier, y: dep_delay_min, by: weather}
*/
SELECT
  f.carrier,
  coalesce(max(a.name), f.carrier) AS airline,
  CASE
    WHEN w.origin IS NULL THEN 'not observed'
    WHEN w.precip_in > 0 THEN 'wet'
    WHEN w.visib_mi < 3 THEN 'poor sight'
    WHEN w.wind_speed_mph >= 20 THEN 'wind'
    ELSE 'fair'
  END AS weather,
  count(*) AS flights,
  round(count_if(f.cancelled) / count(*), 4) AS cancelled_share,
  round(avg(f.dep_delay_min), 2) AS dep_delay_min
FROM silver.flights AS f
LEFT JOIN silver.weather AS w
  ON w.origin = f.origin AND w.observed_local = date_trunc('HOUR', f.sched_dep_local)
LEFT JOIN silver.airlines AS a ON a.carrier = f.carrier
GROUP BY f.carrier, 3
