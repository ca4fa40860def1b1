"""The ingest DAG of a dataset, built from its contract.

plan -> extract (mapped) -> land -> load_bronze -> transform -> quality_gate -> publish
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, get_current_context, task
from pydantic import ValidationError

from millstream.contracts.contract import Contract
from millstream.contracts.unsaid import unsaid
from millstream.errors import ConfigurationError
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.manifest import LandedFile, run_key
from millstream.landing.run import Landing
from millstream_airflow import catalog
from millstream_airflow.periods import of_source, periods_of_run
from millstream_airflow.schedules import of_contract
from millstream_airflow.tasks.alerts import RunNotifier
from millstream_airflow.tasks.notes import leave_note, skip
from millstream_airflow.tasks.publish import StagingOperator, field, publish_staged
from millstream_airflow.tasks.retries import TASK_ARGS
from millstream_airflow.tasks.spark_job import SparkJobOperator
from millstream_airflow.tasks.watch_files import watched_files

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

NOTHING_NEW = "nothing new at the source"

DOC = """
### {dataset}

{description}

**Source** {kind} ({format}), connection `{connection}` · **key** {key} · **load** {load} · **owner** {owner}

| column | type | unit | description |
|---|---|---|---|
{columns}

Contract: `dags/datasets/{dataset}.yaml`, version {version}. More rules: `expectations/{dataset}.json`.
{unsaid}
Broken rows go to `silver.{dataset}_quarantine` with their reasons; nothing is published without a verdict.
"""


def ingest_dag(dataset: str) -> DAG:
    """The DAG `ingest_<dataset>`. Raises ContractError when the contract is wrong."""
    contract = catalog.contract(dataset)
    with DAG(
        dag_id=f"ingest_{dataset}",
        description=contract.description or f"Ingest {dataset}",
        doc_md=_doc(contract),
        schedule=[watched_files(contract)] if contract.source.is_watched else of_contract(contract),
        catchup=False,
        max_active_runs=1,
        tags=["ingest", *contract.tags],
        params=_params(contract),
        dagrun_timeout=timedelta(minutes=contract.deadline_minutes),
        default_args={"owner": contract.owner, **TASK_ARGS},
        on_failure_callback=RunNotifier(),
    ) as dag:
        _build(contract)
    return dag


def _build(contract: Contract) -> None:
    dataset = contract.dataset
    table = f"silver.{dataset}"
    published = catalog.table_asset(table)
    slices = plan(dataset)
    landed = land(dataset, extract.partial(dataset=dataset).expand(piece=slices))
    bronze = SparkJobOperator(
        task_id="load_bronze",
        job="load_bronze",
        dataset=dataset,
        arguments={"rebuild": "{{ params.rebuild }}"},
        skip_if="{{ params.mode == 'etl' }}",
        doc_md="Every landed row as the source sent it, with its file and row number. Skipped in ETL mode.",
    )
    transform = StagingOperator(
        task_id="transform",
        job="transform",
        dataset=dataset,
        arguments={"mode": "{{ params.mode }}"},
        # In ETL mode load_bronze is skipped; when nothing new has landed, so is everything.
        trigger_rule="none_failed_min_one_success",
        doc_md="Typed, duplicates marked, references checked; staged once, before anyone may see it.",
    )
    landed >> [bronze, transform]
    bronze >> transform
    publish_staged(
        table,
        transform,
        published,
        arguments={
            "watermark": field(landed, "watermark_high"),
            "drift": field(transform.output, "drift"),
            "fetch_began": field(transform.output, "fetch_began"),
        },
        partitions=field(landed, "partitions"),
        dataset=dataset,
    )


@task(doc_md="Which files, pages or key ranges this run fetches; refuses a contract that breaks its readers.")
def plan(dataset: str) -> list[dict[str, Any]]:
    from millstream.publishing.compatibility import require_compatible
    from millstream_airflow.connections import extractor_for

    require_compatible(catalog.contract(dataset), catalog.lake_root())
    context = get_current_context()
    contract = _as_read(dataset, context)
    for one in unsaid(contract):
        log.warning("dags/datasets/%s.yaml does not say: %s", dataset, one)
    _landing(dataset, context).begin()
    pieces = extractor_for(contract).plan(_periods(contract, context), _watermark(contract, context))
    if not pieces:
        leave_note(context, [NOTHING_NEW])
    return [piece.model_dump(mode="json") for piece in pieces]


@task(doc_md="Fetch one slice; the source's bytes are kept as received.", max_active_tis_per_dagrun=4)
def extract(dataset: str, piece: dict[str, Any]) -> list[dict[str, Any]]:
    from millstream_airflow.connections import extractor_for, slice_of

    context = get_current_context()
    contract, landing = _as_read(dataset, context), _landing(dataset, context)
    files = extractor_for(contract).fetch(slice_of(contract, piece), landing)
    return [file.model_dump(mode="json") for file in files]


@task(doc_md="Write the manifest: from here on the run's files have landed.", multiple_outputs=True)
def land(dataset: str, fetched: Any) -> dict[str, Any]:
    from millstream.landing.seen import has_these_keys

    context = get_current_context()
    files = _as_fetched(dataset, fetched)
    if all(file.keys for file in files) and has_these_keys(_landing(dataset, context), files):
        skip(NOTHING_NEW)
    partitions = sorted({file.partition for file in files if file.partition})
    known = _watermark(_as_read(dataset, context), context)
    manifest = _landing(dataset, context).commit(partitions, files, watermark_low=known)
    return {
        "partitions": partitions,
        "watermark_high": manifest.watermark_high,
        "files": len(manifest.files),
    }


def _as_read(dataset: str, context: Context) -> Contract:
    """The contract by which a run reads the source: all that there is, where the table is made anew.

    Raises: ConfigurationError: the table cannot be made anew, because its history would be lost.
    """
    contract = catalog.contract(dataset)
    if not context["params"].get("rebuild"):
        return contract
    if contract.history is not None:
        raise ConfigurationError(
            f"{dataset}: rebuild would lose the versions of rows that silver.{dataset}_history has and the "
            "source has no more. Nothing was done. What to do: give the dataset another name, which begins a "
            "history of its own"
        )
    # Of files whose rows are added all are read once more.
    return contract.model_copy(update={"load": "full"}) if contract.load == "append" else contract


def _periods(contract: Contract, context: Context) -> list[str]:
    if contract.partition and context["params"].get("rebuild"):
        dag_run = context["dag_run"]
        assert dag_run is not None
        return contract.periods_at(dag_run.run_after)
    return periods_of_run(contract, context)


def _as_fetched(dataset: str, fetched: Any) -> list[LandedFile]:
    """What the extract tasks returned. Raises ConfigurationError when it cannot be: an XCom was edited."""
    try:
        files = [LandedFile.model_validate(file) for files in fetched for file in files]
    except ValidationError as error:
        raise _edited(dataset, error.errors()[0]["msg"]) from error
    except TypeError as error:
        raise _edited(dataset, str(error)) from error
    if other := sorted({file.path for file in files if file.dataset != dataset}):
        raise _edited(dataset, f"landed for another dataset: {', '.join(other)}")
    return files


def _edited(dataset: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{dataset}: not what extract returned: {what}. Nothing was landed. Clear the run's extract tasks"
    )


def _watermark(contract: Contract, context: Context) -> str | None:
    """How far the source has been published; None when it is to be read from its start.

    A run that has landed before and is cleared starts where it did then: what it publishes takes the place of
    all that it had brought.
    """
    from millstream.lake import history

    params = context["params"]
    if contract.load != "watermark" or params.get("full_refresh") or params.get("rebuild"):
        return None
    before = _landing(contract.dataset, context).landed()
    if before is not None:
        return before.watermark_low
    return history.read(TableRef(zone="silver", name=contract.dataset), catalog.lake_root()).watermark


def _landing(dataset: str, context: Context) -> Landing:
    dag_run = context["dag_run"]
    assert dag_run is not None
    return Landing(Storage(catalog.lake_root()), dataset, run_key(dag_run.run_id))


def _params(contract: Contract) -> dict[str, Param]:
    params = {
        "mode": Param(
            contract.mode,
            type="string",
            enum=["elt", "etl"],
            description="elt: load raw rows to bronze, transform inside the lake. etl: transform in flight.",
        )
    }
    params["rebuild"] = Param(
        False,
        type="boolean",
        description="Make the table anew from all that the source has, with the columns, types, key and "
        "partition that the contract has now: for a change that its readers notice, with a higher version. "
        "The table stays as it is until the new one has passed.",
    )
    if contract.partition:
        params |= of_source(contract, datetime.now(UTC))
    if contract.load == "watermark":
        params["full_refresh"] = Param(
            False,
            type="boolean",
            description="Fetch everything again, not only what is new.",
        )
    return params


def _doc(contract: Contract) -> str:
    columns = "\n".join(
        f"| {column.table_name} | {column.type} | {column.unit or ''} | {column.description} |"
        for column in contract.columns
    )
    return DOC.format(
        dataset=contract.dataset,
        description=contract.description,
        kind=contract.source.kind,
        format=contract.source.format,
        connection=getattr(contract.source, "connection", "none: a stream reads it"),
        key=", ".join(contract.primary_key),
        load=contract.load,
        owner=contract.owner,
        columns=columns,
        version=contract.version,
        unsaid="".join(f"\n**Not said:** {one}.\n" for one in unsaid(contract)),
    )
