"""Files that hold a file."""

from __future__ import annotations

import zipfile
from typing import IO

from millstream.errors import SourceDataError


def only_member(stream: IO[bytes]) -> IO[bytes]:
    archive = zipfile.ZipFile(stream)
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) != 1:
        raise SourceDataError(f"a zipped CSV file holds one file, found {len(members)}")
    return archive.open(members[0])
