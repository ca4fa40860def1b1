"""Each format of files, plain and packed: the same records, whole or refused."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import fastavro
import pytest
import zstandard

from millstream.errors import SourceDataError
from millstream.formats.registry import formats, plain_formats
from millstream.landing.checks import check_file
from tests.support.decoding import records_of
from tests.unit.test_decode import contract, zipped


def avro_file() -> bytes:
    stream = io.BytesIO()
    fields = [{"name": "id", "type": "string"}, {"name": "name", "type": ["null", "string"]}]
    schema = {"type": "record", "name": "thing", "fields": fields}
    fastavro.writer(stream, schema, [{"id": "1", "name": "one"}, {"id": "2", "name": None}])
    return stream.getvalue()


PLAIN = {
    "csv": b'id,name\n1,one\n2,"two, and\nmore"\n3\n',
    "jsonl": b'{"id": 1, "name": "one"}\n\n{"id": 2}\n{"id": 3, "name": "three"}\n',
    "xml": b"<things><thing><id>1</id><name>one</name></thing><thing><id>2</id><name/></thing></things>",
    "json": b'[{"id": 1, "name": "one"}, {"id": 2}, {"id": 3, "name": "three"}]',
    "avro": avro_file(),
}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".bz2": bz2.compress,
    ".zst": lambda content: zstandard.ZstdCompressor(write_checksum=True).compress(content),
    ".zip": lambda content: zipped(content, "things"),
}
PAIRS = [(plain, ending) for plain in PLAIN for ending in PACK]


def of_format(name: str):
    more = {"row_tag": "thing"} if name.startswith("xml") else {}
    return contract({"kind": "files", "format": name, "path": f"things.{name}", **more})


def test_these_are_the_formats_that_may_be_packed() -> None:
    assert {plain + ending for plain, ending in PAIRS} == {
        name for name in formats() if plain_formats()[name.partition(".")[0]].packable
    }


@pytest.mark.parametrize(("plain", "ending"), PAIRS)
def test_a_packed_file_has_the_records_of_the_plain_one(plain: str, ending: str) -> None:
    records = records_of(of_format(plain), io.BytesIO(PLAIN[plain]))
    assert len([record for record in records if record is not None]) >= 2
    packed = io.BytesIO(PACK[ending](PLAIN[plain]))
    assert records_of(of_format(plain + ending), packed) == records
    packed.seek(0)
    check_file(of_format(plain + ending), "things")(packed)


@pytest.mark.parametrize(("plain", "ending"), [pair for pair in PAIRS if pair[1]])
def test_a_packed_file_that_was_cut_off_or_is_none_is_refused(
    plain: str, ending: str, tmp_path: Path
) -> None:
    whole = PACK[ending](PLAIN[plain])
    for content in (whole[:-9], PLAIN[plain]):
        with pytest.raises(SourceDataError, match="is not a readable"):
            check_file(of_format(plain + ending), "things")(io.BytesIO(content))


LINES = [b"".join(b"%d,a name\n" % number for number in range(first, first + 900)) for first in range(4)]


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst"])
def test_a_file_of_several_streams_is_read_to_its_end_or_refused(ending: str) -> None:
    """Programs that pack in parallel (pbzip2, pigz, pzstd) write one stream behind the other."""
    of = of_format(f"csv.{ending}")
    header, *streams = [PACK[f".{ending}"](content) for content in (b"id,name\n", *LINES)]
    whole = b"".join([header, *streams])
    assert len(records_of(of, io.BytesIO(whole))) == 4 * 900
    check_file(of, "things")(io.BytesIO(whole))
    second = len(header) + len(streams[0])
    for place in range(second, second + 10):
        content = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        try:
            check_file(of, "things")(io.BytesIO(content))
        except SourceDataError:
            continue
        # Of gzip's header some bits are only of the time and the system of the one who packed.
        assert len(records_of(of, io.BytesIO(content))) == 4 * 900
    for behind in (b"B", b"something else"):
        with pytest.raises(SourceDataError, match="is not a readable"):
            check_file(of, "things")(io.BytesIO(whole + behind))
