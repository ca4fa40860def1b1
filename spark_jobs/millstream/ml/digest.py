"""Whether a stored model is still what was registered: one SHA-256 over all of its files.

The digest is computed when a version is registered, stored as its tag, and checked before the version is
served or compared with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from millstream.errors import ArtifactDigestError
from millstream.lake.storage import Storage, local_uri

TAG = "artifact_sha256"
# Where MLflow's Spark flavour keeps the pipeline in a logged model.
PIPELINE = "sparkml"


def tree_digest(storage: Storage, folder: str) -> str:
    """SHA-256, in hex, of the folder's files: their names below it, in order, and their bytes.

    Empty folders, times and access rights do not count. Raises ArtifactDigestError when there is no file.
    """
    names = sorted(file.path.removeprefix(f"{folder}/") for file in storage.files(folder))
    if not names:
        raise ArtifactDigestError(f"{folder}: there is no file to take a digest of")
    whole = hashlib.sha256()
    for name in names:
        # Digests of a fixed length: what belongs to a name cannot pass for a part of the content.
        whole.update(hashlib.sha256(name.encode()).digest())
        with storage.reading(f"{folder}/{name}") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())  # type: ignore[arg-type]
    return whole.hexdigest()


def require_registered(storage: Storage, folder: str, tags: Mapping[str, str], model: str) -> None:
    """Raise ArtifactDigestError unless the files in `folder` are those that `model` was registered with.

    `model` names the version in words, `tags` are its tags in the registry.
    """
    expected = tags.get(TAG)
    if expected is None:
        raise ArtifactDigestError(
            f"{model} has no tag {TAG}, so its files cannot be compared with those registered: it was not "
            "registered by this platform; train again"
        )
    actual = tree_digest(storage, folder)
    if actual != expected:
        raise ArtifactDigestError(
            f"{model}: its files have the digest {actual}, registered was {expected}: they were changed "
            "after it was registered, and are not served. Train again, or move the alias to an intact version"
        )


def fetch(mlflow: Any, version: Any, into: str) -> str:
    """Download a registered version (MLflow's ModelVersion) below the folder `into`.

    Returns: the URI of the folder with the download; the pipeline is in `PIPELINE` there.
    Raises: ArtifactDigestError unless it is what was registered.
    """
    name = f"{version.name}/{version.version}"
    fetched = local_uri(mlflow.artifacts.download_artifacts(f"models:/{name}", dst_path=into))
    require_registered(Storage(fetched), PIPELINE, version.tags, f"{version.name} version {version.version}")
    return fetched
