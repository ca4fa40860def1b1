"""A publication and the rows that it is of: what is to be written where."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from millstream.lake.delta import Transaction
from millstream.lake.staging import SOURCE_ROW_ID
from millstream.lake.tables import TableRef
from millstream.publishing.decide import Publication
from millstream.publishing.fate import is_published
from millstream.publishing.state import LakeState
from millstream.transforms import Table


@dataclass(frozen=True)
class Work:
    """A publication of the table that is `defined` so, and the rows that it is of: judged, with their fate,
    those of superseded partitions too.

    `landed` are the files that quarantined rows came from, `leaving` the keys of rows that leave the table.
    """

    spark: SparkSession
    lake_root: str
    defined: Table
    publication: Publication
    state: LakeState
    all_rows: DataFrame
    landed: frozenset[str]
    leaving: DataFrame | None = None

    @property
    def table(self) -> TableRef:
        return self.publication.table

    @property
    def uri(self) -> str:
        return self.table.uri(self.lake_root)

    @cached_property
    def columns(self) -> StructType:
        return published_columns(self.defined)

    @property
    def rows(self) -> DataFrame:
        superseded = self.publication.superseded
        return self.all_rows.where(~F.col("_partition").isin(*superseded)) if superseded else self.all_rows

    @property
    def good(self) -> DataFrame:
        return self.rows.where(is_published())

    def transaction(self, place: TableRef) -> Transaction:
        request, account = self.publication.request, self.publication.account
        writer = f"millstream:{place}:{request.scope}"
        return Transaction(writer, account.sequence, metadata=account.model_dump_json())


def published_columns(table: Table) -> StructType:
    """The columns as they are published, with the id of the source row that each row came from."""
    source_row = StructField(
        SOURCE_ROW_ID, StringType(), True, {"comment": "Landed file and row number that this row came from"}
    )
    if table.mart:
        return table.schema
    fields = [column for column in table.schema.fields if column.name != SOURCE_ROW_ID]
    return StructType([*fields, source_row])
