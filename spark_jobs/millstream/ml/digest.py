"""Whether a stored model is still what was registered: one SHA-256 over all of its files.

The digest is taken when a version is registered, kept as its tag, and asked for before the version is served.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from millstream.errors import ArtifactDigestError

TAG = "artifact_sha256"


def tree_digest(folder: Path) -> str:
    """SHA-256, in hex, of the folder's files: their names below it, in order, and their bytes.

    Empty folders, times and access rights do not count. Raises ArtifactDigestError when there is no file.
    """
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if not files:
        raise ArtifactDigestError(f"{folder}: there is no file to take a digest of")
    whole = hashlib.sha256()
    for name in sorted(files):
        # Digests of a fixed length: what belongs to a name cannot pass for a part of the content.
        whole.update(hashlib.sha256(name.encode()).digest())
        with files[name].open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()


def require_registered(folder: Path, tags: Mapping[str, str], model: str) -> None:
    """Raise ArtifactDigestError unless the files in `folder` are those that `model` was registered with.

    `model` names the version in words, `tags` are its tags in the registry.
    """
    expected = tags.get(TAG)
    if expected is None:
        raise ArtifactDigestError(
            f"{model} has no tag {TAG}, so nobody can tell whether its files are as registered: it was not "
            "registered by this platform; train again"
        )
    found = tree_digest(folder)
    if found != expected:
        raise ArtifactDigestError(
            f"{model}: its files have the digest {found}, registered was {expected}: they were changed after "
            "it was registered, and are not served"
        )
