"""Does a text come from a big-data library? Tokenizer, HashingTF(1000), logistic regression."""

from __future__ import annotations

from millstream.ml.spec import Candidate, GroupSplit, ModelSpec, TextFeatures

BIG_DATA = ("pyspark", "delta", "hdfs", "kafka", "confluent_kafka", "airflow")

SPEC = ModelSpec(
    name="big_data_text",
    description="Does this docstring come from a big-data library?",
    input_table="silver.docstrings",
    label=f"CASE WHEN library IN ({', '.join(repr(name) for name in BIG_DATA)}) THEN 1 ELSE 0 END",
    row_id="qualified_name",
    key=("qualified_name", "library", "module"),
    features=TextFeatures(column="docstring", dimensions=1000),
    # By module: methods of one module repeat each other's sentences.
    split=GroupSplit(column="module", validate_percent=15, test_percent=15),
    distinct_on="docstring",
    candidates=(
        Candidate(
            "logistic_regression",
            "logistic_regression",
            (
                {"regParam": 0.0005, "elasticNetParam": 0.0, "maxIter": 20},
                {"regParam": 0.005, "elasticNetParam": 0.0, "maxIter": 20},
            ),
        ),
    ),
)
