"""Stages of a model: how features become a vector, each candidate's estimator, and what makes its answer.

A fitted pipeline takes the columns of the input table as `inputs` has them, and adds `prediction`.
"""

from __future__ import annotations

from typing import Any

from pyspark.ml.classification import (
    DecisionTreeClassifier,
    GBTClassifier,
    LogisticRegression,
    RandomForestClassifier,
)
from pyspark.ml.feature import (
    IDF,
    Binarizer,
    HashingTF,
    Imputer,
    IndexToString,
    OneHotEncoder,
    SQLTransformer,
    StringIndexer,
    Tokenizer,
    VectorAssembler,
)
from pyspark.ml.regression import (
    DecisionTreeRegressor,
    GBTRegressor,
    LinearRegression,
    RandomForestRegressor,
)
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from millstream.ml.dataset import LABEL
from millstream.ml.scoring import PREDICTION, SCORE
from millstream.ml.spec import (
    LINEAR,
    Algorithm,
    Candidate,
    ModelSpec,
    Params,
    TabularFeatures,
    TextFeatures,
)

VECTOR = "features"
# A class by its place among the declared ones.
CLASS = "class_index"
_CLASSIFIERS: dict[Algorithm, Any] = {
    "logistic_regression": LogisticRegression,
    "decision_tree": DecisionTreeClassifier,
    "random_forest": RandomForestClassifier,
    "gradient_boosted_trees": GBTClassifier,
}
_REGRESSORS: dict[Algorithm, Any] = {
    "linear_regression": LinearRegression,
    "decision_tree": DecisionTreeRegressor,
    "random_forest": RandomForestRegressor,
    "gradient_boosted_trees": GBTRegressor,
}
# What stands for a category that is missing.
MISSING = "?"


def input_columns(spec: ModelSpec) -> dict[str, str]:
    """Name -> type of the columns of the input table that a fitted pipeline takes: numbers as double,
    categories and texts as string."""
    if isinstance(spec.features, TextFeatures):
        return {spec.features.column: "string"}
    texts = (*spec.features.categories, *(text.column for text in spec.features.texts))
    return {**dict.fromkeys(texts, "string"), **dict.fromkeys(spec.features.numbers, "double")}


def inputs(rows: DataFrame, spec: ModelSpec, *more: str) -> DataFrame:
    """The columns that a fitted pipeline takes, and `more`."""
    typed = [
        F.col(name).cast(type_).alias(name) for name, type_ in input_columns(spec).items() if name not in more
    ]
    return rows.select(*more, *typed)


def encoders(spec: ModelSpec, candidate: Candidate) -> list[Any]:
    """Stages that end in the column `features`."""
    match spec.features:
        case TextFeatures() as text:
            return [_typed([_text(text)]), *_words(text, VECTOR)]
        case TabularFeatures() as features:
            return _tabular(features, linear=candidate.algorithm in LINEAR)


def estimator(spec: ModelSpec, candidate: Candidate, params: Params) -> Any:
    """The candidate's estimator with `params`, seeded where it draws."""
    if candidate.algorithm == "xgboost":
        # Its import takes a second, which other models need not wait for.
        from millstream.ml.boosted import BoostedTrees

        return BoostedTrees(spec, candidate, params, VECTOR, CLASS)
    kinds = _REGRESSORS if spec.objective == "regression" else _CLASSIFIERS
    more: dict[str, Any] = {} if candidate.algorithm in LINEAR else {"seed": spec.seed}
    if spec.objective == "multiclass":
        more["predictionCol"] = CLASS
    return kinds[candidate.algorithm](labelCol=LABEL, featuresCol=VECTOR, **more, **params)


def answers(spec: ModelSpec, candidate: Candidate) -> list[Any]:
    """Stages behind the fitted one that make `prediction` of what it says, where it does not itself."""
    if spec.objective == "multiclass":
        return [IndexToString(inputCol=CLASS, outputCol=PREDICTION, labels=list(spec.classes))]
    if spec.objective == "binary" and candidate.algorithm == "xgboost":
        return [Binarizer(inputCol=SCORE, outputCol=PREDICTION, threshold=0.5)]
    return []


def _typed(expressions: list[str]) -> SQLTransformer:
    """Adds what the other stages read, so that a pipeline takes the table's own columns everywhere."""
    return SQLTransformer(statement=f"SELECT *, {', '.join(expressions)} FROM __THIS__")


def _text(text: TextFeatures) -> str:
    return f"coalesce(CAST(`{text.column}` AS STRING), '') AS `text_{text.column}`"


def _category(name: str, *, is_number: bool) -> str:
    value = f"CAST(`{name}` AS STRING)"
    # A whole number is a double too, and its text has no fraction.
    value = rf"regexp_replace({value}, '[.]0$', '')" if is_number else value
    return f"coalesce({value}, '{MISSING}') AS `cat_{name}`"


def _words(text: TextFeatures, into: str) -> list[Any]:
    """Stages that count the words of a text."""
    words = f"words_of_{text.column}"
    counts = f"raw_{into}" if text.idf else into
    stages = [
        Tokenizer(inputCol=f"text_{text.column}", outputCol=words),
        HashingTF(inputCol=words, outputCol=counts, numFeatures=text.dimensions),
    ]
    return [*stages, IDF(inputCol=counts, outputCol=into)] if text.idf else stages


def _tabular(features: TabularFeatures, *, linear: bool) -> list[Any]:
    categories = features.categories if linear else features.tree_categories
    numbers = [f"num_{name}" for name in features.numbers]
    filled = [f"filled_{name}" for name in features.numbers]
    encoded = [f"index_{name}" for name in categories]
    typed = [f"CAST(`{name}` AS DOUBLE) AS `num_{name}`" for name in features.numbers]
    typed += [_category(name, is_number=name in features.numbers) for name in categories]
    stages: list[Any] = [_typed([*typed, *map(_text, features.texts)])]
    if filled:
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
        stages += _words(text, counts)
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
            if candidate.algorithm not in LINEAR:
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


def weights(spec: ModelSpec, candidate: Candidate, model: Any, features: int) -> Any:
    """A weight for each entry of the vector: the coefficient (of classes the largest, by magnitude), or how
    much trees gain by it."""
    last = model.stages[-1 - len(answers(spec, candidate))]
    if candidate.algorithm == "xgboost":
        return last.importances(features)
    if candidate.algorithm not in LINEAR:
        return last.featureImportances.toArray()
    if spec.objective != "multiclass":
        return last.coefficients.toArray()
    of_classes = last.coefficientMatrix.toArray()
    return of_classes[abs(of_classes).argmax(axis=0), range(features)]
