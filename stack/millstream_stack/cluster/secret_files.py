"""The cluster's secrets, each a file of its own: docker-compose.yml says which service gets which.

    python -m millstream_stack.cluster.secret_files <folder> [user id]

writes those that are missing (mode 0600), with any Python: nothing need be installed for it. A service finds
its own in `/run/secrets`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from millstream.errors import ConfigurationError

MOUNTED = Path("/run/secrets")
# Shorter than any that is generated; what people write to fill a file in is shorter still.
SHORTEST = 24
PLACEHOLDERS = ("change", "example", "placeholder", "password", "secret")


def _token() -> str:
    return secrets.token_urlsafe(32)


def _signing_key() -> str:
    # 64 characters, the length that RFC 7518 asks for with SHA-512.
    return secrets.token_urlsafe(48)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


GENERATED: dict[str, Callable[[], str]] = {
    "postgres_password": _token,
    "airflow_database_password": _token,
    "mlflow_database_password": _token,
    "broker_password": _token,
    "airflow_jwt_secret": _signing_key,
    "airflow_api_secret": _signing_key,
    "airflow_fernet_key": _fernet_key,
    "airflow_admin_password": _token,
    "mlflow_admin_password": _token,
    "mlflow_flask_secret": _token,
    "demo_api_token": _token,
}
# Made from `broker_password`: the broker itself knows only the digest.
BROKER_USERS = "broker_users"
NAMES = (*GENERATED, BROKER_USERS)


def broker_users(password: str) -> str:
    """Valkey's list of users: one, who may do everything, by the digest of its password."""
    return f"user default on #{hashlib.sha256(password.encode()).hexdigest()} ~* &* +@all\n"


def write_missing(folder: Path, owner: int | None = None) -> list[str]:
    """Write the secrets that are not in `folder`; returns their names. `owner` is the user id that containers
    run as, where it is not the caller's.

    Raises: ConfigurationError when a file of the folder holds no real secret.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    written = []
    for name, generate in GENERATED.items():
        if not (folder / name).exists():
            _write_private(folder / name, generate(), owner)
            written.append(name)
        read(name, folder)
    users = broker_users(read("broker_password", folder))
    path = folder / BROKER_USERS
    if not path.exists() or path.read_text() != users:
        _write_private(path, users, owner)
        written.append(BROKER_USERS)
    if owner is not None:
        os.chown(folder, owner, -1)
    return written


def read(name: str, folder: Path | None = None) -> str:
    """One secret of this container, or of `folder`.

    Raises: ConfigurationError, which names it, when it is missing or a placeholder.
    """
    path = (folder or MOUNTED) / name
    try:
        value = path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"the secret {name} cannot be read from {path} ({error.strerror}): `make secrets` writes it"
        ) from None
    if len(value) < SHORTEST or value.lower().startswith(PLACEHOLDERS):
        raise ConfigurationError(
            f"the secret {name} in {path} is a placeholder or too short: delete the file, and `make secrets` "
            "writes another"
        )
    return value


def _write_private(path: Path, text: str, owner: int | None) -> None:
    """Writes whole or not at all, and never readable by others, not even for a moment."""
    unfinished = path.with_name(f".{path.name}.part")
    with suppress(FileNotFoundError):
        unfinished.unlink()
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    if owner is not None:
        os.chown(unfinished, owner, -1)
    unfinished.replace(path)


def main(folder: str, owner: str = "") -> int:
    try:
        written = write_missing(Path(folder), int(owner) if owner else None)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name in written:
        print(f"written: {Path(folder) / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
