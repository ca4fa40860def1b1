"""Entry script of a stream: reads a topic into the lake until SIGTERM, which drains it.

python run_stream.py <contract> --lake-root URI --servers HOST:PORT [--home FOLDER]
                     [--available-now | --alerts CHECKPOINT]

Exit status: 0 drained, or all that was there is read; 3 stopped for a reason that a new start does not mend.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from millstream.contracts.contract import Contract
from millstream.errors import PermanentError, SupersededError
from millstream.quality.suite import Suite
from millstream.settings import Settings
from millstream.streams.snapshot import Snapshot

STOPPED, BEHIND = 3, 4


def arg_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contract", type=Path, help="the dataset's, in dags/streams")
    parser.add_argument("--lake-root", required=True)
    parser.add_argument("--servers", required=True, help="bootstrap servers of a Kafka without a login")
    parser.add_argument(
        "--home", type=Path, help="folder that may have the contract's connection, which then wins"
    )
    parser.add_argument("--available-now", action="store_true", help="end at the topic's present end")
    parser.add_argument(
        "--alerts",
        type=Path,
        help="folder of a checkpoint: send alerts in real-time mode, write no table",
    )
    parser.add_argument("--most-records", type=int, default=20_000, help="that one micro-batch reads")
    return parser


def main(argv: list[str]) -> int:
    options = arg_parser().parse_args(argv)
    # Before Spark, which takes its time: a stream that has hardly begun is drained like any other.
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Of each call that Spark makes back to Python.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    # Of each question to the model registry.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        ended = _run(options, ending)
    except SupersededError as error:
        logging.warning("another query was first, a new start goes on behind it: %s", error)
        return BEHIND
    except PermanentError as error:
        logging.error("stopped: %s: %s", type(error).__name__, error)
        return STOPPED
    if ended is not None:
        print(ended.model_dump_json(), flush=True)
    return 0


def _run(options: argparse.Namespace, ending: threading.Event) -> Snapshot | None:
    contract = Contract.load_file(options.contract)
    from millstream.quality.suites import suite_in

    suite = Suite.from_dict(suite_in(Settings().project, contract.dataset))
    from pyspark.sql import SparkSession

    from millstream.streams import access, alerts
    from millstream.streams.process import Runner
    from millstream.streams.tables import Stream

    spark = SparkSession.builder.appName(f"stream-{contract.dataset}").getOrCreate()
    code_version = os.environ.get("MILLSTREAM_CODE_VERSION", "unknown")
    stream = Stream(contract, suite, options.lake_root, code_version)
    home, connection = options.home, stream.source.connection
    kafka = access.of(home, connection, options.servers) if home else access.without_login(options.servers)
    if options.alerts is not None:
        alerts.run(spark, stream, kafka, options.alerts, ending)
        return None
    runner = Runner(spark, stream, kafka, options.available_now, options.most_records, ending)
    return runner.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
