"""The declaration of a model. Imported by DAG files, so it imports no Spark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from millstream.lake.tables import SOURCE_ROW_ID

Algorithm = Literal["logistic_regression", "decision_tree", "random_forest", "gradient_boosted_trees"]
Params = dict[str, float | int | str]


@dataclass(frozen=True)
class Candidate:
    """One algorithm and the settings to choose from on the validation part (MLlib's parameter names)."""

    name: str
    algorithm: Algorithm
    grid: tuple[Params, ...]


# What a declaration without candidates tries.
LOGISTIC = Candidate(
    "logistic_regression",
    "logistic_regression",
    tuple({"regParam": penalty, "elasticNetParam": 0.0, "maxIter": 20} for penalty in (0.0005, 0.005)),
)


@dataclass(frozen=True)
class TimeSplit:
    """By time: train ≤ `train_until` < validate ≤ `validate_until` < test, compared as text (YYYY-MM)."""

    column: str
    train_until: str
    validate_until: str


@dataclass(frozen=True)
class GroupSplit:
    """By hash of a group, so that members of one group are never on both sides. Shares out of 100."""

    column: str
    validate_percent: int = 15
    test_percent: int = 15


@dataclass(frozen=True)
class TextFeatures:
    """Words of one text column, hashed into `dimensions` counts (Tokenizer, HashingTF)."""

    column: str
    dimensions: int = 1000


@dataclass(frozen=True)
class TabularFeatures:
    """Numbers (a missing one becomes the training mean), categories, and the words of texts.

    Linear models see categories one-hot; trees see those of `tree_categories` as indexes.
    """

    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    tree_categories: tuple[str, ...] = ()
    texts: tuple[TextFeatures, ...] = ()


@dataclass(frozen=True)
class ModelSpec:
    """One model: its input, label, split, candidates, and when a new version becomes champion.

    label: SQL over the input table, 1 or 0; rows where it is null are not used for training.
    key: columns that the predictions carry over from the input.
    margin: AUC-ROC by which a challenger must beat the champion on the same test rows.
    trial_share: share of the train rows (0 to 1) that the settings are tried on; the refit takes all of them.
    """

    name: str
    input_table: str
    label: str
    key: tuple[str, ...]
    features: TabularFeatures | TextFeatures
    split: TimeSplit | GroupSplit
    description: str = ""
    row_id: str = SOURCE_ROW_ID
    candidates: tuple[Candidate, ...] = (LOGISTIC,)
    partition_column: str | None = None
    margin: float = 0.002
    trial_share: float = 1.0
    seed: int = 20130101
    distinct_on: str | None = field(
        default=None, metadata={"help": "column whose equal values may stand on one side only, once"}
    )

    @property
    def predictions_table(self) -> str:
        return f"gold.{self.name}_predictions"

    def candidate(self, name: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.name == name)
