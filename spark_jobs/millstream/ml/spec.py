"""The declaration of a model. Imported by DAG files, so it imports no Spark."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from millstream.errors import ConfigurationError
from millstream.lake.tables import SOURCE_ROW_ID

Objective = Literal["binary", "multiclass", "regression"]
Algorithm = Literal[
    "logistic_regression",
    "linear_regression",
    "decision_tree",
    "random_forest",
    "gradient_boosted_trees",
    "xgboost",
]
Params = dict[str, float | int | str]


class Metric(NamedTuple):
    """What candidates are chosen and champions compared by: the highest wins.

    naive: its value for a predictor that gives every row the same answer.
    """

    name: str
    in_words: str
    naive: float


METRICS: dict[Objective, Metric] = {
    "binary": Metric("auc_roc", "AUC-ROC", 0.5),
    "multiclass": Metric("auc_roc", "AUC-ROC (mean over the classes, each against the others)", 0.5),
    "regression": Metric("r2", "R²", 0.0),
}
# MLlib's boosted trees know two classes only.
_TREES: set[Algorithm] = {"decision_tree", "random_forest", "xgboost"}
ALGORITHMS: dict[Objective, set[Algorithm]] = {
    "binary": {"logistic_regression", "gradient_boosted_trees", *_TREES},
    "multiclass": {"logistic_regression", *_TREES},
    "regression": {"linear_regression", "gradient_boosted_trees", *_TREES},
}
LINEAR: set[Algorithm] = {"logistic_regression", "linear_regression"}


@dataclass(frozen=True)
class Candidate:
    """One algorithm and the settings to choose from on the validation part, by the parameter names of MLlib,
    or of XGBoost's scikit-learn interface.

    workers: tasks that XGBoost trains in at once; each needs a free core.
    """

    name: str
    algorithm: Algorithm
    grid: tuple[Params, ...]
    workers: int = 1


def _linear(name: Algorithm) -> Candidate:
    penalties = (0.0005, 0.005)
    return Candidate(
        name, name, tuple({"regParam": one, "elasticNetParam": 0.0, "maxIter": 20} for one in penalties)
    )


# What a declaration without candidates tries.
LOGISTIC = _linear("logistic_regression")
DEFAULTS: dict[Objective, Candidate] = {
    "binary": LOGISTIC,
    "multiclass": LOGISTIC,
    "regression": _linear("linear_regression"),
}


@dataclass(frozen=True)
class TimeSplit:
    """By time: train ≤ `train_until` < validate ≤ `validate_until` < test, compared as text (YYYY-MM)."""

    column: str
    train_until: str
    validate_until: str

    def __post_init__(self) -> None:
        if self.train_until >= self.validate_until:
            raise ConfigurationError(
                f"{self}: no value is for validation; validate_until has to come after train_until"
            )

    def parts_without(self, values: Collection[object]) -> list[str]:
        """The parts of which the column has no value; nothing is said of values that are no text."""
        # A row without one is for the test, as Spark compares it.
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) < len(values) - (None in values):
            return []
        present = {
            "train": any(value <= self.train_until for value in texts),
            "validate": any(self.train_until < value <= self.validate_until for value in texts),
            "test": None in values or any(value > self.validate_until for value in texts),
        }
        return [name for name, there in present.items() if not there]


@dataclass(frozen=True)
class GroupSplit:
    """By hash of a group, so that members of one group are never on both sides. Shares out of 100."""

    column: str
    validate_percent: int = 15
    test_percent: int = 15


@dataclass(frozen=True)
class TextFeatures:
    """Words of one text column, hashed into `dimensions` counts (Tokenizer, HashingTF).

    idf: weigh each count by how few of the train rows have the word.
    """

    column: str
    dimensions: int = 1000
    idf: bool = False


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

    label: SQL over the input table; rows where it is null are not used for training. What it is says the
        `objective`: 1 or 0 (binary), the name of one of the `classes` (multiclass), a number (regression).
    key: columns that the predictions carry over from the input.
    margin: by how much of the objective's metric a challenger must beat the champion on the same test rows.
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
    objective: Objective = "binary"
    classes: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    partition_column: str | None = None
    margin: float = 0.002
    trial_share: float = 1.0
    seed: int = 20130101
    distinct_on: str | None = field(
        default=None, metadata={"help": "column whose equal values may stand on one side only, once"}
    )

    def __post_init__(self) -> None:
        if not self.candidates:
            object.__setattr__(self, "candidates", (DEFAULTS[self.objective],))
        if (self.objective == "multiclass") != bool(self.classes) or len({*self.classes}) in (1, 2):
            raise ConfigurationError(
                f"model {self.name}: multiclass needs at least three different classes, and {self.objective} "
                f"has {list(self.classes)}"
            )
        known = ALGORITHMS[self.objective]
        if unknown := [one.algorithm for one in self.candidates if one.algorithm not in known]:
            raise ConfigurationError(
                f"model {self.name}: {', '.join(unknown)} cannot learn {self.objective}; expected one of "
                f"{', '.join(sorted(known))}"
            )

    @property
    def metric(self) -> Metric:
        return METRICS[self.objective]

    @property
    def predictions_table(self) -> str:
        return f"gold.{self.name}_predictions"

    def candidate(self, name: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.name == name)
