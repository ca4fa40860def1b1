"""Entry script of spark-submit: run one job in a classic session and leave its outcome in the lake.

spark-submit run_job.py <job> --lake-root URI --outcome PATH --args JSON
"""

from __future__ import annotations

import argparse
import json
import sys

from millstream import jobs
from millstream.engines.outcome import Outcome
from millstream.lake.storage import Storage


def arg_parser() -> argparse.ArgumentParser:
    """The command line; `--outcome` is relative to the lake root, `--args` the job's JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job")
    parser.add_argument("--lake-root", required=True)
    parser.add_argument("--outcome", required=True)
    parser.add_argument("--args", required=True, type=json.loads)
    return parser


def main(argv: list[str]) -> int:
    """Exit status 0 when the job succeeded, 1 when it failed; either way the outcome is written."""
    options = arg_parser().parse_args(argv)
    storage = Storage(options.lake_root)
    try:
        jobs.parse(options.job, options.args)
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.appName(options.job).getOrCreate()
        outcome = Outcome(result=jobs.execute(spark, options.job, options.args))
    except Exception as error:
        outcome = Outcome.of_error(error)
        storage.write(options.outcome, outcome.model_dump_json().encode())
        raise
    storage.write(options.outcome, outcome.model_dump_json().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
