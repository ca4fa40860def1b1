"""A client that writes slowly: `slow_writer.py URL ATTEMPT TABLE_URI`. The test kills it in mid-write."""

from __future__ import annotations

import sys

from millstream.engines import sessions

if __name__ == "__main__":
    url, attempt, uri = sys.argv[1:]
    with sessions.connect(url, attempt, [], tag="slow") as spark:
        # About a minute of hashing on one core, so that the kill comes in mid-write.
        rows = spark.range(0, 60_000_000, 1, 2).selectExpr(
            "id", "'old' AS writer", "sha2(string(id), 512) AS h"
        )
        rows.write.format("delta").mode("overwrite").save(uri)
