"""Each format of files, plain and packed: the same records, whole or refused."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from millstream.contracts.source import FileFormat
from millstream.errors import SourceDataError
from millstream.formats.checks import check_file
from millstream.formats.registry import FORMATS
from millstream.settings import CHECKOUT
from tests.support.decoding import records_of
from tests.unit.test_decode import contract, zipped

PLAIN = {
    "csv": b'id,name\n1,one\n2,"two, and\nmore"\n3\n',
    "jsonl": b'{"id": 1, "name": "one"}\n\n{"id": 2}\n{"id": 3, "name": "three"}\n',
    "xml": b"<things><thing><id>1</id><name>one</name></thing><thing><id>2</id><name/></thing></things>",
}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".bz2": bz2.compress,
    ".zip": lambda content: zipped(content, "things"),
}
PAIRS = [(plain, ending) for plain in PLAIN for ending in PACK]


def of_format(name: str):
    more = {"row_tag": "thing"} if name.startswith("xml") else {}
    return contract({"kind": "files", "format": name, "path": f"things.{name}", **more})


def test_these_are_the_formats_that_a_contract_may_name() -> None:
    assert {plain + ending for plain, ending in PAIRS} == set(get_args(FileFormat)) < set(FORMATS)


def test_the_page_on_contracts_names_them() -> None:
    page = (CHECKOUT / "docs" / "contracts.md").read_text()
    table = page.partition("`source.format`")[2].partition("\n\n")[0]
    assert {name for name in PLAIN if f"| `{name}` |" in table} == set(PLAIN)
    assert {ending for ending in PACK if ending and f"`{ending}`" in table} == {*PACK} - {""}


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
