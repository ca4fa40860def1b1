"""docs/reading.md: its example for the stack's own server."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from millstream.settings import CHECKOUT, Settings

PAGE = CHECKOUT / "docs" / "reading.md"
*_, EXAMPLE = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_example_reads_a_table(server: Settings) -> None:
    table = pa.table({"carrier": ["UA", "B6"], "dep_delay_min": [1, None]})
    write_deltalake(server.lake_root.removeprefix("file://") + "/silver/flights", table)
    assert "sc://127.0.0.1:15002" in EXAMPLE
    assert "file:///path/to/.millstream/lake" in EXAMPLE
    code = EXAMPLE.replace("15002", str(server.connect_port))
    scope: dict[str, Any] = {}
    exec(code.replace("file:///path/to/.millstream/lake", server.lake_root), scope)
    try:
        rows = [tuple(row) for row in scope["flights"].orderBy("carrier").collect()]
        assert rows == [("B6", None), ("UA", 1)]
    finally:
        scope["spark"].stop()
