"""Columns that every predictions table has, behind the key of what was scored."""

from __future__ import annotations

from millstream.transforms import column

ANSWER = (
    column("probability", "double", "Probability that the answer is yes, 0 to 1"),
    column("predicted", "boolean", "Whether the probability reaches the threshold"),
    column("threshold", "double", "Threshold chosen on the validation part"),
    column("model_name", "string", "Registered model in MLflow"),
    column("model_version", "int", "Its version"),
    column("input_version", "bigint", "Delta version of the table that was scored"),
)
