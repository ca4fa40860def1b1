"""What a publish does, decided from what was read and counted: no Spark, no I/O, nothing written.

The decision is data (`Publication`). `millstream.publishing.write` carries it out; `make plan` prints what
the same functions say before a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from millstream.contracts.contract import Contract
from millstream.contracts.updates import INCREMENTS, Load
from millstream.errors import QualityGateError
from millstream.lake.accounts import Account, PartitionCounts, Scope
from millstream.lake.history import Histories, History
from millstream.lake.source_rows import FILE_SQL
from millstream.lake.sql import is_one_of, literal
from millstream.lake.tables import DECISIONS, WHOLE, TableRef
from millstream.publishing.deletions import Deletions
from millstream.publishing.precedence import (
    own_accounts,
    require_rest_unchanged,
    require_source_unchanged,
    superseded,
)
from millstream.publishing.request import Request
from millstream.publishing.state import LakeState
from millstream.quality.verdict import Verdict

NO_DELETIONS = Deletions()
NO_ROWS = PartitionCounts(read=0, written=0, quarantined=0, deduplicated=0, content_hash="0")


@dataclass(frozen=True)
class Publication:
    """What is to be written.

    `request` is that of the partitions which are left; `superseded` are those that another run has published
    from newer data. `account` goes into the commits. Nothing is written unless `changed`; of an increment
    that `may_be_known` only if the table lacks one of its rows.
    `scope` says what the rows take the place of: all rows, those where `condition` holds, or those of their
    keys. The quarantine is written where `has_quarantine`, in the place of what `quarantine_condition` names
    (everything, when None).
    """

    request: Request
    account: Account
    superseded: tuple[str, ...]
    changed: bool
    may_be_known: bool
    scope: Scope
    condition: str | None
    has_quarantine: bool
    quarantine_condition: str | None

    @property
    def table(self) -> TableRef:
        return TableRef.parse(self.request.table)


def require_passed(table: str, staged_version: int, run: str, verdict: Verdict | None) -> Verdict:
    """The verdict. Raises QualityGateError unless it allows to publish exactly this staged version."""
    if verdict is None:
        raise QualityGateError(
            f"{table}: there is no verdict on run {run}, so nothing is published. What to do: "
            "clear the quality_gate task"
        )
    if (verdict.table, verdict.staged_version) != (table, staged_version):
        raise QualityGateError(
            f"{table}: the verdict is on {verdict.table} version {verdict.staged_version}, not on "
            f"staged version {staged_version}. What to do: clear the quality_gate task"
        )
    if not verdict.passed:
        raise QualityGateError(f"{table}: the quality gate did not pass: {verdict.reason}")
    return verdict


def decide(
    request: Request,
    counts: Mapping[str, PartitionCounts],
    broken: int,
    verdict: Verdict,
    state: LakeState,
    deletions: Deletions = NO_DELETIONS,
) -> Publication:
    """What to write of rows of which `broken` broke a critical rule, and that `counts` counts by partition.

    Raises:
        ConservationError: a row that was read is accounted for nowhere, or a replay's are not its run's.
        QualityGateError: the gate has judged other rows, or the source has deleted too many at once.
        SupersededError: what another run has published is newer.
    """
    _require_few_deleted(request, deletions)
    account = _account(request, counts, verdict, state.decisions, deletions)
    account.check_conservation(request.rows_read)
    _require_agreement(broken, verdict)
    histories = state.histories
    require_rest_unchanged(request, histories.table)
    if request.replay:
        require_source_unchanged(account, request, histories.table)
    older = superseded(account, request, histories.table, state.versions)
    if older:
        request, account = _without(older, request, account)
    return Publication(
        request=request,
        account=account,
        superseded=older,
        changed=_differs(account, request, histories) or _is_to_be_rebuilt(request, histories.table),
        may_be_known=_may_be_known(account, request, histories.table),
        scope=scope_of(request.load, histories.table),
        condition=condition(request.partition_column or "", request.partitions),
        has_quarantine=account.quarantined > 0 or histories.quarantine.version is not None,
        quarantine_condition=_quarantine_condition(request, state),
    )


def scope_of(load: Load, published: History) -> Scope:
    """What of a table with this history the rows of a run take the place of."""
    if load == "partition":
        return "partitions"
    # Into a table that has nothing yet, a merge would be a dear way to write.
    return "rows" if load in INCREMENTS and published.published_version is not None else "table"


def condition(column: str, partitions: tuple[str, ...]) -> str | None:
    """SQL that holds for the rows of these partitions; None for a whole table."""
    return is_one_of(column, partitions) if partitions else None


def _require_few_deleted(request: Request, deletions: Deletions) -> None:
    if request.contract is None or deletions.total <= 1:
        return
    most = Contract.from_dict(request.contract, "contract").max_deleted_share
    if deletions.total > most * deletions.of:
        raise QualityGateError(
            f"{request.table}: the source has deleted {deletions.total:,} of the {deletions.of:,} rows of "
            f"the table, and max_deleted_share allows {most:g} of them at once. Nothing was published. What "
            "to do: see whether the source is whole; if it is, raise max_deleted_share in the contract, then "
            "clear publish"
        )


def _account(
    request: Request,
    counts: Mapping[str, PartitionCounts],
    verdict: Verdict,
    decisions: int | None,
    deletions: Deletions,
) -> Account:
    expected = request.partitions or (() if counts else (WHOLE,))
    gone = deletions.by_partition
    partitions = {
        name: counts.get(name, NO_ROWS).model_copy(update={"deleted": gone.get(name, 0)})
        for name in sorted({*expected, *counts})
    }
    contract = Contract.from_dict(request.contract, "contract") if request.contract else None
    return Account(
        table=request.table,
        run=request.run,
        partitions=partitions,
        verdict=_summary(verdict),
        inputs=request.inputs if decisions is None else {**request.inputs, str(DECISIONS): decisions},
        contract_version=request.contract_version,
        suite_version=verdict.suite_version,
        code_version=request.code_version,
        watermark=request.watermark,
        fetch_began=request.fetch_began if contract else None,
        contract=contract.schema_in_short() if contract else None,
        drift=request.drift,
        replay=request.replay,
        sequence=request.sequence,
    )


def _summary(verdict: Verdict) -> dict[str, Any]:
    return {
        "passed": verdict.passed,
        "word": verdict.word,
        "reason": verdict.reason,
        "suite": verdict.suite,
        "docs_page": verdict.docs_page,
        "warnings": [
            {"label": rule.label, "share": rule.share, "success": rule.success, "word": rule.word}
            for rule in verdict.warnings
        ],
    }


def _require_agreement(broken: int, verdict: Verdict) -> None:
    if broken != verdict.quarantined_rows:
        raise QualityGateError(
            f"{verdict.table}: the gate counted {verdict.quarantined_rows} rows for quarantine, publishing "
            f"{broken}: the staged table or the suite is not the one that was judged. "
            "Nothing was published. What to do: clear quality_gate"
        )


def _without(partitions: tuple[str, ...], request: Request, account: Account) -> tuple[Request, Account]:
    """The rest of the run."""
    rest = {name: counts for name, counts in account.partitions.items() if name not in partitions}
    return (
        request.model_copy(update={"partitions": tuple(rest)}),
        account.model_copy(update={"partitions": rest}),
    )


def _differs(account: Account, request: Request, histories: Histories) -> bool:
    """Whether publishing would change anything: the accounts of the same partitions decide, the table's and
    its quarantine's. A publish may have ended between its two commits."""
    both = (histories.table, histories.quarantine)
    published, kept = (own_accounts(request, history) for history in both)
    if not published and (request.load == "append" or _has_history(request)):
        # The account says that these files have been read, also if no row of them is new to the table.
        return True
    if not published:
        # What an increment brings may have come with another one already.
        published, kept = (history.latest_by_partition() for history in both)
    if request.load == "full" and not (published.keys() | kept.keys()) <= account.partitions.keys():
        # What the whole table had of a month that is no more.
        return True
    if request.load == "full" and any(had.scope == "rows" for had, _ in published.values()):
        # The newest increment's account says nothing of the rows of those before.
        return True
    return not all(
        _same(account, counts, published.get(name)) and _same_quarantine(counts, kept.get(name))
        for name, counts in account.partitions.items()
    )


