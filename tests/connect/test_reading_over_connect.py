"""docs/reading.md: its example for the stack's own server."""

from __future__ import annotations

import re
import subprocess
import sys

from millstream.engines import sessions
from millstream.settings import CHECKOUT, Settings

PAGE = CHECKOUT / "docs" / "reading.md"
*_, EXAMPLE = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
SHOWN = """
print([tuple(row) for row in flights.orderBy("carrier").collect()])
spark.stop()
"""


def test_the_example_reads_a_table(server: Settings) -> None:
    """In a process of its own, because a session of another kind may be open in this one."""
    with sessions.connect(server.connect_url, "reading/1", [], tag="reading") as spark:
        rows = spark.createDataFrame([("UA", 1), ("B6", None)], "carrier string, dep_delay_min int")
        rows.write.format("delta").mode("overwrite").save(f"{server.lake_root}/silver/flights")
    assert "sc://127.0.0.1:15002" in EXAMPLE
    assert "file:///path/to/.millstream/lake" in EXAMPLE
    code = EXAMPLE.replace("15002", str(server.connect_port))
    code = code.replace("file:///path/to/.millstream/lake", server.lake_root) + SHOWN
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[('B6', None), ('UA', 1)]"
