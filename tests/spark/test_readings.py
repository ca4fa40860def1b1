"""A value is what was written: texts of any kind against a strict reading of this file's own, by type."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from millstream.bronze.typed import typed
from millstream.contracts.contract import Contract

SPACE = " \t\n\x0b\f\r"
DIGITS = frozenset("0123456789")
INFINITY = ("inf", "infinity")


def contract(widened: str) -> Contract:
    """One column of each type, and two that are read as a wider one."""
    kinds = ["string", "int", "bigint", "double", "boolean", "date", "timestamp"]
    return Contract.from_dict(
        {
            "dataset": "readings",
            "version": 1,
            "description": "One text as every type.",
            "owner": "tests",
            "source": {"kind": "files", "connection": "drop", "format": "csv", "path": "a.csv"},
            "load": "full",
            "start_date": "2024-01-01",
            "columns": [{"name": f"as_{kind}", "type": kind, "description": kind * 2} for kind in kinds],
            "primary_key": ["as_string"],
            "null_values": [],
            "drift": {"widened": widened},
        },
        origin="test",
    )


def whole(text: str) -> int | None:
    sign, digits = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if not digits or not DIGITS.issuperset(digits):
        return None
    value = 0
    for start in range(0, len(digits), 4000):
        part = digits[start : start + 4000]
        value = value * 10 ** len(part) + int(part)
    return -value if sign == "-" else value


def as_int(text: str) -> int | None:
    value = whole(text.strip(SPACE))
    return value if value is not None and -(2**31) <= value < 2**31 else None


def as_bigint(text: str) -> int | None:
    value = whole(text.strip(SPACE))
    return value if value is not None and -(2**63) <= value < 2**63 else None


def number(text: str) -> tuple[str, str, int] | None:
    """Sign and digits before the point, digits behind it, and the exponent."""
    mantissa, mark, exponent = text.replace("E", "e").partition("e")
    power = whole(exponent) if mark else 0
    sign, digits = (mantissa[0], mantissa[1:]) if mantissa[:1] in ("+", "-") else ("", mantissa)
    before, _, behind = digits.partition(".")
    if power is None or not before + behind or not DIGITS.issuperset(before + behind):
        return None
    return sign + (before or "0"), behind, power


def as_double(text: str) -> float | None:
    text = text.strip(SPACE)
    if text.isascii() and text.lower() == "nan":
        return math.nan
    if text.isascii() and text.lower() in {f"{sign}{word}" for sign in ("", "+", "-") for word in INFINITY}:
        return -math.inf if text[0] == "-" else math.inf
    parts = number(text)
    if parts is None:
        return None
    value = float(f"{parts[0]}.{parts[1]}e{parts[2]}")
    return value if math.isfinite(value) else None


def as_boolean(text: str) -> bool | None:
    words = {"true": True, "t": True, "yes": True, "y": True, "1": True}
    words |= {"false": False, "f": False, "no": False, "n": False, "0": False}
    text = text.strip(SPACE)
    return words.get(text.lower()) if text.isascii() else None


def as_date(text: str) -> date | None:
    parts = text.strip(SPACE).split("-")
    if [len(part) for part in parts] != [4, 2, 2] or not DIGITS.issuperset("".join(parts)):
        return None
    try:
        return date(*map(int, parts))
    except ValueError:
        return None


CLOCK = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?")


def as_timestamp(text: str) -> datetime | None:
    """In UTC, without a zone."""
    text = text.strip(SPACE)
    day = as_date(text[:10])
    if day is None or len(text) < 10 or text[:10] != text[:10].strip():
        return None
    if len(text) == 10:
        return datetime(day.year, day.month, day.day)
    clock = CLOCK.fullmatch(text[11:])
    if text[10] not in "T " or clock is None:
        return None
    hour, minute, second, fraction, zone = clock.groups()
    if fraction and fraction[6:].strip("0"):
        return None
    try:
        local = datetime(
            *(day.year, day.month, day.day, int(hour), int(minute), int(second or 0)),
            int((fraction or "0")[:6].ljust(6, "0")),
            tzinfo=offset(zone),
        )
        return local.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def offset(zone: str | None) -> timezone:
    if zone in (None, "Z"):
        return UTC
    assert zone is not None
    digits = zone[1:].replace(":", "").ljust(4, "0")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    # Java's offsets end there.
    if int(digits[2:]) > 59 or ahead > timedelta(hours=18):
        raise ValueError
    return timezone(-ahead if zone[0] == "-" else ahead)


def in_int(text: str) -> int | None:
    """A whole number also as 5.0 or 5e1, where nothing is lost."""
    if (plain := as_int(text)) is not None:
        return plain
    parts = number(text.strip(SPACE))
    # What Spark can hold without rounding: 18 digits behind the point, and no negative exponent.
    if (
        parts is None
        or len(text) > 100
        or len(parts[1].rstrip("0")) > 18
        or re.search("[eE](-|.*[0-9]{3})", text)
    ):
        return None
    value = Decimal(f"{parts[0]}.{parts[1]}e{parts[2]}")
    return int(value) if value == value.to_integral_value() and -(2**31) <= value < 2**31 else None


READ: dict[str, Callable[[str], Any]] = {
    "as_string": lambda text: text,
    "as_int": as_int,
    "as_bigint": as_bigint,
    "as_double": as_double,
    "as_boolean": as_boolean,
    "as_date": as_date,
    "as_timestamp": as_timestamp,
}


def words(text: str) -> st.SearchStrategy[str]:
    """One of the words; `.` is the empty one."""
    return st.sampled_from(["" if word == "." else word for word in text.split()])


# Digits of other scripts among them.
digit = st.sampled_from("0123456789" * 3 + "\u0663\u06f5\uff15\u00b2")
digits = st.text(digit, min_size=1, max_size=12)
few = st.text(digit, max_size=5)
two = st.integers(0, 61).map(lambda value: f"{value:02d}")
sign = words(". . + - -- \u2212")
suffix = st.one_of(words(". . . f F d D L e5 E-3 e % _0 ,5 p3"), st.sampled_from("\x00\u2028"))
around = st.sampled_from(["", "", "", "", *" \t\n\r\x0b\x00\x1f\x7f\u00a0\u2003\x85"])
year = words("2013 2012 2000 1900 0001 9999 0000 10000 201301 13 -0044 +2013 \u0662\u0660\u0661\u0663")
day = st.one_of(
    st.dates().map(str),
    st.builds("{}-{}-{}".format, year, words("01 02 12 00 13 1"), words("01 28 29 30 31 00 32 5")),
    year,
    st.builds("{}-{}".format, year, two),
)
clock = st.one_of(
    st.builds("{}:{}".format, two, two),
    st.builds("{}:{}:{}".format, two, two, two),
    st.builds("{}:59:{}.{}".format, words("00 23 24"), words("59 60"), st.text("0123456789", max_size=9)),
    words(". 5 05 5:30 12:30 00:00:00 24:00:00 10:00:00.1234560000 10:00:00.1234567"),
)
zones = words(
    ". . . Z z +00:00 -00:00 +05:30 -1100 +02 +18:00 +18:01 -19:00 +05:60 UTC GMT+1 Europe/Berlin +1 +1:00"
)
zone = st.one_of(zones, zones, zones.map(" {}".format))
moment = st.builds("{}{}{}{}".format, day, st.sampled_from(["T", "T", " ", "t", "", "  ", "_"]), clock, zone)
long = st.sampled_from(["9" * 39, f"5.{'0' * 20}", f"5.{'0' * 20}1", f"5.{'0' * 98}", f"5.{'0' * 99}"])
edges = [edge + step for edge in (2**31, -(2**31), 2**63, -(2**63)) for step in (-1, 0, 1)]
shaped = st.one_of(
    st.builds("{}{}{}".format, sign, digits, suffix),
    st.builds("{}{}.{}{}".format, sign, few, few, suffix),
    st.builds(
        "{}{}".format, sign, words("inf Infinity INF nan NaN infinit 0x10 0x1p3 1e400 1e-400 1e 5.0 5.5")
    ),
    st.builds("{}{}".format, sign, words("5e-1 50e-1 5e99 5e100 .5e1 1e2 -0.0 .")),
    st.integers(-(2**66), 2**66).map(str),
    st.sampled_from(edges).map(str),
    st.floats().map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=20).map(str),
    long,
    words("true TRUE t Yes y on off 1 false F no N 0 tru ye\u017f null None"),
    day,
    clock,
    moment,
    moment,
)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
texts = st.one_of(st.builds("{}{}{}".format, around, shaped, around), anything)


SEEN = ["12:30", "72F", "0x1p3", "201301", "00:00:00", "2013", "2013-01-01T10:00Z", "2013-01-01T10:00"]
LONG = [
    "9" * 140_000,
    "1" * 140_000 + "x",
    "1" + " " * 140_000,
    "." * 140_000,
    "1" * 70_000 + "." + "1" * 70_000,
]


@cache
def examples(number: int) -> tuple[str, ...]:
    """So many texts, the same in every run."""
    drawn: set[str] = set()

    @settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(texts)
    def draw(text: str) -> None:
        drawn.add(text)

    draw()
    return (*sorted(drawn), *SEEN, *LONG)


@pytest.mark.spark
@pytest.mark.parametrize("widened", ["evolve", "quarantine"])
def test_every_text_has_its_one_reading_or_goes_to_quarantine(spark: SparkSession, widened: str) -> None:
    written = examples(3000)
    names = list(READ)
    lineage = "_source_file string, _source_row bigint, _record_error string, _record string, _added string"
    rows = spark.createDataFrame(
        [(*([text] * len(names)), "f", number, None, None, None) for number, text in enumerate(written)],
        f"{', '.join(f'{name} string' for name in names)}, {lineage}",
    )
    read = sorted(typed(rows, contract(widened)).collect(), key=lambda row: int(row["_source_row_id"][2:]))
    known = dict.fromkeys(names, 0)
    for text, row in zip(written, read, strict=True):
        expected = {name: READ[name](text) for name in names}
        refused = {reason.partition(":")[0] for reason in row["_malformed"]}
        if widened == "evolve":
            expected["as_int"] = in_int(text)
            if expected["as_date"] is None and (moment := expected["as_timestamp"]) is not None:
                midnight = (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)
                expected["as_date"] = moment.date() if midnight else None
            # As the other whole number; its bounds are another test's.
            del expected["as_bigint"]
            refused -= {"as_bigint"}
        found = {name: row[name] for name in expected}
        assert {name: same(value) for name, value in found.items()} == {
            name: same(value) for name, value in expected.items()
        }, repr(text[:80])
        assert refused == {name for name, value in expected.items() if value is None}, repr(text[:80])
        for name, value in expected.items():
            known[name] += value is not None
    # Neither side of the comparison may be empty.
    assert all(20 < known[name] < len(written) - 20 for name in expected if name != "as_string"), known


def same(value: Any) -> Any:
    return "NaN" if isinstance(value, float) and math.isnan(value) else value
