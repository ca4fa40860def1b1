"""Which of two publishes stands: that of the newer attempt, that of the newer data. Pure, as `decide` is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from millstream.errors import ConservationError, SupersededError
from millstream.lake.accounts import Account, newest
from millstream.lake.history import Accounts, Histories, History
from millstream.lake.tables import DECISIONS
from millstream.publishing.request import Request

R = TypeVar("R", bound=Request)


def in_turn(request: R, histories: Histories) -> R:
    """Behind what other runs have published since this attempt began; whether theirs is newer is another
    question.

    A later attempt of the same run stays ahead: this one was taken for dead.
    """
    ahead = [account for account in histories.committed if account.sequence >= request.sequence]
    own = (request.run, request.replay)
    if not ahead or any((account.run, account.replay) == own for account in ahead):
        return request
    return request.model_copy(update={"sequence": max(account.sequence for account in ahead) + 1})


def superseded(
    account: Account, request: Request, published: History, versions: Mapping[str, int]
) -> tuple[str, ...]:
    """The partitions that another run has published from newer data.

    A slow backfill must not bring back what a quicker run has replaced meanwhile, nor a cleared publish what
    was made of older tables. Increments are merged row by row, with the newer row kept.

    Raises: SupersededError when nothing of the run is left to publish.
    """
    if request.is_increment:
        return ()
    latest = published.latest_by_partition()
    newer = {
        name: latest[name][0]
        for name in account.partitions
        if name in latest and is_newer(latest[name][0], account, versions)
    }
    # What replaces the whole table is not published in part.
    if newer and (request.load == "full" or len(newer) == len(account.partitions)):
        runs = ", ".join(sorted({had.run for had in newer.values()}))
        ours, advice = (
            (f"began to fetch at {account.fetch_began:%Y-%m-%d %H:%M:%S} UTC", "nothing")
            if account.fetch_began
            else (
                "made of earlier versions of its tables",
                "to make it of the present ones, clear its first task",
            )
        )
        raise SupersededError(
            f"{request.table}: what run {request.run} {ours} is older than what is published already, by "
            f"{runs}: nothing was published. What to do: {advice}"
        )
    return tuple(sorted(newer))


def is_newer(had: Account, account: Account, versions: Mapping[str, int]) -> bool:
    """Whether what another run has published is of newer data: fetched later, or made of later tables.

    `versions` are the present ones of these tables.
    """
    if had.run == account.run:
        return False
    if had.fetch_began is not None and account.fetch_began is not None:
        return had.fetch_began > account.fetch_began
    if had.fetch_began is not None or account.fetch_began is not None:
        return False
    theirs, ours = _tables(had), _tables(account)
    if theirs.keys() != ours.keys():
        return False
    later = [name for name in ours if theirs[name] > ours[name]]
    # Neither is newer when each has a later table. A version that a table does not have yet was that of
    # another table in its place.
    return bool(later) and all(ours[name] <= theirs[name] <= versions.get(name, 0) for name in ours)


def _tables(account: Account) -> dict[str, int]:
    """The tables that the rows were made of. A model's versions do not tell which is newer: its alias may go
    back. Decisions are read when the rows are published."""
    return {
        name: version
        for name, version in account.inputs.items()
        if not name.startswith("model.") and name != str(DECISIONS)
    }


def require_source_unchanged(account: Account, request: Request, history: History) -> None:
    """A replay puts the same source rows in the place of its run's own, of nobody else's.

    Raises: SupersededError when another run has published the partitions meanwhile; ConservationError when
    the lake no longer has all rows that the run had read.
    """
    published = own_accounts(request, history)
    for name, counts in account.partitions.items():
        earlier, had = published.get(name, (None, None))
        if earlier is None or had is None or earlier.run != request.run:
            raise SupersededError(
                f"{request.table}, {name}: run {request.run} is not, or no longer, the one that published "
                "it: nothing was replayed. What to do: look for what is in quarantine now"
            )
        if earlier.fetch_began and account.fetch_began and earlier.fetch_began > account.fetch_began:
            raise SupersededError(
                f"{request.table}, {name}: run {request.run} has landed and published anew since this replay "
                "read what it had landed: nothing was replayed. What to do: look for what is in quarantine "
                "now"
            )
        if had.read != counts.read:
            raise ConservationError(
                f"{request.table}, {name}: run {request.run} had read {had.read} rows, the lake now has "
                f"{counts.read} of them: nothing was replayed. What to do: run the ingest again"
            )


def require_rest_unchanged(request: Request, published: History) -> None:
    """Months of a mart come beside others that are left as they are: these have to be made of the tables that
    the months were chosen by, and by the same SQL.

    Raises: SupersededError when they are not, or no longer.
    """
    if request.rest is None:
        return
    latest = newest(published.latest_by_partition())
    if latest is not None and latest.code_version == request.code_version:
        made_of = {name: version for name, version in latest.inputs.items() if name in request.inputs}
        # A later try of this run may have published before.
        if made_of in (request.rest, request.inputs):
            return
    months = ", ".join(request.partitions)
    raise SupersededError(
        f"{request.table}: its other months are not those any more beside which {months} were made: nothing "
        "was published. What to do: clear the task changed_inputs and those behind it, which choose the "
        "months anew"
    )


def own_accounts(request: Request, history: History) -> Accounts:
    """The accounts of what this run can have published before: by partition, or of its own increment."""
    return history.latest_by_partition(request.run if request.is_increment else None)
