"""A server's workers read pieces of a landed file too."""

from __future__ import annotations

from pathlib import Path

from millstream.engines import sessions
from millstream.settings import Settings
from tests.support.pieces import read_in_pieces


def test_rows_of_a_file_that_tasks_read_in_pieces_over_connect(server: Settings, tmp_path: Path) -> None:
    with sessions.connect(server.connect_url, "pieces/1", [], tag="pieces") as spark:
        found, expected = read_in_pieces(spark, tmp_path)
    assert found == expected
