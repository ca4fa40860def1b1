"""Entry script of spark-submit: run one job in a classic session and leave its outcome in the lake.

spark-submit run_job.py --lake-root URI --submission PATH --outcome PATH
"""

from __future__ import annotations

import argparse
import os
import sys

from millstream import jobs
from millstream.engines import submission
from millstream.engines.outcome import Outcome
from millstream.lake.storage import Storage


def arg_parser() -> argparse.ArgumentParser:
    """The command line; both paths are relative to the lake root."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake-root", required=True)
    parser.add_argument("--submission", required=True)
    parser.add_argument("--outcome", required=True)
    return parser


def main(argv: list[str]) -> int:
    """Exit status 0 when the job succeeded; either way the outcome is written."""
    options = arg_parser().parse_args(argv)
    storage = Storage(options.lake_root)
    try:
        submitted = submission.take(storage, options.submission)
        os.environ.update(submitted.environment)
        jobs.parse(submitted.job, submitted.arguments)
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.appName(submitted.job).getOrCreate()
        outcome = Outcome(result=jobs.execute(spark, submitted.job, submitted.arguments))
    except Exception as error:
        outcome = Outcome.of_error(error)
        storage.write(options.outcome, outcome.model_dump_json().encode(), private=True)
        raise
    storage.write(options.outcome, outcome.model_dump_json().encode(), private=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
