"""Files that are no tables, from a folder to their table."""

from __future__ import annotations

import hashlib
from pathlib import Path

import matplotlib as mpl
import pytest
from pyspark.sql import SparkSession

from tests.support.updates import chain_of

pytestmark = pytest.mark.spark

IMAGES = Path(mpl.get_data_path()) / "images"
# A contract of one line: the format knows its columns.
SCANS = {
    "dataset": "scans",
    "source": {"kind": "files", "connection": "drop", "path": "**/*", "format": "binary", "quiet_seconds": 0},
}


def test_the_table_follows_the_folder(spark: SparkSession, tmp_path: Path) -> None:
    chain = chain_of(spark, tmp_path, SCANS)
    names = ("home.png", "help.pdf", "help.svg")
    given = {f"{name[:4]}/{name}": (IMAGES / name).read_bytes() for name in names}
    for path, content in given.items():
        chain.put(path, content)
    result = chain.run("r1")
    assert (result["read"], result["written"]) == (3, 3)
    kinds = {field.name: field.dataType.simpleString() for field in chain.rows().schema}
    assert (kinds["size_bytes"], kinds["modified_at"]) == ("bigint", "timestamp")

    given["home/home.png"] = (IMAGES / "home_large.png").read_bytes()
    chain.put("home/home.png", given["home/home.png"])
    (chain.drop / "help" / "help.svg").unlink()
    del given["help/help.svg"]
    chain.run("r2")
    rows = {row["path"]: row for row in chain.rows().collect()}
    assert rows.keys() == given.keys()
    for path, content in given.items():
        assert (rows[path]["size_bytes"], rows[path]["sha256"]) == (
            len(content),
            hashlib.sha256(content).hexdigest(),
        )
    landed = [f"{chain.root}/{row['landed_path']}" for row in rows.values()]
    read = spark.read.format("binaryFile").load(landed).select("content").collect()
    assert {bytes(row["content"]) for row in read} == set(given.values())


@pytest.mark.thorough
def test_a_login_page_in_the_place_of_a_pdf_is_kept_apart(spark: SparkSession, tmp_path: Path) -> None:
    columns = [{"name": "path"}, {"name": "media_type", "categories": ["application/pdf"]}]
    documents = {**SCANS, "columns": columns, "primary_key": ["path"], "load": "append"}
    chain = chain_of(spark, tmp_path, documents)
    pages = sorted(IMAGES.glob("*.pdf"))[:12]
    for path in pages:
        chain.put(path.name, path.read_bytes())
    chain.put("zz.pdf", "<!DOCTYPE html><title>Please log in</title>")
    result = chain.run("r1")
    assert (result["written"], result["quarantined"]) == (len(pages), 1)
    (broken,) = chain.rows(chain.table.quarantine).collect()
    assert broken["path"] == "zz.pdf"
    assert "text/html" in broken["_reasons"][0]

    chain.put("zz.pdf", (IMAGES / "zoom_to_rect.pdf").read_bytes())
    chain.run("r2")
    assert chain.rows().count() == len(pages) + 1
