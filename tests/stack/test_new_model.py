"""`make new MODEL=…`: what it writes for each kind of label, and what it is not sure of."""

from __future__ import annotations

import importlib
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from rich.console import Console

from millstream import transforms
from millstream.errors import ConfigurationError
from millstream.ml.spec import ModelSpec, TabularFeatures, TextFeatures
from millstream.models import model_spec
from millstream.quality.suite import Suite
from millstream.quality.suites import suite_in
from millstream.settings import CHECKOUT, Settings
from millstream.transforms import ANSWER, CLASS_ANSWER, NUMBER_ANSWER
from millstream_stack.commands.new import labels
from millstream_stack.commands.new.model import new_model
from tests.support.new_models import project_of_notes, publish_notes

SCREEN = Console(quiet=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MILLSTREAM_ROOT", str(tmp_path))
    monkeypatch.setenv("MILLSTREAM_LAKE_ROOT", f"file://{tmp_path}/lake")
    with project_of_notes(tmp_path / "own", monkeypatch, "loud") as folder:
        yield folder


@pytest.fixture
def published(project: Path, tmp_path: Path) -> Path:
    publish_notes(f"file://{tmp_path}/lake", 300)
    return project


def made(label: str, text: str = "") -> ModelSpec:
    new_model(Settings(), "loud", "silver.notes", label, text, SCREEN)
    # Python remembers which files there were.
    importlib.invalidate_caches()
    return model_spec("loud")


def comments(project: Path) -> list[str]:
    lines = (project / "models" / "loud.py").read_text().splitlines()
    return [line.strip(" #") for line in lines if line.strip().startswith("#")][:-1]


def test_a_model_with_all_that_it_needs(project: Path) -> None:
    spec = made("volume > 60", "words")
    assert spec.features == TabularFeatures(
        numbers=("pages", "grade", "read"), texts=(TextFeatures("words"),)
    )
    assert (spec.label, spec.key, spec.predictions_table) == (
        *("volume > 60", ("note",), "gold.loud_predictions"),
    )
    table = transforms.table_of("loud_predictions")
    assert (table.key, table.schema["note"].dataType.simpleString()) == (("note",), "int")
    Suite.from_dict(suite_in(project, "loud_predictions"))
    bag = DagBag(str(project / "dags"))
    assert (bag.import_errors, set(bag.dags)) == ({}, {"train_loud", "score_loud"})


@pytest.mark.parametrize(
    ("label", "written", "objective", "classes", "unsure"),
    [
        ("read", "read", "binary", (), []),
        ("volume", "volume", "regression", (), []),
        (
            "grade",
            "grade",
            "regression",
            (),
            ["Only 0, 1, 2, 3: classes? Then label string(grade), objective"],
        ),
        (
            "state",
            "state = 'new'",
            "binary",
            (),
            ["Or state = 'old'?", "10 of 300 rows have none, and are not learnt from."],
        ),
        (
            "shelf",
            r"CASE WHEN shelf IN ('low', 'wide', 'it\'s tall') THEN shelf END",
            "multiclass",
            ("low", "wide", "it's tall"),
            ["Left out, because a part of the split may lack them: 'lost' (1 rows)."],
        ),
        (
            "CASE WHEN volume > 60 THEN 'loud' WHEN volume > 9 THEN 'low' ELSE 'none' END",
            "CASE WHEN volume > 60 THEN 'loud' WHEN volume > 9 THEN 'low' ELSE 'none' END",
            "multiclass",
            ("loud", "low", "none"),
            ["Each part of the split must have rows of every class."],
        ),
        ("if(pages > 9, 1, 0)", "if(pages > 9, 1, 0)", "binary", (), []),
        ("if(pages > 9, 'a', 'b')", "(if(pages > 9, 'a', 'b')) = 'a'", "binary", (), ["Or 'b'?"]),
        ("int(volume > 60)", "int(volume > 60)", "binary", (), []),
        ("log(volume + 1)", "log(volume + 1)", "regression", (), ["If it is never but 0 or 1"]),
    ],
)
def test_the_label_says_what_is_learnt(
    published: Path, label: str, written: str, objective: str, classes: tuple[str, ...], unsure: list[str]
) -> None:
    spec = made(label, "words")
    assert (spec.label, spec.objective, spec.classes) == (written, objective, classes)
    said = comments(published)
    assert len(said) == len(unsure)
    assert all(one.startswith(expected) for one, expected in zip(said, unsure, strict=True)), said
    assert isinstance(spec.features, TabularFeatures)
    assert label not in spec.features.numbers
    answer = {"binary": ANSWER, "multiclass": CLASS_ANSWER, "regression": NUMBER_ANSWER}[objective]
    assert transforms.table_of("loud_predictions").schema.fields[1:] == list(answer)
    rules = Suite.from_dict(suite_in(published, "loud_predictions")).rules
    assert rules[-1].columns == (["probability"] if objective == "binary" else ["predicted"])


LONG = (
    "CASE WHEN volume > 60 THEN 'very loud' WHEN volume > 40 THEN 'loud' WHEN volume > 20 THEN 'quite' "
    "ELSE '\\\\' END"
)


@pytest.mark.parametrize(
    ("label", "text"), [("shelf", ""), ("volume", "words"), ("grade", "words"), (LONG, "words")]
)
def test_what_is_written_passes_lint(published: Path, label: str, text: str) -> None:
    made(label, text)
    importlib.import_module("millstream.transforms.loud_predictions")
    for check in (["check"], ["format", "--check"]):
        command = ["ruff", *check, "--config", str(CHECKOUT / "pyproject.toml"), str(published / "models")]
        command.append(str(published / "transforms"))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("origin", "label", "text", "why"),
    [
        ("silver.nothing", "volume > 60", "", "cannot be trained on: table nothing is declared nowhere"),
        ("silver.notes", "loudness > 60", "", "LABEL is SQL over the columns of silver.notes"),
        ("silver.notes", "volume >", "", "LABEL is no SQL"),
        ("silver.notes", "volume > 60", "pages", "no column of text pages"),
        ("silver.notes", "volume > pages + grade + read", "", "no number besides label and key"),
        ("silver.notes", "shelf", "", "which texts shelf has is not known before silver.notes is published"),
        ("silver.notes", "written", "", "written is date; a model learns yes or no, a text of a few, or a"),
        ("silver.notes", "upper(shelf)", "", "which texts it gives is not known: write them out"),
        ("silver.notes", "if(pages > 9, 'a', 'a')", "", "LABEL is always 'a': nothing to learn"),
    ],
)
def test_a_model_of_nothing_writes_nothing(
    project: Path, origin: str, label: str, text: str, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why):
        new_model(Settings(), "loud", origin, label, text, SCREEN)
    assert not [*(project / "models").iterdir()]


def test_texts_that_are_no_classes_are_refused(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "MOST_CLASSES", 20)
    with pytest.raises(ConfigurationError, match="words has 21 different texts in silver"):
        made("words", "words")


def test_a_number_that_was_not_seen_is_one(project: Path) -> None:
    assert made("volume", "words").objective == "regression"
    assert comments(project) == ["No value of volume was seen: if it is 0 or 1, leave the objective out."]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_numbers_without_an_end_are_no_names_of_classes(odd: float) -> None:
    label = labels._of_numbers("grade", Counter([1.0, 2.0, odd]))
    assert (label.objective, label.unsure) == ("regression", ())
