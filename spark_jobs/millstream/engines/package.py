"""The library as a zip, so that a cluster runs the code of whoever submits and not that of its own image."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import millstream

EPOCH = (1980, 1, 1, 0, 0, 0)


def package_zip(folder: Path) -> Path:
    """The zip of this library in `folder`, named by its content; made where it is missing."""
    root = Path(millstream.__file__).parent
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    # Python takes a name on its path as it is; the digest is in the folder's name.
    target = folder / f"code-{digest.hexdigest()[:16]}" / "millstream.zip"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}.part")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                entry = zipfile.ZipInfo(f"{root.name}/{path.relative_to(root)}", EPOCH)
                archive.writestr(entry, path.read_bytes())
        part.replace(target)
    return target
