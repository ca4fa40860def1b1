"""A client that publishes what has been judged: `publishing_client.py URL ATTEMPT FOLDER STAGED`.

The test kills it in the midst of that.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from millstream.engines import sessions
from tests.support.chain import Chain, contract_of, small_suite
from tests.support.month import KEPT_DISTANCE, MONTH

if __name__ == "__main__":
    url, attempt, folder, staged = sys.argv[1:]
    with sessions.connect(url, attempt, [], tag="fault") as spark:
        chain = Chain(spark, Path(folder), contract_of("flights"), small_suite(KEPT_DISTANCE))
        chain.publish("new", json.loads(staged), [MONTH])
