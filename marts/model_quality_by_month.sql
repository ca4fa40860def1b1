/*
description: How well the arrival delay model answers, by month; months up to September are those it learned from.
tags: [aviation, model]
key: [month]
partition: month
columns:
  month: Month of the scheduled departure, YYYY-MM
  model_version: Newest version of the model that answered
  flights: Flights with a known arrival
  late_share: Share of them more than 15 minutes late
  predicted_share: Share of them predicted to be late
  precision: Share of the predicted ones that were late
  recall: Share of the late ones that were predicted
  auc: Area under the ROC curve; 0.5 is chance
chart: {x: month, y: auc}
*/
WITH answered AS (
  SELECT
    p.month,
    p.model_version,
    p.predicted,
    f.arrived_late = 1 AS late,
    rank() OVER (PARTITION BY p.month ORDER BY p.probability)
      + (count(*) OVER (PARTITION BY p.month, p.probability) - 1) / 2 AS position
  FROM gold.arrival_delay_predictions AS p
  JOIN gold.arrival_delay_features AS f USING (month, flight_date, carrier, flight, origin)
  WHERE f.arrived_late IS NOT NULL
),

counted AS (
  SELECT
    month,
    max(model_version) AS model_version,
    count(*) AS flights,
    count_if(late) AS late,
    count_if(predicted) AS predicted,
    count_if(late AND predicted) AS caught,
    sum(CASE WHEN late THEN position END) AS positions
  FROM answered
  GROUP BY month
)

SELECT
  month,
  model_version,
  flights,
  round(late / flights, 4) AS late_share,
  round(predicted / flights, 4) AS predicted_share,
  round(try_divide(caught, predicted), 4) AS precision,
  round(try_divide(caught, late), 4) AS recall,
  -- The share of pairs of a late and a punctual flight in which the late one has the higher probability.
  round(try_divide(positions - late * (late + 1) / 2, late * (flights - late)), 4) AS auc
FROM counted
