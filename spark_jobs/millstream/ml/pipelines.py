"""MLlib stages of a model: how features become a vector, and the estimator of each candidate."""

from __future__ import annotations

from typing import Any

from pyspark.ml.classification import (
    DecisionTreeClassifier,
    GBTClassifier,
    LogisticRegression,
    RandomForestClassifier,
)
from pyspark.ml.feature import (
    HashingTF,
    Imputer,
    OneHotEncoder,
    StringIndexer,
    Tokenizer,
    VectorAssembler,
)
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.ml.dataset import LABEL
from millstream.ml.spec import Algorithm, Candidate, ModelSpec, Params, TabularFeatures, TextFeatures

VECTOR = "features"
_ESTIMATORS: dict[Algorithm, Any] = {
    "logistic_regression": LogisticRegression,
    "decision_tree": DecisionTreeClassifier,
    "random_forest": RandomForestClassifier,
    "gradient_boosted_trees": GBTClassifier,
}


def inputs(rows: DataFrame, spec: ModelSpec, *more: str) -> DataFrame:
    """The columns that the stages read: numbers as double, categories as text, and `more`."""
    match spec.features:
        case TabularFeatures(numbers=numbers, categories=categories, texts=texts):
            typed = [F.col(name).cast("double").alias(f"num_{name}") for name in numbers]
            typed += [
                F.coalesce(F.col(name).cast("string"), F.lit("?")).alias(f"cat_{name}") for name in categories
            ]
            typed += [
                F.coalesce(F.col(text.column), F.lit("")).alias(f"text_{text.column}") for text in texts
            ]
        case TextFeatures(column=column):
            typed = [F.coalesce(F.col(column), F.lit("")).alias(column)]
    return rows.select(*more, *typed)


def encoders(spec: ModelSpec, candidate: Candidate) -> list[Any]:
    """Stages that end in the column `features`."""
    match spec.features:
        case TextFeatures(column=column) as text:
            return _words(text, column, VECTOR)
        case TabularFeatures() as features:
            return _tabular(features, linear=candidate.algorithm == "logistic_regression")


def estimator(spec: ModelSpec, candidate: Candidate, params: Params) -> Any:
    """The candidate's estimator with `params`, seeded where it draws."""
    seeded = {} if candidate.algorithm == "logistic_regression" else {"seed": spec.seed}
    return _ESTIMATORS[candidate.algorithm](labelCol=LABEL, featuresCol=VECTOR, **seeded, **params)


def _words(text: TextFeatures, column: str, into: str) -> list[Any]:
    """Stages that count the words of `column`."""
    words = f"words_of_{column}"
    return [
        Tokenizer(inputCol=column, outputCol=words),
        HashingTF(inputCol=words, outputCol=into, numFeatures=text.dimensions),
    ]


def _tabular(features: TabularFeatures, *, linear: bool) -> list[Any]:
    categories = features.categories if linear else features.tree_categories
    filled = [f"filled_{name}" for name in features.numbers]
    encoded = [f"index_{name}" for name in categories]
    stages: list[Any] = []
    if filled:
        numbers = [f"num_{name}" for name in features.numbers]
        stages.append(Imputer(inputCols=numbers, outputCols=filled, strategy="mean"))
    if categories:
        stages.append(
            StringIndexer(
                inputCols=[f"cat_{name}" for name in categories],
                outputCols=encoded,
                handleInvalid="keep",
                # By frequency two equally frequent categories may change places between runs.
                stringOrderType="alphabetAsc",
            )
        )
    if categories and linear:
        indexed, encoded = encoded, [f"onehot_{name}" for name in categories]
        stages.append(OneHotEncoder(inputCols=indexed, outputCols=encoded, handleInvalid="keep"))
    counted = [f"counts_of_{text.column}" for text in features.texts]
    for text, counts in zip(features.texts, counted, strict=True):
        stages += _words(text, f"text_{text.column}", counts)
    stages.append(VectorAssembler(inputCols=[*filled, *encoded, *counted], outputCol=VECTOR))
    return stages


def feature_names(spec: ModelSpec, candidate: Candidate, model: Any) -> list[str]:
    """A name for each entry of the vector, in its order; `model` is the fitted pipeline."""
    match spec.features:
        case TextFeatures(dimensions=dimensions):
            return [f"hash_{index}" for index in range(dimensions)]
        case TabularFeatures() as features:
            hashed = [
                f"{text.column}_hash_{index}" for text in features.texts for index in range(text.dimensions)
            ]
            if candidate.algorithm != "logistic_regression":
                return [*features.numbers, *features.tree_categories, *hashed]
            labels: list[Any] = next(
                (one.labelsArray for one in model.stages if hasattr(one, "labelsArray")), []
            )
            # One-hot with handleInvalid=keep has one entry more, for values never seen in training.
            seen = [
                f"{name}={value}"
                for name, values in zip(features.categories, labels, strict=True)
                for value in (*values, "(unseen)")
            ]
            return [*features.numbers, *seen, *hashed]