def _is_to_be_rebuilt(request: Request, published: History) -> bool:
    """Whether the table is to be made anew, and the run has not done so in an earlier attempt."""
    return request.rebuild and not own_accounts(request, published)


def _same(
    account: Account, counts: PartitionCounts, published: tuple[Account, PartitionCounts] | None
) -> bool:
    if published is None:
        return False
    earlier, had = published
    return (
        # What has left the table cannot leave it again.
        counts.deleted == 0
        and had.model_copy(update={"deleted": 0}) == counts
        and earlier.suite_version == account.suite_version
        and earlier.contract_version == account.contract_version
        and earlier.drift == account.drift
        # A replay tells nothing of how far the source has been read.
        and account.watermark in (None, earlier.watermark)
    )


def _same_quarantine(counts: PartitionCounts, kept: tuple[Account, PartitionCounts] | None) -> bool:
    had = kept[1] if kept else None
    if had is None:
        # There is none before the first row for it.
        return counts.quarantined == 0
    return (had.quarantined, had.quarantine_hash) == (counts.quarantined, counts.quarantine_hash)


def _may_be_known(account: Account, request: Request, published: History) -> bool:
    """Whether the table may have every row of an increment already, though not by an account of the run.

    Watermarks are inclusive, so that no row with the last timestamp is missed: each increment brings back
    the rows at the boundary, and these must not make a new version of the table.
    """
    return (
        request.load == "watermark"
        and not account.quarantined
        and not account.deleted
        and not _has_history(request)
        and not own_accounts(request, published)
        and published.version is not None
    )


def _has_history(request: Request) -> bool:
    """Whether what is no row of the table may be a version of one."""
    return bool(request.contract and request.contract.get("history"))


def _quarantine_condition(request: Request, state: LakeState) -> str | None:
    """SQL that holds for what the rows take the place of in the quarantine.

    Of an increment that is what the quarantine has of this run, and of the same landed files by another run:
    a full refresh finds unchanged pages that an increment has landed already.
    """
    if not request.is_increment:
        return condition("_partition", request.partitions)
    of_run = f"_run = {literal(request.run)}"
    paths = state.manifest.paths if state.manifest else ()
    if not paths:
        return of_run
    of_files = is_one_of(FILE_SQL, paths)
    return f"{of_run} OR {of_files}"
