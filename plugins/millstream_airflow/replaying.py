"""The DAG that takes another look at quarantined rows: under today's rules, or by a person's decision."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, AssetAlias, Param, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from millstream.errors import DecisionRefusedError
from millstream.landing import run_key
from millstream_airflow import catalog
from millstream_airflow.months import of_any_source
from millstream_airflow.notifier import RunNotifier
from millstream_airflow.operators import SparkJobOperator
from millstream_airflow.publishing import StagingOperator, field, publish_staged
from millstream_airflow.retries import TASK_ARGS

if TYPE_CHECKING:
    from airflow.sdk import Context

REPLAY, ACCEPT, DROP, WITHDRAW, KEEP = "replay", "accept", "drop", "withdraw", "keep"
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

Publishes partitions that have rows in quarantine once more, from what the lake has already: under today's
contract and suite, and with today's reference tables. Rows that are good by these leave the quarantine.

- `find` counts the rows by partition and reason. A **dry run**, the default, ends with what would be done.
- `accept` publishes the rows found in spite of the rules that they broke, `drop` publishes them nowhere.
  A person is asked first (`ask`); without an answer within {hours} hours the rows stay where they are.
- `withdraw` takes such decisions back: the rows found are then judged by today's rules again.
- `record_decision` keeps who decided what in `ops.decisions`. Later ingests and replays carry it out too.
- `replay` is transform, quality gate and publish for each run that brought such rows.
"""

QUESTION = """
{% set found = ti.xcom_pull(task_ids='find') %}
{% if params.action == 'withdraw' -%}
{{ found['rows'] }} rows of `silver.{{ params.dataset }}` that were accepted or dropped. `withdraw` takes
these decisions back, and judges the rows by today's rules; `keep` lets the decisions stand.
{%- else -%}
{{ found['rows'] }} rows of `silver.{{ params.dataset }}_quarantine`. `accept` publishes them in spite of the
rules that they broke; `drop` publishes them nowhere; `keep` leaves them in quarantine.
{%- endif %}

| partition | rows | reason |
|---|---|---|
{% for group in found['groups'] -%}
| {{ group['partition'] }} | {{ group['rows'] }} | {{ group['reason'] | replace('|', '/') }} |
{% endfor %}
{% if found['more_groups'] -%}
Not shown: {{ found['more_groups'] }} smaller groups. {{ found['more_rows'] }} of the rows are in none of the
groups above; the answer is about them too. To see them, run this with a `reason` or a `partition`.
{%- endif %}
"""


class AskOperator(HITLOperator):
    """Ask a person whether the run's action may be carried out; skipped when there is nothing to ask, and
    when the answer is to keep the rows where they are.

    Returns: `action`, `decided_by`, `decided_at`, `note`, as `record_decision` takes them.

    Raises: DecisionRefusedError before anyone is asked, when rows were to be accepted that cannot be.
    """

    def execute(self, context: Context) -> None:
        params, found = context["params"], context["ti"].xcom_pull(task_ids="find")
        action = params["action"]
        if params["dry_run"] or action == REPLAY or not found["rows"]:
            raise AirflowSkipException("there is nothing to decide")
        if action == ACCEPT and found["refusal"]:
            raise DecisionRefusedError(found["refusal"])
        self.options = [KEEP, action]
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        answer = super().execute_complete(context, event)
        (chosen,) = answer["chosen_options"]
        if chosen == KEEP:
            raise AirflowSkipException("the rows stay where they are")
        return {
            "action": chosen,
            "decided_by": answer["responded_by_user"]["name"],
            "decided_at": str(answer["responded_at"]),
            "note": answer["params_input"].get("note") or "",
        }


