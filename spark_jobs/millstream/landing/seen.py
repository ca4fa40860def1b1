"""What an increment reads again: rows that an earlier run has landed and published just as they are.

A look-back reads what has been read, in search of what was committed late. Rows that come again are compared
with the landed bytes of the runs whose rows stand in the table: those that are the same are nothing new. So
they make no version, are not judged or kept apart once more, and what a person decided about them holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from millstream.contracts.contract import Column, Contract
from millstream.formats import json_values
from millstream.lake import history
from millstream.lake.storage import Storage
from millstream.lake.tables import TableRef
from millstream.landing.manifest import LandedFile, Manifest, manifests_of
from millstream.landing.run import Landing
from millstream.landing.watermarks import at_least

log = logging.getLogger(__name__)
# For each key the digests of the rows that the newest run which brought it has brought.
Index = dict[Hashable, set[bytes]]


class Row(NamedTuple):
    """A row's key, the digest of its values (None for one that cannot come again), whether it comes with
    every increment, however old it is (it has no watermark, or one that is yet to come), and whether its run
    had seen it, so that an older one brought it."""

    key: Hashable
    digest: bytes | None
    undated: bool
    seen: bool = False


class _Brought:
    """What other runs have brought to the table: read from their landed files by `rows`."""

    def __init__(self, landing: Landing, since: str, rows: Callable[[LandedFile], Iterable[Row]]) -> None:
        self._rows = rows
        standing = standing_manifests(landing.storage, landing.dataset)
        self._manifests = [manifest for manifest in reversed(standing) if manifest.key != landing.key]
        self._since = since

    def has(self, row: Row) -> bool:
        index = self._undated if row.undated else self._recent
        return row.digest in index.get(row.key, ())

    @cached_property
    def _recent(self) -> Index:
        recent = [manifest for manifest in self._manifests if at_least(manifest.watermark_high, self._since)]
        return _index(recent, self._rows, lambda row: True)

    @cached_property
    def _undated(self) -> Index:
        # Of all runs: a row that had a time since then, however old, is another one now.
        return _index(self._manifests, self._rows, lambda row: row.undated)


class SeenRows:
    """Rows of a SQL table that an increment since `since`, with the value `least`, need not land again."""

    def __init__(self, landing: Landing, keys: Sequence[str], watermark: str, since: str, least: Any) -> None:
        self._landing = landing
        self._least = least
        self._keys = list(keys)
        self._watermark = watermark
        self._brought = _Brought(landing, since, self._landed)

    def without(self, rows: pa.Table) -> pa.Table:
        """`rows` but for those that have been landed as they are."""
        new = [not self._brought.has(row) for row in self._each(rows)]
        return rows.filter(pa.array(new, pa.bool_()))

    def _landed(self, file: LandedFile) -> Iterator[Row]:
        rows = pq.read_table(pa.BufferReader(self._landing.bytes_of(file)))
        if not {*self._keys, self._watermark} <= set(rows.column_names):
            return
        again = self._can_come_again(rows[self._watermark])
        yield from self._each(rows.filter(again))
        # Of the others, most of a whole table, only that they are there.
        others = rows.select(self._keys).filter(pc.invert(again))
        for key in zip(*(column.to_pylist() for column in others.columns), strict=True):
            yield Row(key, None, undated=False)

    def _can_come_again(self, watermark: pa.ChunkedArray) -> pa.ChunkedArray:
        if pa.types.is_string(watermark.type):
            return pa.chunked_array([pa.array([True] * len(watermark))])
        again = pc.greater_equal(watermark, pa.scalar(self._least, watermark.type))
        return pc.or_kleene(again, pc.is_null(watermark))

    def _each(self, rows: pa.Table) -> Iterator[Row]:
        now = datetime.now(UTC)
        for row in rows.to_pylist():
            digest = _digest(repr(_without_nulls(row)))
            yield Row(tuple(row[name] for name in self._keys), digest, _is_undated(row[self._watermark], now))


class SeenRecords:
    """Records of an API that an increment since `since` need not take for new."""

    def __init__(self, landing: Landing, contract: Contract, records_key: str, since: str) -> None:
        self._landing = landing
        self._keys = [column for column in contract.columns if column.name in contract.primary_key]
        self._event_time = next(column for column in contract.columns if column.name == contract.event_time)
        self._nulls = contract.null_values
        self._records_key = records_key
        self._brought = _Brought(landing, since, self._landed)

    def ranges_in(self, file: LandedFile) -> tuple[tuple[int, int], ...]:
        """The rows of a landed page that an earlier run has brought: first and last of each range."""
        return _ranges(number for number, row in self._each(file) if self._brought.has(row))

    def _landed(self, file: LandedFile) -> Iterator[Row]:
        return (row._replace(seen=file.has_seen(number)) for number, row in self._each(file))

    def _each(self, file: LandedFile) -> Iterator[tuple[int, Row]]:
        now = datetime.now(UTC)
        records = json_values.values_of(self._landing.bytes_of(file), self._records_key)
        for number, record in enumerate(records, start=1):
            # Numbers as they were written: two texts may be one double.
            digest = _digest(json_values.as_written(_without_nulls(record)))
            yield number, Row(self._key_of(record), digest, _is_undated(self._time_of(record), now))

    def _key_of(self, record: Any) -> Hashable:
        key = [_value(record, column) for column in self._keys] if isinstance(record, dict) else record
        return json_values.as_written(key)

    def _time_of(self, record: Any) -> datetime | None:
        text = _value(record, self._event_time) if isinstance(record, dict) else None
        if not isinstance(text, str) or text in self._nulls:
            return None
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return None


def brought_before(landing: Landing) -> dict[str, LandedFile]:
    """The files that other runs have brought to the table, by their source, as they were last."""
    standing = standing_manifests(landing.storage, landing.dataset, removed_too=True)
    others = [manifest for manifest in reversed(standing) if manifest.key != landing.key]
    return {file.source: file for manifest in others for file in manifest.files}


def has_these_keys(landing: Landing, files: Sequence[LandedFile]) -> bool:
    """Whether the keys among `files` are those that the newest run whose rows stand has compared."""
    newest = next(iter(standing_manifests(landing.storage, landing.dataset, removed_too=True)), None)
    known = {file.path for file in newest.keys} if newest else set()
    return {file.path for file in files if file.keys} <= known


def standing_manifests(storage: Storage, dataset: str, removed_too: bool = False) -> list[Manifest]:
    """What runs have landed whose rows stand in the table, the newest first; without those whose files
    retention has removed, unless `removed_too`."""
    published: dict[str, set[datetime | None]] = {}
    for entry in history.read(TableRef(zone="silver", name=dataset), storage.lake_root).standing:
        published.setdefault(entry.run, set()).add(entry.fetch_began)
    return [
        manifest
        for manifest in reversed(manifests_of(storage, dataset))
        # A run that has landed anew since it published has yet to publish that.
        if (removed_too or manifest.removed_at is None)
        and manifest.fetch_began in published.get(manifest.key, ())
    ]


def _index(
    manifests: Iterable[Manifest],
    rows: Callable[[LandedFile], Iterable[Row]],
    wanted: Callable[[Row], bool],
) -> Index:
    """The digests of `wanted` rows. Manifests come oldest first; the newest that brought a key counts."""
    index: Index = {}
    for manifest in manifests:
        brought: Index = {}
        continued: set[Hashable] = set()
        for row in (row for file in manifest.files for row in _readable(file, rows)):
            if row.seen:
                continued.add(row.key)
            elif row.digest is not None and wanted(row):
                brought.setdefault(row.key, set()).add(row.digest)
            elif row.key in index:
                brought.setdefault(row.key, set())
        for key, digests in brought.items():
            index[key] = digests | index.get(key, set()) if key in continued else digests
    return index


def _readable(file: LandedFile, rows: Callable[[LandedFile], Iterable[Row]]) -> list[Row]:
    """The rows of a landed file. What cannot be read counts as never landed: its rows come once more."""
    try:
        return list(rows(file))
    except (FileNotFoundError, pa.ArrowException, ValueError) as error:
        log.warning("%s cannot be compared with: %s. Its rows are landed again", file.path, error)
        return []


def _value(record: dict[str, Any], column: Column) -> Any:
    name = column.delivered_as(record)
    return None if name is None else record[name]


def _without_nulls(row: Any) -> Any:
    """A field that is null is as none at all, so that a new column makes no new rows."""
    if not isinstance(row, dict):
        return row
    return {name: value for name, value in sorted(row.items()) if value is not None}


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)


def _is_undated(value: Any, now: datetime) -> bool:
    if isinstance(value, datetime):
        return value > (now if value.tzinfo else now.replace(tzinfo=None))
    return value is None or (isinstance(value, date) and value > now.date())
