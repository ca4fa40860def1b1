"""What a text means as a value of each contract type: one reading, the same on every day, or none.

Spark's casts take more for a value than was written: `12:30` for a moment of the day of the run, `72F` for
72.0, `0x1p3` for 8.0, `201301` for the year 201301, digits of every script for those of a decimal. So a text
must have its type's form before it is cast. docs/contracts.md says the forms in words.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from millstream.contracts.contract import Column as ContractColumn
from millstream.contracts.types import Digits, digits_of, spark_type
from millstream.contracts.written import BASE64

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

WALL_CLOCK = rf"\A\s*{_DATE}(?:{_MINUTES}(?:{_SECONDS})?)?\s*\z"
TIME = r"\A\s*(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6}0*)?)?\s*\z"
BYTES = r"(?i)\A\s*\\x(?:[0-9a-f]{2})*+\s*\z"
IN_BASE64 = r"\A\s*(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\s*\z"
FORMS = {
    "smallint": INTEGER,
    "int": INTEGER,
    "bigint": INTEGER,
    "float": DOUBLE,
    "double": DOUBLE,
    "boolean": BOOLEAN,
    "date": DATE,
    "timestamp": TIMESTAMP,
    "timestamp_ntz": WALL_CLOCK,
    "time": TIME,
}
# With a negative exponent, of which ten digits more than a column has show whether it has all.
SMALL = r"\A\s*[+-]?(?:\d++(?:\.\d{0,5})?|\.\d{1,5})[eE]-0?[0-5]\s*\z"
LONGEST_DECIMAL = 100
FIRST, LAST = "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"


def reading(text: Column, column: ContractColumn) -> Column:
    """`text` as a value of the column's type; null where it is none."""
    if (digits := digits_of(column.type)) is not None:
        return exact(text, digits)
    if column.format is not None and column.type != "binary":
        return _patterned(text, column.type, column.format)
    match column.type:
        case "string":
            return text
        case "float" | "double":
            return _floating(text, column.type)
        case "boolean" if column.true_values:
            return _of_words(text, column)
        case "timestamp":
            return moment(text)
        case "time":
            return _clock(F.regexp_replace(_formed(text, "time"), r"\A(\s*\d\d:\d\d)(\s*)\z", "$1:00$2"))
        case "binary":
            return _bytes(text, column.format)
        case "json":
            return F.when(F.try_parse_json(text).isNotNull(), text)
        case _:
            return _formed(text, column.type).try_cast(column.type)


def plainly_written(text: Column, column: ContractColumn) -> Column:
    """A number with marks of its own as one without; null where it is not written so."""
    if column.decimal_mark is None and column.thousands_mark is None:
        return text
    point, group = column.decimal_mark or ".", column.thousands_mark
    whole = rf"\d{{1,3}}(?:{_alone(group)}\d{{3}})++|\d++" if group else r"\d++"
    form = rf"\A\s*[+-]?(?:{whole})?(?:{_alone(point)}\d*+)?(?:[eE][+-]?\d++)?\s*\z"
    bare = F.replace(text, F.lit(group), F.lit("")) if group else text
    return F.when(text.rlike(form), F.replace(bare, F.lit(point), F.lit(".")))


def _alone(mark: str) -> str:
    """A regular expression of this one character."""
    return rf"\x{{{ord(mark):x}}}"


def exact(text: Column, digits: Digits) -> Column:
    """`text` as a decimal, if it has room for all its digits but zeros at the end."""
    type_ = f"decimal({digits.precision},{digits.scale})"
    short = F.length(text) <= LONGEST_DECIMAL
    before, behind = rf"\d++(?:\.\d{{0,{digits.scale}}}0*+)?", rf"\.\d{{1,{max(digits.scale, 1)}}}0*+"
    form = rf"\A\s*[+-]?(?:{before}|{behind})(?:[eE]\+?\d{{1,2}})?\s*\z"
    value = F.when(short & text.rlike(form), text).try_cast(type_)
    # Of a negative exponent the digits behind the point are counted by a decimal that has room for them.
    small = F.when(short & text.rlike(SMALL), text)
    roomy = small.try_cast(f"decimal(38,{min(38, digits.scale + 10)})")
    return F.coalesce(value, F.when(small.try_cast(type_) == roomy, small.try_cast(type_)))


def _floating(text: Column, type_: str) -> Column:
    value = _formed(text, type_).try_cast(type_)
    # Of a number that is too large Spark makes infinity.
    return F.when((F.abs(value) != F.lit(float("inf"))) | text.rlike(INFINITE), value)


def _of_words(text: Column, column: ContractColumn) -> Column:
    word = F.trim(text)
    return F.when(word.isin(*column.true_values), F.lit(True)).when(
        word.isin(*column.false_values), F.lit(False)
    )


def _patterned(text: Column, type_: str, pattern: str) -> Column:
    value = F.try_to_timestamp(F.trim(text), F.lit(pattern))
    if type_ == "time":
        return _clock(F.date_format(value, "HH:mm:ss.SSSSSS"))
    ranged = F.when(value.between(F.lit(FIRST).cast("timestamp"), F.lit(LAST).cast("timestamp")), value)
    return ranged.cast(spark_type(type_))


def _clock(text: Column) -> Column:
    """A time of day with its seconds, and no zeros at the end of their fraction."""
    word = F.trim(text)
    return F.when(word.contains("."), F.regexp_replace(word, r"\.?0*\z", "")).otherwise(word)


def _bytes(text: Column, format_: str | None) -> Column:
    word = F.trim(text)
    if format_ == BASE64:
        return F.when(text.rlike(IN_BASE64), F.try_to_binary(word, F.lit(BASE64)))
    return F.when(text.rlike(BYTES), F.unhex(F.substr(word, F.lit(3))))


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


def _formed(text: Column, type_: str) -> Column:
    return F.when(text.rlike(FORMS[type_]), text)