def replay_dag() -> DAG:
    """The DAG `replay_quarantine`."""
    with DAG(
        dag_id="replay_quarantine",
        description="Quarantined rows once more: under today's rules, or accepted or dropped by a person",
        doc_md=DOC.format(hours=ANSWER_WITHIN // timedelta(hours=1)),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["operations"],
        params=_params(),
        dagrun_timeout=ANSWER_WITHIN + timedelta(hours=4),
        # One piece after the other: of two publishes of one table the later one wins.
        default_args={"owner": "data-platform", "max_active_tis_per_dagrun": 1, **TASK_ARGS},
        on_failure_callback=RunNotifier(),
    ) as dag:
        found = SparkJobOperator(
            task_id="find",
            job="find_quarantined",
            dataset=DATASET,
            arguments={"action": "{{ params.action }}", **CHOSEN},
            doc_md="Which rows there are, why, and which runs brought them. Changes nothing.",
        )
        asked = AskOperator(
            task_id="ask",
            subject=f"{{{{ params.action }}}} {SUBJECT} of silver.{DATASET}?",
            body=QUESTION,
            options=[KEEP, ACCEPT, DROP, WITHDRAW],
            defaults=KEEP,
            params={"note": Param(None, type=["null", "string"], description="Why: kept with the decision.")},
            response_timeout=ANSWER_WITHIN,
            multiple_outputs=True,
            doc_md="A person decides; without an answer nothing is done.",
        )
        recorded = SparkJobOperator(
            task_id="record_decision",
            job="record_decision",
            arguments={
                "table": f"silver.{DATASET}",
                "version": field(found.output, "version"),
                **CHOSEN,
                **{
                    name: field(asked.output, name) for name in ("action", "decided_by", "decided_at", "note")
                },
            },
            doc_md="Who decided what, into `ops.decisions`; about the rows that the person was shown.",
        )
        found >> asked >> recorded
        replay.expand_kwargs(plan(found.output, recorded.output))  # type: ignore[arg-type]
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
        "partition": of_any_source("Only rows of this month. Not chosen: of all.", datetime.now(UTC)),
        "action": Param(
            REPLAY,
            type="string",
            enum=[REPLAY, ACCEPT, DROP, WITHDRAW],
            description="replay: under today's rules. accept, drop, and withdraw, which takes these back: "
            "a person is asked, and decides.",
        ),
        "dry_run": Param(True, type="boolean", description="Only say what would be done."),
    }


@task(trigger_rule="none_failed", doc_md="What is to be published once more; in a dry run only said.")
def plan(found: dict[str, Any], decided: dict[str, Any] | None) -> list[dict[str, Any]]:
    log = logging.getLogger(__name__)
    context = get_current_context()
    params, dag_run = context["params"], context["dag_run"]
    assert dag_run is not None
    for group in found["groups"]:
        log.info("%s: %s rows: %s", group["partition"], group["rows"], group["reason"])
    if found["more_groups"]:
        log.info("%s smaller groups, and %s rows in none of these", found["more_groups"], found["more_rows"])
    if not found["rows"]:
        where = "were decided on" if params["action"] == WITHDRAW else "are in quarantine"
        raise AirflowSkipException(f"no such rows {where}")
    kind = "decisions on rows" if params["action"] == WITHDRAW else "quarantined rows"
    what = f"{params['action']}: {found['rows']} {kind} of {params['dataset']}"
    if found["refusal"]:
        log.warning("%s", found["refusal"])
    if params["dry_run"]:
        pieces = "; ".join(
            f"run {one['source_run']} {', '.join(one['partitions'])}".strip() for one in found["pieces"]
        )
        raise AirflowSkipException(f"dry run: nothing was changed. {what}; to be published again: {pieces}")
    if params["action"] != REPLAY and decided is None:
        raise AirflowSkipException("nothing was decided: the rows stay where they are")
    log.info("%s", what)
    key = run_key(dag_run.run_id)
    return [
        {**piece, "run": f"{key}.{number}", "replay": key} for number, piece in enumerate(found["pieces"])
    ]


@task_group
def replay(run: Any, replay: Any, source_run: Any, partitions: Any) -> None:
    """What `source_run` landed, of `partitions`, through transform, gate and publish; staged under `run`."""
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
            "landed_at": field(transform.output, "landed_at"),
        },
        partitions=partitions,
        dataset=DATASET,
        judged_as={"run": run},
    )
