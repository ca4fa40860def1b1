"""Judge a staged table and say whether it may be published.

The verdict lies beside the staged table as `<staged>__verdict.json`; publishing reads it from there, so a
gate that did not end leaves nothing that could be published.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from millstream.contracts.contract import Contract
from millstream.contracts.updates import INCREMENTS
from millstream.errors import QualityGateError, printable
from millstream.jobs import StagedArgs
from millstream.lake import history
from millstream.lake.names import ColumnName, Inputs, Partitions, RunKey, TableName
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.marts import LEAST_ROWS
from millstream.quality import charts
from millstream.quality.broken_rows import with_broken_rows, with_source_records
from millstream.quality.gate import publishable, run_gate, with_some_left
from millstream.quality.parameters import run_parameters
from millstream.quality.references import absent
from millstream.quality.suite import Suite
from millstream.quality.verdict import RUN_PAGE, BrokenRow, Verdict, page_name, verdict_path
from millstream.transforms import table_of

Result = Verdict
ROWS_IN_MESSAGE = 5


class Args(StagedArgs):
    """What to judge.

    `table` is `zone.name`; `staged_uri` lies below `lake_root`; `suite` is the suite's JSON. `parameters`
    override what the run itself says (`run_parameters`), which overrides the suite's `meta.parameters`.
    `partitions` are the run's months; with `data_docs` a page is written to the lake's Data Docs. `inputs`
    are the versions of the tables that were read for the staged rows; null where that is not known. By the
    `contract` of a dataset the rows that stop it are shown as received. With a `partition_column` the chart
    is of the table as it will be: of `partitions` the staged rows, of the others the published ones.
    `run_page` is that of the run in Airflow's web UI, below its address.
    """

    table: TableName
    suite: dict[str, Any]
    run: RunKey
    partitions: Partitions | None = None
    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    data_docs: bool = False
    inputs: Inputs | None = None
    contract: dict[str, Any] | None = None
    partition_column: ColumnName | None = None
    run_page: str | None = Field(default=None, pattern=RUN_PAGE)


def run(spark: SparkSession, args: Args) -> Verdict:
    """Judge the staged version, write the verdict and its Data Docs page.

    Raises:
        QualityGateError: the table may not be published; the message says which rules broke and by how much.
        ContractError: the suite does not fit the staged table.
    """
    storage = Storage(args.lake_root)
    path = verdict_path(args.staged_uri, args.lake_root)
    # An earlier attempt's verdict must not outlive this one's failure.
    storage.remove(path)
    staged = spark.read.format("delta").option("versionAsOf", args.staged_version).load(args.staged_uri)
    suite = Suite.from_dict(args.suite, {**run_parameters(args.partitions or ()), **args.parameters})
    verdict, findings = run_gate(
        staged,
        suite,
        table=args.table,
        run=args.run,
        staged_version=args.staged_version,
        absent=_absent(args),
    )
    # Months of a mart may have no rows any more.
    if verdict.evaluated or args.parameters.get(LEAST_ROWS) != 0:
        verdict = with_some_left(verdict, _replaced_rows(args))
    verdict = with_broken_rows(verdict, publishable(staged), suite)
    if args.contract is not None:
        contract = Contract.from_dict(args.contract, origin="contract")
        verdict = with_source_records(spark, verdict, contract, args.lake_root)
    if args.data_docs:
        # Rendering needs Great Expectations, which this process has imported by now.
        from millstream.quality import data_docs

        page = page_name(args.table, args.run, args.staged_version)
        verdict = verdict.model_copy(update={"docs_page": page, "run_page": args.run_page})
        chart = charts.svg(_drawn(args, staged), suite.meta.chart) if suite.meta.chart else ""
        data_docs.publish(storage, verdict, findings, chart)
    storage.write(path, verdict.model_dump_json(indent=2).encode())
    if not verdict.passed:
        raise QualityGateError(_refusal(verdict))
    return verdict


def _drawn(args: Args, staged: DataFrame) -> DataFrame:
    rows = publishable(staged)
    if not args.partitions or args.partition_column is None:
        return rows
    published = staged.sparkSession.read.format("delta").load(TableRef.parse(args.table).uri(args.lake_root))
    others = published.where(~F.col(args.partition_column).isin(*args.partitions))
    return rows.select(*published.columns).unionByName(others)


def _replaced_rows(args: Args) -> int:
    """How many published rows make room for the staged ones; an increment leaves those that are there."""
    if args.contract is not None and args.contract.get("load") in INCREMENTS:
        return 0
    published = history.read(TableRef.parse(args.table), args.lake_root).latest_by_partition()
    chosen = args.partitions or published
    return sum(counts.written for name, (_, counts) in published.items() if name in chosen)


def _absent(args: Args) -> dict[str, str]:
    """Which tables that the staged rows refer to had not been published, in words, by flag column."""
    if args.inputs is None:
        return {}
    contract = Contract.from_dict(args.contract, origin="contract") if args.contract else None
    return absent(table_of(TableRef.parse(args.table).name, contract).references, args.inputs)


def _refusal(verdict: Verdict) -> str:
    page = f"Data Docs: {verdict.docs_page}. " if verdict.docs_page else ""
    return (
        f"{verdict.table} is left as it was: version {verdict.staged_version} of run {verdict.run} broke "
        f"critical rules of suite {verdict.suite!r}: {verdict.reason}.{_shown(verdict)}{page}What to do: "
        "correct the source or the suite, then clear from plan or quality_gate"
    )


def _shown(verdict: Verdict) -> str:
    """Some of the rows that stopped the table; one of each rule before a second one of any."""
    lists = [[f"- {describe_row(row)}" for row in rule.rows] for rule in verdict.blocking]
    lines = [line for turn in zip_longest(*lists) for line in turn if line is not None]
    if not lines:
        return " "
    return "\n".join(["\nRows that stopped it, for example:", *lines[:ROWS_IN_MESSAGE], ""])


def describe_row(row: BrokenRow) -> str:
    """One broken row in words and in one line, for messages."""
    received = f"; received as {row.record}" if row.record else ""
    return printable(f"{row.place}: {row.values}{received}")
