"""The server unpacks no library while it works: its disk may be full by then."""

from __future__ import annotations

from pathlib import Path

from millstream.engines import sessions
from millstream.settings import Settings
from millstream_stack.services.lake_claim import scratch_path


def test_compressing_leaves_no_library_in_the_temporary_folder(server: Settings, tmp_path: Path) -> None:
    with sessions.connect(server.connect_url, "native", [], tag="native") as spark:
        rows = spark.range(1000)
        for codec in ("snappy", "zstd"):
            rows.write.option("compression", codec).parquet(f"file://{tmp_path}/{codec}")
            assert spark.read.parquet(f"file://{tmp_path}/{codec}").count() == 1000

    names = {path.name for path in scratch_path(server.home).iterdir()}
    assert [name for name in names if "snappy" in name or "zstd" in name] == []
