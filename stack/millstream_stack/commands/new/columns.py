"""Columns of a contract, guessed from texts as a source wrote them: each type is one that reads every text.

What could also be meant otherwise is said in a comment, and the more cautious reading is taken: a number that
is a text can still be counted, a code that became a number has lost its zeros.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import combinations
from math import isfinite

from millstream.bronze.readings import FORMS
from millstream.contracts.types import ColumnType
from millstream_stack.commands.new.forms import Form, amounts, moments
from millstream_stack.commands.new.nested import shape_of

# Words for a missing value, where everything else in a column is of some type.
NULL_WORDS = frozenset(
    {"NA", "N/A", "n/a", "NULL", "null", "None", "none", "NaN", "nan", "-", "--", "?", "\\N"}
)
# From narrow to wide: the first that reads all texts is taken.
PREFERRED: tuple[ColumnType, ...] = ("int", "bigint", "double", "date", "timestamp", "time", "boolean")
# Pairs that mean yes and no, besides those that every contract reads.
YES_NO = (
    ("on", "off"),
    ("enabled", "disabled"),
    ("active", "inactive"),
    ("ja", "nein"),
    ("wahr", "falsch"),
    ("oui", "non"),
    ("vrai", "faux"),
    ("si", "no"),
    ("sí", "no"),
    ("sì", "no"),
    ("sim", "não"),
)
BOUNDS = {"int": 2**31, "bigint": 2**63}
PATTERNS = {kind: re.compile(form.replace(r"\z", r"\Z"), re.ASCII) for kind, form in FORMS.items()}
# As the formats write bytes.
BYTES = re.compile(r"\\x(?:[0-9a-f]{2})*")
LEADING_ZERO = re.compile(r"\s*[+-]?0\d+\s*", re.ASCII)
DAYS = re.compile(r"\s*(19|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])\s*", re.ASCII)
NESTED = ("array", "struct", "map")
# Types of what is measured, paid or made of parts, which name no row.
MEASURES = ("float", "double", "decimal", "binary", "json", *NESTED)
MOST_KEY_COLUMNS = 4
# Of more columns there are too many pairs and triples.
KEY_CANDIDATES = 12


@dataclass(frozen=True)
class Guess:
    """A column: its name at the source and in the contract, its type, what is not sure about it, and entries
    of the contract that say how its values are written. optional: its objects lack fields now and then."""

    source: str
    name: str
    kind: ColumnType
    null_words: frozenset[str] = frozenset()
    unsure: str = ""
    written: Mapping[str, str | list[str]] = field(default_factory=dict)
    optional: bool = False


def names_for(sources: Sequence[str]) -> list[str]:
    """A name for each column that a contract takes: lower case, letters, digits and `_`; none twice."""
    names: list[str] = []
    for source in sources:
        split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", source)
        plain = unicodedata.normalize("NFKD", split.casefold()).encode("ascii", "ignore").decode()
        name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or "column"
        name = (name if name[0].isalpha() else f"c_{name}")[:58]
        number = 2
        unique = name
        while unique in names:
            unique, number = f"{name}_{number}", number + 1
        names.append(unique)
    return names


def guess(source: str, name: str, values: Iterable[str | None], nests: bool = True) -> Guess:
    """The narrowest type that reads all `values`, but for words that mean null; `nests`: lists and objects
    may have types of their own."""
    seen = dict.fromkeys(value for value in values if value is not None and value != "")
    texts = set(seen)
    if not texts:
        return Guess(source, name, "string", unsure="no value seen")
    words = texts.intersection(NULL_WORDS)
    rest = texts - words
    if not rest:
        return Guess(source, name, "string", unsure=f"only {', '.join(sorted(words))} seen")
    if any(LEADING_ZERO.fullmatch(text) for text in rest) and _all_read(rest, "int"):
        return Guess(source, name, "string", unsure="digits that begin with 0: a code, or a number?")
    # In their order, by which the fields of a struct are.
    if (shape := shape_of([text for text in seen if text in rest], _in_shape)) is not None:
        kind = shape.kind if nests else "json"
        return Guess(source, name, kind, unsure=shape.unsure, optional=nests and shape.optional)
    if all(map(BYTES.fullmatch, rest)):
        return Guess(source, name, "binary")
    form = amounts(rest)
    if form is None:
        plain = next((kind for kind in PREFERRED if _all_read(rest, kind)), None)
        form = Form(plain, unsure=_doubt(rest, plain)) if plain else moments(rest) or _yes_no(rest)
    if form is None or form.kind == "string":
        return Guess(source, name, "string", unsure=form.unsure if form else "")
    return Guess(source, name, form.kind, frozenset(words), form.unsure, form.written)


def _in_shape(values: Iterable[str | None]) -> ColumnType:
    """The type of texts in lists and objects, where nothing says how they are written, and a text that holds
    JSON is not taken apart again."""
    found = guess("", "", values, nests=False)
    return "string" if found.written or found.null_words or found.kind == "json" else found.kind


def _all_read(texts: set[str], kind: ColumnType) -> bool:
    pattern = PATTERNS[kind]
    if not all(pattern.search(text) for text in texts):
        return False
    if kind in BOUNDS:
        return all(-BOUNDS[kind] <= int(text) < BOUNDS[kind] for text in texts)
    # Digits alone count more often than they say yes or no.
    return kind != "boolean" or not all(text.strip() in "01" for text in texts)


def _yes_no(texts: set[str]) -> Form | None:
    """A boolean, where both words of a pair are there and nothing else; in whichever cases."""
    words = {text.strip().casefold() for text in texts}
    for yes, no in YES_NO:
        if words == {yes, no}:
            spelled: dict[str, str | list[str]] = {
                field: sorted(text for text in texts if text.strip().casefold() == word)
                for field, word in (("true_values", yes), ("false_values", no))
            }
            return Form("boolean", spelled, "words for yes and no, as seen")
    return None


def _doubt(texts: set[str], kind: ColumnType) -> str:
    if kind == "boolean":
        return f"words for yes and no: {', '.join(sorted(texts))}"
    if kind in ("int", "bigint") and all(DAYS.fullmatch(text) for text in texts):
        return "dates? then type: date, format: yyyyMMdd"
    if kind == "double" and any(_loses_digits(text) for text in texts):
        return "more digits than a double holds"
    return ""


def _loses_digits(text: str) -> bool:
    number = float(text)
    return isfinite(number) and Decimal(text.strip()) != Decimal(repr(number))


def key_of(guesses: Sequence[Guess], rows: Sequence[Sequence[str | None]]) -> tuple[tuple[str, ...], bool]:
    """Columns that identify each row, and whether they do: the fewest, those named like a key first."""
    nothing = {None, ""}.union(*(one.null_words for one in guesses))
    positions = [
        number
        for number, column in enumerate(guesses)
        if not column.kind.startswith(MEASURES) and not any(row[number] in nothing for row in rows)
    ]
    positions.sort(key=lambda number: (_measures(guesses[number]), number))
    candidates = positions[:KEY_CANDIDATES]
    for size in range(1, min(MOST_KEY_COLUMNS, len(candidates)) + 1):
        for chosen in combinations(candidates, size):
            if _are_unique(rows, chosen):
                return tuple(guesses[number].name for number in sorted(chosen)), True
    flat = [number for number, column in enumerate(guesses) if not column.kind.startswith(NESTED)]
    every = sorted(positions) or flat or list(range(len(guesses)))
    return tuple(guesses[number].name for number in every), _are_unique(rows, every)


def _measures(column: Guess) -> int:
    """How far a column is from naming something: by its name, then by its type."""
    if column.name in ("id", "code", "uuid") or column.name.endswith(("_id", "_code", "_no", "key", "num")):
        return 0
    return 2 if column.kind in ("int", "bigint") else 1


def _are_unique(rows: Sequence[Sequence[str | None]], chosen: Sequence[int]) -> bool:
    seen = set()
    for row in rows:
        value = tuple(row[number] for number in chosen)
        if value in seen:
            return False
        seen.add(value)
    return True
