"""Records of a topic to rows of text by Spark's own expressions, where Python is not allowed.

What cannot be read is the same as in `streams.decoding`, the decoder of files; the words are fewer.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from millstream.bronze.decoding import LINEAGE
from millstream.contracts.contract import Column as ContractColumn
from millstream.contracts.contract import Contract
from millstream.contracts.sources import kafka
from millstream.contracts.sources.kafka import VERSION_HEADER
from millstream.formats.record import MOST_NESTED
from millstream.lake.source_rows import SOURCE_FILE, SOURCE_ROW
from millstream.lake.tables import WHOLE

# Behind what it has read of a text Spark's parser looks at nothing: `{"a": 1} x` is an object to it. So the
# value is parsed as the first of a list, of which the second has a number that no value can know of itself.
END = "_end"
HEADERS = "array<struct<key:string,value:binary>>"
# A field's value may have MOST_NESTED - 1 levels, in an object in a list.
STRICT = {"allowSingleQuotes": "false", "maxNestingDepth": str(MOST_NESTED + 1)}


def decoded(records: DataFrame, contract: Contract) -> DataFrame:
    """As `streams.decoding.decoded`, without the text of a row that cannot be read, and without the fields
    that the contract does not know."""
    source = contract.source
    assert isinstance(source, kafka.Source)
    every = [name for column in contract.columns for name in (column.name, *column.aliases)]
    schema = ", ".join(f"`{name.replace('`', '``')}`: string" for name in (*every, END))
    text = F.col("value").cast("string")
    headers = F.filter("headers", lambda one: one["key"].isin(*source.headers) & one["value"].isNotNull())
    listed = F.concat(F.lit("["), "_text", F.lit(f', {{"{END}": "'), "_mark", F.lit('"}]'))
    # In steps, so that each value is parsed once: Spark folds no step into the next that uses it twice.
    parsed = (
        records.select("*", text.alias("_text"), F.xxhash64(text).cast("string").alias("_mark"))
        .withColumn("_headers", F.coalesce(headers, F.array().cast(HEADERS)))
        .withColumn("_list", F.from_json(listed, f"array<struct<{schema}>>", STRICT))
        .withColumn("_keys", F.json_object_keys("_text"))
    )
    values = [_delivered(column, source).alias(column.name) for column in contract.columns]
    lineage = {
        "_partition": F.lit(WHOLE),
        SOURCE_FILE: F.concat_ws("/", "topic", F.col("partition").cast("string")),
        SOURCE_ROW: F.col("offset"),
        "_record_error": _error(contract, source),
    }
    # The expressions refer to columns of `parsed`; only the last select has the contract's.
    return parsed.select(
        *values,
        *(lineage.get(name, F.lit(None)).cast(kind).alias(name) for name, kind in LINEAGE.items()),
    )


def _error(contract: Contract, source: kafka.Source) -> Column:
    beside = F.transform("_headers", lambda one: one["key"])
    # Names that differ in case alone are one to Spark.
    names = F.concat("_keys", beside)
    letters = F.transform(names, F.lower)
    required = [one for one in contract.columns if not contract.lacks_nothing_without(one)]
    lacking = [~F.arrays_overlap(F.array(*map(F.lit, (one.name, *one.aliases))), names) for one in required]
    versions = list(map(str, source.schema_versions))
    reasons: list[tuple[Column, str]] = [
        (_is_repeated(beside), "a header comes twice"),
        (
            ~F.forall("_headers", lambda one: F.is_valid_utf8(one["value"].cast("string"))),
            "not UTF-8: a header",
        ),
        (F.col("value").isNull(), "a tombstone: no value"),
        (F.col("key").isNull(), "no key"),
        (~F.coalesce(_header(VERSION_HEADER).isin(*versions), F.lit(False)), "schema version not known"),
        (~F.coalesce(_is_one_object(), F.lit(False)), "not JSON"),
        (_is_repeated(letters), "a field comes twice"),
        (reduce(or_, lacking, F.lit(False)), "field missing"),
    ]
    first: Column = F.lit(None).cast("string")
    return reduce(lambda rest, one: F.when(one[0], F.lit(one[1])).otherwise(rest), reversed(reasons), first)


def _is_repeated(names: Column) -> Column:
    return F.size(F.array_distinct(names)) != F.size(names)


def _is_one_object() -> Column:
    """Whether the text is an object and nothing else; in a variant no object has a name twice, and no text
    half of a character."""
    return (
        F.is_valid_utf8("_text")
        & F.col("_keys").isNotNull()
        & F.try_parse_json("_text").isNotNull()
        & (F.size("_list") == 2)
        & (F.get("_list", F.lit(1))[END] == F.col("_mark"))
    )


def _delivered(column: ContractColumn, source: kafka.Source) -> Column:
    """As `Column.delivered_as`: its own name wins, also where its value is null."""
    fields = F.get("_list", F.lit(0))
    value = fields[column.name]
    if column.aliases:
        named = F.when(F.array_contains("_keys", column.name), value)
        for name in column.aliases:
            named = named.when(F.array_contains("_keys", name), fields[name])
        value = named
    return F.coalesce(_header(column.name), value) if column.name in source.headers else value


def _header(name: str) -> Column:
    return F.get(F.filter("_headers", lambda one: one["key"] == name), F.lit(0))["value"].cast("string")
