"""What the file system of a local lake must do, so that several processes may write it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import psutil

from millstream.errors import ConfigurationError
from millstream.lake.storage import storage_failures

# They have hard links, but answer from caches: another machine's new name is not seen at once, and a reply
# that was lost lets a link that was made look like one that was refused.
NETWORK_FILE_SYSTEMS = frozenset(
    ("nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "9p", "fuse.sshfs", "fuse.rclone")
)


def require_hard_links(lake_root: str) -> None:
    """Raise ConfigurationError, which names folder and reason, when a local lake cannot lie there."""
    folder = Path(lake_root.removeprefix("file://"))
    with storage_failures(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    kind = file_system(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        raise _refused(folder, f"is on a network file system ({kind}), which does not tell its writers apart")
    probe, link = (folder / f".{uuid.uuid4().hex}.{part}" for part in ("probe", "link"))
    with storage_failures(str(folder)):
        probe.touch()
    try:
        os.link(probe, link)
        os.link(probe, link)
    except FileExistsError:
        return
    except OSError as error:
        raise _refused(
            folder, f"is on a file system ({kind}) without hard links: {error.strerror}"
        ) from error
    finally:
        probe.unlink()
        link.unlink(missing_ok=True)
    raise _refused(folder, f"is on a file system ({kind}) where a hard link replaces a file")


def file_system(folder: Path) -> str:
    """The kind of file system that `folder` is on, as the operating system calls it; `unknown` where it does
    not say so."""
    place = folder.resolve()
    mounted = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    return next((mounted[parent] for parent in (place, *place.parents) if parent in mounted), "unknown")


def _refused(folder: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the lake cannot lie in {folder}: it {reason}. Two processes could both believe to have made "
        "the same version of a table. What to do: set MILLSTREAM_LAKE_ROOT to a folder on a local disk"
    )
