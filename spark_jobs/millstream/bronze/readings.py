"""What a text means as a value of each contract type: one reading, the same on every day, or none.

Spark's casts take more for a value than was written: `12:30` for a moment of the day of the run, `72F` for
72.0, `0x1p3` for 8.0, `201301` for the year 201301, digits of every script for those of a decimal. So a text
must have its type's form before it is cast. docs/contracts.md says the forms in words.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from millstream.contracts.contract import ColumnType

# White space around a value does not count. `\s` and `\d` are ASCII's, as Java reads them.
_DATE = r"(?!0000)\d{4}-\d{2}-\d{2}"
_MINUTES = r"[T ]\d{2}:\d{2}"
# Spark cuts off what it has no digits for.
_SECONDS = r":\d{2}(?:\.\d{1,6}0*)?"
_ZONE = r"(?:Z|[+-]\d{2}(?::?\d{2})?)"
# Possessive: what does not fit is seen at once, however long it is.
_NUMBER = r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?"
INTEGER = r"\A\s*[+-]?\d++\s*\z"
NUMBER = rf"\A\s*{_NUMBER}\s*\z"
INFINITE = r"(?i)\A\s*[+-]?inf(?:inity)?\s*\z"
DOUBLE = rf"(?i)\A\s*(?:{_NUMBER}|[+-]?inf(?:inity)?|nan)\s*\z"
BOOLEAN = r"(?i)\A\s*(?:true|t|yes|y|1|false|f|no|n|0)\s*\z"
DATE = rf"\A\s*{_DATE}\s*\z"
TIMESTAMP = rf"\A\s*{_DATE}(?:{_MINUTES}(?:(?:{_SECONDS})?{_ZONE}?)?)?\s*\z"
# Spark reads no zone behind minutes.
_NO_SECONDS = rf"({_MINUTES})({_ZONE}\s*)\z"
# A decimal number of which decimal(38,18) holds every digit.
EXACT = r"\A\s*[+-]?(?:\d++(?:\.\d{0,18}0*+)?|\.\d{1,18}0*+)(?:[eE]\+?\d{1,2})?\s*\z"

FORMS: dict[ColumnType, str] = {
    "int": INTEGER,
    "bigint": INTEGER,
    "double": DOUBLE,
    "boolean": BOOLEAN,
    "date": DATE,
    "timestamp": TIMESTAMP,
}
LONGEST_DECIMAL = 100
FIRST, LAST = "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"


def reading(text: Column, type_: ColumnType) -> Column:
    """`text` as a value of the type; null where it is none."""
    match type_:
        case "string":
            return text
        case "double":
            value = _formed(text, type_).try_cast("double")
            # Of a number that is too large Spark makes infinity.
            return F.when((F.abs(value) != F.lit(float("inf"))) | text.rlike(INFINITE), value)
        case "timestamp":
            return moment(text)
        case _:
            return _formed(text, type_).try_cast(type_)


def decimal(text: Column) -> Column:
    """`text` as decimal(38,18), rounded if it has more digits; null where it is no number, or too large."""
    # Java takes the square of the number of digits.
    short = F.length(text) <= LONGEST_DECIMAL
    return F.when(short & text.rlike(NUMBER), text).try_cast("decimal(38,18)")


def moment(text: Column) -> Column:
    """`text` as a timestamp; without a zone it is one of the session's, which is UTC."""
    formed = _formed(text, "timestamp")
    value = F.coalesce(
        formed.try_cast("timestamp"), F.regexp_replace(formed, _NO_SECONDS, "$1:00$2").try_cast("timestamp")
    )
    # A zone may lead out of the years that Python has.
    return F.when(value.between(F.lit(FIRST).cast("timestamp"), F.lit(LAST).cast("timestamp")), value)


def _formed(text: Column, type_: ColumnType) -> Column:
    return F.when(text.rlike(FORMS[type_]), text)
