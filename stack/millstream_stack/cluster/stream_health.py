"""`[alerts]`: succeeds when the stream of flights, or what sends its alerts, says of itself that it runs."""

from __future__ import annotations

import sys

from millstream.settings import Settings
from millstream_stack.cluster.streams import DATASET
from millstream_stack.services.stream_process import alerts_run, stream_runs


def main(what: list[str]) -> int:
    health = (alerts_run if what == ["alerts"] else stream_runs)(Settings(), DATASET)
    print(health.detail)
    return 0 if health.healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
