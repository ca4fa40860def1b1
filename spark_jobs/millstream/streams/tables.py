"""The tables of a stream: its bronze, silver and quarantine, and the newest account of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from millstream.contracts.contract import Contract
from millstream.contracts.sources import kafka
from millstream.lake import checks, history
from millstream.lake.accounts import Account
from millstream.lake.delta import TableDefinition
from millstream.lake.tables import TableRef
from millstream.publishing import quarantine
from millstream.publishing.work import published_columns
from millstream.quality.suite import Suite
from millstream.transforms import Table, table_of

# Commits among which the newest account is looked for before all are read: maintenance makes few.
LATELY = 20
HEADER = StructType([StructField("key", StringType()), StructField("value", BinaryType())])
BRONZE = StructType(
    [
        StructField("topic", StringType(), True, {"comment": "Topic of the record"}),
        StructField("partition", IntegerType(), True, {"comment": "Its partition there"}),
        StructField("offset", LongType(), True, {"comment": "Its offset in the partition"}),
        StructField("timestamp", TimestampType(), True, {"comment": "When it was sent, or received"}),
        StructField("key", BinaryType(), True, {"comment": "Key, as received"}),
        StructField("value", BinaryType(), True, {"comment": "Value, as received; null is a tombstone"}),
        StructField("headers", ArrayType(HEADER), True, {"comment": "Headers, as received"}),
    ]
)


@dataclass(frozen=True)
class Stream:
    """One dataset that is read from a topic: its contract and suite, and the lake that it goes to."""

    contract: Contract
    suite: Suite
    lake_root: str
    code_version: str

    @property
    def source(self) -> kafka.Source:
        assert isinstance(self.contract.source, kafka.Source)
        return self.contract.source

    @property
    def name(self) -> str:
        return self.contract.dataset

    @property
    def bronze(self) -> TableRef:
        return TableRef(zone="bronze", name=self.name)

    @property
    def silver(self) -> TableRef:
        return TableRef(zone="silver", name=self.name)

    @cached_property
    def defined(self) -> Table:
        return table_of(self.name, self.contract)

    @cached_property
    def columns(self) -> StructType:
        return published_columns(self.defined)

    def definition(self, table: TableRef) -> TableDefinition:
        if table == self.bronze:
            return TableDefinition(BRONZE, f"Records of the topic {self.source.topic}, as received")
        if table == self.silver.quarantine:
            return quarantine.definition(self.silver, self.columns)
        return TableDefinition(
            self.columns, self.defined.description, (), checks.constraints(self.defined.checks)
        )

    def newest(self, table: TableRef, of: TableRef | None = None) -> Account | None:
        """The newest account of `of` (the table itself) that `table` has and no restore has undone."""
        for limit in (LATELY, None):
            found = history.read(table, self.lake_root, limit)
            if found.version is None:
                return None
            standing = found.standing_of(of or table)
            if standing:
                return standing[0]
        return None

    def oldest(self, table: TableRef) -> Account | None:
        """The first account of `table` that no restore has undone; reads the whole history."""
        standing = history.read(table, self.lake_root).standing
        return standing[-1] if standing else None
