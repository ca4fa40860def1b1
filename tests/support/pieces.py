"""A landed CSV file that tasks read in pieces, and what its rows must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from millstream.lake.storage import Storage
from millstream.landing.manifest import read_manifest
from millstream.landing.run import Landing
from millstream.sources.files import FilesExtractor
from tests.support.chain import Chain, contract_of, small_suite
from tests.support.decoding import records_of

SOURCE = {"kind": "files", "connection": "drop", "format": "csv", "path": "planes.csv"}
HEADER = b"\xef\xbb\xbftailnum,year,type,manufacturer,model,engines,seats,speed,engine\r\n"
ROWS = [
    b"N1,2004,Fixed wing,EMBRAER,EMB,2,55,432.5,jet\n",
    b'N2,2004,"Fixed, wing","EM""B\r\nRAER",EMB,2,55,,jet\r\n',
    b"\n",
    b"N3,2004\n",
    b"N4,2004,Zo\xeb,EMBRAER,EMB,2,55,432.5,jet\n",
    'N5,2004,Zoë,EMBRAER,"EMB,2,55,432.5,jet\n'.encode(),
    b"N6,two,Fixed wing,EMBRAER,EMB,2,55,432.5,jet\r",
]


def read_in_pieces(spark: SparkSession, folder: Path) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The rows of bronze, number and all, after a load in pieces of 1 KiB; and those of the whole file."""
    chain = Chain(spark, folder, contract_of("planes", source=SOURCE, load="full"), small_suite())
    content = HEADER + b"".join(ROWS * 40)
    chain.put("planes.csv", content)
    landing = Landing(Storage(chain.root), "planes", "r1")
    extractor = FilesExtractor(chain.contract, chain.drop, piece_bytes=1 << 10)
    (file,) = extractor.fetch(extractor.plan([])[0], landing)
    landing.commit([], [file])
    assert len(read_manifest(Storage(chain.root), "planes", "r1").files[0].pieces) > 5

    loaded = chain.load_bronze("r1")
    names = [
        *chain.contract.column_names,
        "_source_row",
        "_record_error",
        "_record",
        "_added",
        "_source_file",
    ]
    rows = spark.read.format("delta").load(f"{chain.root}/bronze/planes").select(*names)
    with Storage(chain.root).reading(file.path) as stream:
        records = enumerate(records_of(chain.contract, stream), start=1)
        whole = [
            (*(record.values or [None] * 9), number, record.error, record.raw, record.added, file.path)
            for number, record in records
            if record is not None
        ]
    assert loaded["rows"] == len(whole) == 240
    return sorted((tuple(row) for row in rows.collect()), key=lambda row: row[9]), whole
