"""The DAG that publishes quarantined rows again: by today's rules, or by a person's decision."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, AssetAlias, Param, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from millstream.errors import DecisionRefusedError
from millstream.landing.manifest import run_key
from millstream_airflow import catalog
from millstream_airflow.periods import of_any_source
from millstream_airflow.tasks.alerts import RunNotifier
from millstream_airflow.tasks.notes import leave_note
from millstream_airflow.tasks.publish import StagingOperator, field, publish_staged
from millstream_airflow.tasks.questions import ACCEPT, DROP, KEEP, WITHDRAW, answered, options, question
from millstream_airflow.tasks.retries import TASK_ARGS
from millstream_airflow.tasks.spark_job import SparkJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

REPLAY = "replay"
ANSWER_WITHIN = timedelta(hours=12)
# Only a run knows which table it publishes.
REPLAYED = AssetAlias("millstream.replayed")
# Reasons begin with a column's name, or with `record`.
REASON_PATTERN = r"^[A-Za-z][A-Za-z0-9_ ,:.+\[\]()-]{0,199}$"
DATASET = "{{ params.dataset }}"
SUBJECT = "{{ 'decisions on rows' if params.action == 'withdraw' else 'quarantined rows' }}"
CHOSEN = {"reason": "{{ params.reason or '' }}", "partition": "{{ params.partition or '' }}"}

DOC = """
### Replay the quarantine

Publishes partitions with quarantined rows again, from the landed files: under today's contract and suite, and
with today's reference tables. Rows that are good now leave the quarantine.

- `find` counts the rows by partition and reason. A **dry run**, the default, only reports what would be
  done, in the log of `plan`.
- `accept` publishes the selected rows although they break rules, `drop` publishes them nowhere. A person is
  asked first (`ask`), is shown rows, and may answer with either; without an answer within
  {hours} hours the rows stay where they are. Who answered what is in the log of `ask`.
