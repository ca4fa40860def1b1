"""The last two tasks of every DAG that writes a table: judge the staged rows, publish the judged rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetAlias

from millstream.lake import history
from millstream.lake.tables import TableRef
from millstream.marts import LEAST_ROWS
from millstream.quality.verdict import page_name
from millstream_airflow import catalog
from millstream_airflow.tasks.notes import leave_note, skip
from millstream_airflow.tasks.spark_job import SparkJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context, XComArg


# What an asset event says of a publish.
EVENT_FIELDS = (
    "version",
    "changed",
    "read",
    "written",
    "quarantined",
    "deduplicated",
    "dropped",
    "tombstones",
    "deleted",
    "accepted",
    "superseded",
    "verdict",
)


class StagingOperator(SparkJobOperator):
    """Stage rows for `publish_staged`; also returns the version of the code that made them."""

    def execute(self, context: Context) -> dict[str, Any]:
        return {**super().execute(context), "code_version": catalog.code_version()}


class MartOperator(StagingOperator):
    """Stage a mart's rows: all, or of a mart by month the months that can have other rows now.

    Also returns the `Mart` that made them, whose version is that of the code, since its file may change while
    the job runs; and how the rows are to be judged and published. Is skipped when no month has changed.
    """

    def __init__(self, *, mart: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mart = mart

    def job_arguments(self, context: Context) -> dict[str, Any]:
        from millstream.publishing.mart_changes import WHOLE_TABLE, rebuild_of
        from millstream.quality.suite import Suite

        self._submitted = catalog.mart(self.mart)
        arguments = {**super().job_arguments(context), "mart": self._submitted.model_dump(mode="json")}
        if self._submitted.head.partition is None:
            self._rebuild = WHOLE_TABLE
            return arguments
        cut_by = {table: catalog.partition_column(table) for table in self._submitted.inputs}
        forced = bool(context["params"]["force"])
        root = arguments["lake_root"]
        suite = Suite.from_dict(catalog.suite(self.mart))
        self._rebuild = rebuild_of(self._submitted, arguments["inputs"], cut_by, suite.version, root, forced)
        if self._rebuild.months == ():
            skip(f"{self._submitted.table} has these rows already: {self._rebuild.why}")
        return {**arguments, "partitions": list(self._rebuild.months or ())}

    def execute(self, context: Context) -> dict[str, Any]:
        result = super().execute(context)
        made_by, rebuild = self._submitted, self._rebuild
        if made_by.head.partition is not None:
            made = f"months {', '.join(rebuild.months)}" if rebuild.months else "the whole table"
            leave_note(context, [f"made {made}: {rebuild.why}"])
        return {
            **result,
            "code_version": made_by.version,
            "mart": made_by.model_dump(mode="json"),
            "load": "partition" if rebuild.months else "full",
            "partitions": list(rebuild.months or ()),
            "partition_column": made_by.head.partition,
            "rest": rebuild.rest if rebuild.months else None,
            "suite_parameters": {LEAST_ROWS: 0} if rebuild.months else {},
        }


class GateOperator(SparkJobOperator):
    """Judge a staged table; the Data Docs page is linked also when the gate fails."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(job="quality_gate", **kwargs)

    def job_arguments(self, context: Context) -> dict[str, Any]:
        arguments = super().job_arguments(context)
        page = page_name(arguments["table"], arguments["run"], arguments["staged_version"])
        self.links["Data Docs"] = catalog.data_docs_url(page)
        return {**arguments, "run_page": catalog.run_page(context)}


class PublishOperator(SparkJobOperator):
    """Publish a judged staged table and emit an asset event with version, counts and verdict.

    `published` is the table's asset; an alias where only the run knows the table. How a `dataset` is loaded
    and cut is in its contract.
    """

    def __init__(self, *, published: Asset | AssetAlias, **kwargs: Any) -> None:
        super().__init__(job="publish", outlets=[published], noted=True, **kwargs)
        self.published = published

    def job_arguments(self, context: Context) -> dict[str, Any]:
        arguments = super().job_arguments(context)
        if self.dataset is not None:
            contract = catalog.contract(self.dataset)
            arguments["load"] = contract.load
            arguments["partition_column"] = contract.partition.column if contract.partition else None
            arguments["contract_version"] = contract.version
            if context["params"].get("rebuild"):
                arguments |= {"load": "full", "partitions": [], "rebuild": True}
        before = history.read_both(TableRef.parse(arguments["table"]), arguments["lake_root"])
        return {
            **arguments,
            # A later attempt may replace what an earlier one published.
            "sequence": before.next_sequence(context["ti"].start_date),
        }

    def execute(self, context: Context) -> dict[str, Any]:
        result = super().execute(context)
        self.tell(context, result)
        return result

    def tell(self, context: Context, result: dict[str, Any]) -> None:
        """Add the asset event of this publish. Consumers compare versions, so an extra event does no harm."""
        fields = {name: result[name] for name in EVENT_FIELDS}
        event = context["outlet_events"][self.published]
        if isinstance(self.published, AssetAlias):
            event.add(catalog.table_asset(result["table"]), fields)
        else:
            event.extra = fields


def field(output: Any, name: str) -> XComArg:
    """One field of a task's result, for the arguments of a later task."""
    chosen: XComArg = output[name]
    return chosen


def publish_staged(
    table: str,
    staged: StagingOperator,
    published: Asset | AssetAlias,
    arguments: dict[str, Any],
    partitions: Any = (),
    dataset: str | None = None,
    judged_as: dict[str, Any] | None = None,
) -> PublishOperator:
    """Add quality_gate and publish behind the task that staged `table`; returns the publish task.

    `staged` returns `staged_uri`, `staged_version`, `rows` and `inputs`; `partitions` are the run's, empty
    for a whole table. `arguments` are more of them for publish, `judged_as` for the gate.
    """
    suite = table.partition(".")[2]
    judged = {
        "table": table,
        "staged_uri": field(staged.output, "staged_uri"),
        "staged_version": field(staged.output, "staged_version"),
    }
    gate = GateOperator(
        task_id="quality_gate",
        dataset=dataset,
        suite=suite,
        arguments={
            **judged,
            "partitions": partitions,
            "inputs": field(staged.output, "inputs"),
            "data_docs": True,
            **(judged_as or {}),
        },
        doc_md=f"Judges the staged rows by `expectations/{suite}.json` and the contract. Fails closed.",
    )
    publish = PublishOperator(
        task_id="publish",
        published=published,
        dataset=dataset,
        suite=suite,
        # A backfill's runs come beside the schedule's: each looks at what the other has published.
        max_active_tis_per_dag=1,
        arguments={
            **judged,
            "rows_read": field(staged.output, "rows"),
            "inputs": field(staged.output, "inputs"),
            "code_version": field(staged.output, "code_version"),
            "partitions": partitions,
            **arguments,
        },
        doc_md=f"Good rows to `{table}`, broken ones to `{table}_quarantine`, counts into the commit.",
    )
    staged >> gate >> publish
    return publish
