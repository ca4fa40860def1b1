"""The DAG of a mart, built from its SELECT: it runs when a table changes that the SELECT reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from airflow.sdk import DAG, AssetAny, Param

from millstream.errors import ContractError
from millstream.marts import Mart
from millstream_airflow import catalog
from millstream_airflow.pipelines.features import changed_inputs
from millstream_airflow.tasks.alerts import RunNotifier
from millstream_airflow.tasks.publish import MartOperator, field, publish_staged
from millstream_airflow.tasks.retries import TASK_ARGS

DOC = """
### gold.{name}

{description}

Made by `marts/{name}.sql` from {inputs}, each read at one pinned version. Any of {triggers}
triggers this DAG. Nothing is done when the table was already made from the present versions by the present
SQL, or when one of them has never been published.{by_month}

| column | description |
|---|---|
{columns}
"""
BY_MONTH = """

It is made by month: only the months whose rows have changed in one of these tables are made anew. The whole
table is made when a table has changed that is not cut by months, when the SQL has changed, when what has
changed is not known, and with *force*."""


def mart_dag(name: str) -> DAG:
    """The DAG `mart_<name>`. Raises ConfigurationError or ContractError when the mart cannot be read."""
    mart = catalog.mart(name)
    triggers = triggers_of(mart)
    table, head = str(mart.table), mart.head
    with DAG(
        dag_id=f"mart_{name}",
        description=head.description or f"Rebuild {table} when one of its inputs changes",
        doc_md=DOC.format(
            name=name,
            description=head.description,
            inputs=_quoted(mart.inputs),
            by_month=BY_MONTH if head.partition else "",
            triggers=_quoted(triggers),
            columns="\n".join(f"| {column} | {text} |" for column, text in head.columns.items()),
        ),
        schedule=AssetAny(*(catalog.table_asset(one) for one in triggers)),
        catchup=False,
        max_active_runs=1,
        tags=["mart", "gold", *head.tags],
        params={
            "force": Param(
                False, type="boolean", description="Rebuild the whole table even when no input has changed."
            )
        },
        dagrun_timeout=timedelta(minutes=head.deadline_minutes),
        default_args={"owner": head.owner, **TASK_ARGS},
        on_failure_callback=RunNotifier(),
    ) as dag:
        versions = changed_inputs(table, list(mart.inputs), mart.version)
        build = MartOperator(
            task_id="build",
            job="build_mart",
            mart=name,
            arguments={"inputs": versions},
            doc_md="The SELECT over the pinned input versions, staged once.",
        )
        publish_staged(
            table,
            build,
            catalog.table_asset(table),
            arguments={
                name: field(build.output, name) for name in ("load", "partition_column", "rest", "mart")
            },
            partitions=field(build.output, "partitions"),
            judged_as={
                # What a contract's columns refer to; a mart has none.
                "inputs": None,
                "parameters": field(build.output, "suite_parameters"),
                "partition_column": field(build.output, "partition_column"),
            },
        )
    return dag


def triggers_of(mart: Mart) -> tuple[str, ...]:
    """The inputs whose changes rebuild the mart: those that another input is made from are left out, because
    its own rebuild follows, and the mart would be built twice.

    Raises: ContractError for an input that no DAG publishes, since nothing would say when it changes.
    """
    behind: set[str] = set()
    for table in mart.inputs:
        made_from = catalog.made_from(table)
        if made_from is None:
            raise ContractError(
                f"{mart.file}: no DAG publishes {table}, so nothing says when it changes: read a dataset's, "
                "a feature table's, a model's or another mart's table"
            )
        behind.update(made_from)
    return tuple(table for table in mart.inputs if table not in behind)


def _quoted(tables: Sequence[str]) -> str:
    return ", ".join(f"`{table}`" for table in tables)
