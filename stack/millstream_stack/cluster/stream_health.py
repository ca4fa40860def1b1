"""Succeeds when the stream of flights says of itself that it runs."""

from __future__ import annotations

import sys

from millstream.settings import Settings
from millstream_stack.cluster.streams import DATASET
from millstream_stack.services.stream_process import stream_runs


def main() -> int:
    health = stream_runs(Settings(), DATASET)
    print(health.detail)
    return 0 if health.healthy else 1


if __name__ == "__main__":
    sys.exit(main())
