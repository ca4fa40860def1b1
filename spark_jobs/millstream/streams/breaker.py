"""Whether a stream is to be parked, because its topic has gone bad: by the accounts of its newest rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from millstream.lake import history
from millstream.lake.accounts import Account
from millstream.quality.allowance import allowed_rows, lowered, percent
from millstream.streams import desired, rules
from millstream.streams.tables import Stream

# The rows that are looked at, and the commits that may be read for them: few first, micro-batches are large
# when much is broken.
ROWS = 10_000
COMMITS = (20, 1_000)


def reason_to_park(stream: Stream) -> str:
    """Of silver's newest rows, since somebody has last let it run, too many break one rule; empty if not.

    As many may break a rule as its `mostly` allows among `ROWS` rows, also while there are fewer.
    """
    since = desired.since(stream.lake_root, stream.name)
    for limit in COMMITS:
        found = history.read(stream.silver, stream.lake_root, limit)
        accounts = [one for one in found.standing if since is None or one.committed > since]
        reason, rows = _judged(accounts, stream)
        enough = rows >= ROWS or len(found.commits) < limit
        if reason or enough or (since is not None and found.commits[-1].made_at <= since):
            return reason
    return ""


def _judged(accounts: Iterable[Account], stream: Stream) -> tuple[str, int]:
    """The first rule that is broken too often, in words, and the rows that were looked at."""
    required, tolerated = rules.required_shares(stream), stream.suite.meta.tolerated_rows
    rows, broken = 0, Counter[str]()
    for account in accounts:
        rows += account.read
        # An account that an earlier version has written has shares alone.
        broken.update({one["label"]: one.get("broken", 0) for one in account.verdict.get("warnings", ())})
        among = max(ROWS, rows)
        for label in broken.keys() & required.keys():
            allowed = allowed_rows(among, lowered(required[label], among, tolerated))
            if broken[label] > allowed:
                return _words(stream, label, broken[label], rows, allowed), rows
        if rows >= ROWS:
            break
    return "", rows


def _words(stream: Stream, label: str, broken: int, rows: int, allowed: int) -> str:
    return (
        f"of the last {rows:,} rows {broken:,} ({percent(broken / rows)}) break {label!r}, and {allowed:,} "
        f"of {max(ROWS, rows):,} may; {stream.silver.quarantine} has them, with their reasons. What to do: "
        "have the source corrected, or the suite, which a stream reads when it starts; then run the DAG "
        "stream_control with the action run: the stream goes on behind them and counts anew"
    )