- `withdraw` cancels such decisions: the rows are then judged by today's rules again.
- `record_decision` stores who decided what in `ops.decisions`. Later ingests and replays apply it too.
- `replay` is transform, quality gate and publish for each run that delivered such rows.
"""


class AskOperator(HITLOperator):
    """Ask a person what to do with the rows; skipped when there is nothing to ask.

    Returns: `action`, `decided_by`, `decided_at`, `note`, as `record_decision` takes them, and the number of
    `rows`. `decided_by` is empty if no answer came in time.

    Raises: DecisionRefusedError before anyone is asked, when rows to be accepted cannot be in the table.
    """

    def execute(self, context: Context) -> None:
        params, selection = context["params"], context["ti"].xcom_pull(task_ids="find")
        action = params["action"]
        if params["dry_run"] or action == REPLAY or not selection["rows"]:
            raise AirflowSkipException("there is nothing to decide")
        if action == ACCEPT and selection["refusal"]:
            raise DecisionRefusedError(selection["refusal"])
        self.options = options(action, selection)
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        answer = super().execute_complete(context, event)
        (chosen,) = answer["chosen_options"]
        selection = context["ti"].xcom_pull(task_ids="find")
        decision = {
            "action": chosen,
            "decided_by": (answer["responded_by_user"] or {}).get("name", ""),
            "decided_at": str(answer["responded_at"]),
            "note": answer["params_input"].get("note") or "",
            "rows": selection["rows"],
        }
        self.log.info("%s", answered(context["params"], selection, decision))
        return decision


def replay_dag() -> DAG:
    """The DAG `replay_quarantine`."""
    with DAG(
        dag_id="replay_quarantine",
        description="Publishes quarantined rows again, by today's rules or by a person's decision",
        doc_md=DOC.format(hours=ANSWER_WITHIN // timedelta(hours=1)),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["operations"],
        params=_params(),
        user_defined_macros={"question": question},
        dagrun_timeout=ANSWER_WITHIN + timedelta(hours=4),
        # One piece after the other: of two publishes of one table the later one wins.
        default_args={"owner": "data-platform", "max_active_tis_per_dagrun": 1, **TASK_ARGS},
        on_failure_callback=RunNotifier(),
    ) as dag:
        selected = SparkJobOperator(
            task_id="find",
            job="find_quarantined",
            dataset=DATASET,
            arguments={"action": "{{ params.action }}", **CHOSEN},
            doc_md="The rows, their reasons, and the runs that delivered them. Changes nothing.",
        )
        asked = AskOperator(
            task_id="ask",
            subject=f"What should happen to {SUBJECT} of silver.{DATASET}?",
            body="{{ question(params, ti.xcom_pull(task_ids='find')) }}",
            options=[KEEP, ACCEPT, DROP, WITHDRAW],
            defaults=KEEP,
            params={
                "note": Param(None, type=["null", "string"], description="Why; stored with the decision.")
            },
            response_timeout=ANSWER_WITHIN,
            multiple_outputs=True,
            doc_md="A person decides; without an answer nothing is done.",
        )
        recorded = SparkJobOperator(
            task_id="record_decision",
            job="record_decision",
            skip_if=f"{{{{ ti.xcom_pull(task_ids='ask', key='action') == '{KEEP}' }}}}",
            arguments={
                "table": f"silver.{DATASET}",
                "version": field(selected.output, "version"),
                **CHOSEN,
                **{
                    name: field(asked.output, name) for name in ("action", "decided_by", "decided_at", "note")
                },
            },
            doc_md="Stores the decision in `ops.decisions`, for exactly the rows that the person was shown.",
        )
        selected >> asked >> recorded
        replay.expand_kwargs(plan(selected.output, recorded.output))  # type: ignore[arg-type]
    return dag


def _params() -> dict[str, Param]:
    return {
        "dataset": Param(type="string", enum=catalog.datasets(), description="Whose quarantine."),
        "reason": Param(
            None,
            type=["null", "string"],
            pattern=REASON_PATTERN,
            description="Only rows with this text in one of their reasons, for example a column's name.",
        ),
        "partition": of_any_source("Only rows of this period. Not chosen: of all.", datetime.now(UTC)),
        "action": Param(
            REPLAY,
            type="string",
            enum=[REPLAY, ACCEPT, DROP, WITHDRAW],
            description="replay: under today's rules. accept, drop, and withdraw, which takes these back: "
            "a person is asked, and decides.",
        ),
        "dry_run": Param(True, type="boolean", description="Only report what would be done."),
    }


@task(trigger_rule="none_failed", doc_md="What to publish again; in a dry run only reported.")
def plan(selection: dict[str, Any], decided: dict[str, Any] | None) -> list[dict[str, Any]]:
    log = logging.getLogger(__name__)
    context = get_current_context()
    params, dag_run = context["params"], context["dag_run"]
    assert dag_run is not None
    planned = _planned(params, selection, decided is not None)
    leave_note(context, planned)
    for line in planned:
        log.info("%s", line)
    if selection["refusal"]:
        log.warning("they cannot be accepted: %s", selection["refusal"])
    undecided = params["action"] != REPLAY and decided is None
    if not selection["rows"] or params["dry_run"] or undecided:
        return []
    key = run_key(dag_run.run_id)
    return [
        {**piece, "run": f"{key}.{number}", "replay": key} for number, piece in enumerate(selection["pieces"])
    ]


def _planned(params: Mapping[str, Any], selection: Mapping[str, Any], decided: bool) -> list[str]:
    """The selected rows and what will be done with them, line by line."""
    withdraw = params["action"] == WITHDRAW
    if not selection["rows"]:
        return [f"no such rows {'were decided on' if withdraw else 'are in quarantine'}: nothing to do"]
    kind = "decisions on rows" if withdraw else "quarantined rows"
    # The answer may be another than the action that was asked for: the log of `ask` says it.
    lines = [
        f"{'decided' if decided else params['action']}: {selection['rows']:,} {kind} of {params['dataset']}"
    ]
    lines += [
        f"  {group['partition']}: {group['rows']:,} rows: {group['reason']}" for group in selection["groups"]
    ]
    if selection["more_groups"]:
        lines.append(
            f"  {selection['more_groups']} smaller groups, and {selection['more_rows']} rows in none of these"
        )
    if params["action"] != REPLAY and not params["dry_run"] and not decided:
        return [*lines, "nothing was decided: the rows stay where they are"]
    lines.append(
        "dry run: nothing was changed. It would publish again:"
        if params["dry_run"]
        else "to be published again:"
    )
    lines += [
        f"  run {piece['source_run']} {', '.join(piece['partitions'])}".rstrip()
        for piece in selection["pieces"]
    ]
    return lines


@task_group
def replay(run: Any, replay: Any, source_run: Any, partitions: Any) -> None:
    """Transform, gate and publish what `source_run` landed of `partitions`; staged under `run`."""
    transform = StagingOperator(
        task_id="transform",
        job="transform",
        dataset=DATASET,
        arguments={"run": run, "mode": "replay", "source_run": source_run, "partitions": partitions},
        doc_md="The rows as received, typed by today's contract, with today's reference tables; staged.",
    )
    publish_staged(
        f"silver.{DATASET}",
        transform,
        REPLAYED,
        arguments={
            "run": source_run,
            "replay": replay,
            "drift": field(transform.output, "drift"),
            "fetch_began": field(transform.output, "fetch_began"),
        },
        partitions=partitions,
        dataset=DATASET,
        judged_as={"run": run},
    )
