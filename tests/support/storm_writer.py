"""One writing process of a storm: a classic Spark session of its own, told by its standard input what to do.

python storm_writer.py NAME SPARK_CONF_JSON; a line for each storm, `Orders` as JSON. It answers `ready`, then
`done` at the end of each. A row that is acknowledged is in `<signals>/<name>.acks`, with the table's number.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Orders:
    """What a writer does in one storm.

    `rows` rows, one a commit, in turn into the `tables` (URIs); a maintainer runs OPTIMIZE and VACUUM between
    them, at moments that `seed` chooses. Rows that `signals` says are acknowledged are not written again.
    """

    signals: str
    tables: list[str]
    rows: int
    seed: int
    maintains: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def session(conf: dict[str, str]) -> SparkSession:
    builder = SparkSession.builder.master("local[1]")
    for name, value in conf.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    return spark


def write(spark: SparkSession, name: str, orders: Orders) -> None:
    acknowledged = Path(orders.signals) / f"{name}.acks"
    begin = len(acknowledged.read_text().splitlines()) if acknowledged.exists() else 0
    # Late, so that OPTIMIZE has small files to put together.
    chosen = random.Random(orders.seed).randrange(orders.rows // 2, orders.rows)
    with acknowledged.open("a") as acks:
        for number in range(begin, orders.rows):
            table = orders.tables[number % len(orders.tables)]
            row = spark.sql(f"SELECT '{name}' writer, {number}L number")
            # The commit that the killed process was about may be there: then Delta leaves this one out.
            identified = {"txnAppId": name, "txnVersion": str(number)}
            row.coalesce(1).write.format("delta").options(**identified).mode("append").save(table)
            acks.write(f"{orders.tables.index(table)} {number}\n")
            acks.flush()
            if orders.maintains and number == chosen:
                for each in orders.tables:
                    maintain(spark, each)


def maintain(spark: SparkSession, table: str) -> None:
    for statement in (f"OPTIMIZE delta.`{table}`", f"VACUUM delta.`{table}`"):
        try:
            spark.sql(statement).collect()
        except PySparkException as error:
            # Another writer was first; Airflow would try again.
            if "CONCURRENT" not in str(error).upper():
                raise


def orders_from(stream: Iterator[str]) -> Iterator[Orders]:
    for line in stream:
        yield Orders(**json.loads(line))


def main(name: str, conf: str) -> None:
    # VACUUM prints to standard output, too.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    spark = session(json.loads(conf))
    print("ready", file=answers, flush=True)
    for orders in orders_from(sys.stdin):
        write(spark, name, orders)
        print("done", file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
