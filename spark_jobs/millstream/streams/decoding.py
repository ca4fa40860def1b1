"""Records of a topic to rows of text, as bronze has them in batch: by the decoder of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from millstream.bronze.decoding import LINEAGE
from millstream.contracts.contract import Contract
from millstream.contracts.sources import kafka
from millstream.contracts.sources.kafka import VERSION_HEADER
from millstream.formats.readers.jsonl import value_record
from millstream.formats.record import FIELD_TWICE, Layouts, Record, layouts
from millstream.lake.tables import WHOLE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

# Columns of a record, from Spark's source for Kafka with its headers.
RECORD = ("key", "value", "headers", "topic", "partition", "offset")


def decoded(records: DataFrame, contract: Contract) -> DataFrame:
    """A row for each record: the contract's columns as text, then those of `bronze.decoding.LINEAGE`.

    `_source_file` is `topic/partition`, `_source_row` the offset.
    """
    types = {**dict.fromkeys(contract.column_names, "string"), **LINEAGE}

    def batches(received: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        kinds = {"string": pa.string(), "bigint": pa.int64()}
        schema = pa.schema([(name, kinds[kind]) for name, kind in types.items()])
        layout_of = layouts(contract)
        for batch in received:
            rows = [_row(one, contract, layout_of) for one in batch.to_pylist()]
            columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
            arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return records.select(*RECORD).mapInArrow(
        batches, ", ".join(f"`{name}` {kind}" for name, kind in types.items())
    )


def _row(received: Mapping[str, Any], contract: Contract, layout_of: Layouts) -> list[Any]:
    record = record_of(received["key"], received["value"], received["headers"] or (), contract, layout_of)
    values = record.values if record.values is not None else [None] * len(contract.columns)
    place = f"{received['topic']}/{received['partition']}"
    return [*values, WHOLE, place, received["offset"], record.error, record.raw, record.added]


def record_of(
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[Mapping[str, Any]],
    contract: Contract,
    layout_of: Layouts | None = None,
) -> Record:
    """One record decoded, or the reason why it cannot be.

    `headers` are maps of `key` and `value`; those that the contract does not name are left out.
    """
    source = contract.source
    assert isinstance(source, kafka.Source)
    raw = "" if value is None else value.decode("utf-8", "backslashreplace")
    beside: dict[str, str] = {}
    for header in headers:
        name = header["key"]
        if name not in source.headers or header["value"] is None:
            continue
        if name in beside:
            return Record(None, f"{FIELD_TWICE}: header {name}", raw)
        try:
            beside[name] = header["value"].decode()
        except UnicodeDecodeError:
            return Record(None, f"header {name}: not UTF-8", raw)
    if value is None:
        return Record(None, "a tombstone: no value", raw)
    if key is None:
        return Record(None, "no key", raw)
    version = beside.get(VERSION_HEADER)
    if version not in set(map(str, source.schema_versions)):
        return Record(None, f"schema version not known: {version}", raw)
    return value_record(value, beside, layout_of or layouts(contract))
