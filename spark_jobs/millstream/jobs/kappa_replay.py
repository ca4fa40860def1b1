"""The view of delays rebuilt from raw records beside the live one, compared, and made the live one."""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession

from millstream.contracts.contract import Contract
from millstream.errors import ConfigurationError, ReconciliationError
from millstream.jobs import JobModel
from millstream.lake import history
from millstream.lake.delta import replace, require_writer, turn
from millstream.lake.names import RunKey, TableName
from millstream.lake.reading import read_at
from millstream.quality.suite import Suite
from millstream.streams import comparison, served
from millstream.streams.replay import records_below, view_of
from millstream.streams.tables import Stream
from millstream.streams.views import account_of, defined, transaction
from millstream.transforms.airport_delays_batch import FIGURES, KEY


class Args(JobModel):
    """`contract` and `suite` are the stream's; `servers` are those of Kafka, empty for none. `archived` is
    the version of bronze from which records are taken, null for the newest; the rest comes from Kafka.
    `accept_differences`: the new view becomes the live one also where it differs, as after a change of rules.
    """

    lake_root: str
    run: RunKey
    contract: dict[str, Any]
    suite: dict[str, Any]
    servers: str = ""
    archived: int | None = None
    accept_differences: bool = False
    code_version: str


class Result(JobModel):
    """The live view now (`table`, at `version`), the one before, the position that both were compared at, the
    groups of each, how many differ, and of each partition the offset from which on records were Kafka's."""

    table: TableName
    version: int
    before: TableName
    position: int
    groups: dict[str, int]
    different: int
    from_kafka: dict[int, int]


def run(spark: SparkSession, args: Args) -> Result:
    """The stream goes on with the new view at its next look; the old one stays as it was then.

    Raises: ReconciliationError: the new view differs from the live one, which stays live; names the groups.
        ConfigurationError: there is no live view yet.
    """
    require_writer(spark, args.lake_root)
    contract = Contract.from_dict(args.contract, origin="contract")
    stream = Stream(contract, Suite.from_dict(args.suite), args.lake_root, args.code_version)
    live = served.speed_view(args.lake_root)
    standing = history.read(live, args.lake_root).standing
    archived = history.version(stream.bronze, args.lake_root) if args.archived is None else args.archived
    if not standing or standing[0].offsets is None or standing[0].version is None or archived is None:
        raise ConfigurationError(f"{live} has nothing yet: a replay is compared with the stream's view")
    offsets, pinned = standing[0].offsets, standing[0].version
    records, from_kafka = records_below(spark, stream, offsets, archived, args.servers)
    target = served.next_speed_view(args.lake_root)
    rows = view_of(spark, stream, records, offsets).persist()
    try:
        account = account_of(target, stream, standing[0], rows.count())
        account.inputs = {str(stream.bronze): archived}
        # A run of its own: what an earlier one has left there is replaced.
        account.run = args.run
        with turn(target, args.lake_root):
            uri = defined(spark, target, stream)
            replace(rows, uri, None, transaction(target, account, f"replay:{args.run}"))
    finally:
        rows.unpersist()
    version = history.version(target, args.lake_root)
    assert version is not None
    sides = {
        "live": read_at(spark, str(live), args.lake_root, pinned),
        "rebuilt": read_at(spark, str(target), args.lake_root, version),
    }
    compared = comparison.compare(sides, KEY, (*KEY, *FIGURES))
    if compared.different and not args.accept_differences:
        lines = "\n".join(f"- {one}" for one in comparison.differences("group", compared, {}))
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
        different=compared.different,
        from_kafka=from_kafka if from_kafka != offsets.end else {},
    )
