"""The view of delays rebuilt from raw records beside the live one, compared, and made the live one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError, ReconciliationError
from millstream.jobs import JobModel
from millstream.lake import history
from millstream.lake.accounts import Account
from millstream.lake.delta import replace, require_writer, turn
from millstream.lake.names import RunKey, TableName
from millstream.lake.reading import read_at
from millstream.lake.tables import TableRef
from millstream.quality.suite import Suite
from millstream.streams import access, comparison, served
from millstream.streams.pins import pin
from millstream.streams.replay import records_below, view_of
from millstream.streams.tables import Stream
from millstream.streams.views import account_of, defined, transaction
from millstream.transforms.airport_delays_batch import FIGURES, KEY


class Args(JobModel):
    """`contract` and `suite` are the stream's; `servers` are those of Kafka, empty for none, unless `home`
    has the contract's connection. `archived` is the version of bronze from which records are taken, the rest
    comes from Kafka; null for one that has all.
    """

    lake_root: str
    run: RunKey
    contract: dict[str, Any]
    suite: dict[str, Any]
    servers: str = ""
    home: str
    archived: int | None = None
    code_version: str


class Result(JobModel):
    """The live view now (`table`, at `version`), the one before, the position that both were compared at, the
    groups of each, and of each partition the offset from which on records were Kafka's."""

    table: TableName
    version: int
    before: TableName
    position: int
    groups: dict[str, int]
    from_kafka: dict[int, int]


def run(spark: SparkSession, args: Args) -> Result:
    """The stream goes on with the new view at its next look; the old one stays as it was then.

    Raises: ReconciliationError: the new view differs from the live one, which stays live; names the groups.
        ConfigurationError: there is no live view yet; ClusterError: bronze has to catch up with it first.
    """
    require_writer(spark, args.lake_root)
    contract = Contract.from_dict(args.contract, origin="contract")
    stream = Stream(contract, Suite.from_dict(args.suite), args.lake_root, args.code_version)
    live, pins = served.speed_view(args.lake_root), pin(args.lake_root)
    if pins is None:
        raise ConfigurationError(f"{live} has nothing yet: a replay is compared with the stream's view")
    archived = pins.bronze if args.archived is None else args.archived
    offsets = pins.offsets
    kafka = access.of(Path(args.home), stream.source.connection, args.servers)
    records, from_kafka = records_below(spark, stream, offsets, archived, kafka)
    target = served.next_speed_view(args.lake_root)
    rows = view_of(spark, stream, records, offsets).persist()
    try:
        with turn(target, args.lake_root):
            # What an earlier attempt has left there is replaced: it never was the live one.
            before = stream.newest(target)
            account = account_of(target, stream, _of_version(live, pins.speed, args.lake_root), rows.count())
            account.inputs = {str(stream.bronze): archived}
            account.suite_version = stream.suite.version
            account.run = args.run
            account.sequence = 1 + (before.sequence if before else 0)
            uri = defined(spark, target, stream)
            replace(rows, uri, None, transaction(target, account, "replay"))
    finally:
        rows.unpersist()
    version = history.version(target, args.lake_root)
    assert version is not None
    sides = {
        "live": read_at(spark, str(live), args.lake_root, pins.speed),
        "rebuilt": read_at(spark, str(target), args.lake_root, version),
    }
    compared = comparison.compare(sides, KEY, (*KEY, *FIGURES))
    if compared.different:
        lines = "\n".join(f"- {difference}" for difference in comparison.differences("group", compared, {}))
        raise ReconciliationError(
            f"{target} differs from {live} in {compared.different} groups as of position {offsets.position}; "
            f"{live} stays the live one:\n{lines}"
        )
    served.make_live(args.lake_root, target)
    return Result(
        table=str(target),
        version=version,
        before=str(live),
        position=offsets.position,
        groups=compared.rows,
        from_kafka=from_kafka if from_kafka != offsets.end else {},
    )


def _of_version(table: TableRef, version: int, lake_root: str) -> Account:
    return next(one for one in history.read(table, lake_root).standing if one.version == version)
