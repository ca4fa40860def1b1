"""Passwords and keys of the embedded stack: generated once, kept in one file that only its owner may read."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from millstream.errors import ConfigurationError
from millstream.settings import Settings


def _token() -> str:
    return secrets.token_urlsafe(24)


def _signing_key() -> str:
    # 64 characters, the length that RFC 7518 asks for with SHA-512.
    return secrets.token_urlsafe(48)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


class Credentials(BaseModel):
    """Every field is generated; there is no default that two installations would share."""

    airflow_user: str = "admin"
    airflow_password: str = Field(default_factory=_token)
    airflow_jwt_secret: str = Field(default_factory=_signing_key)
    airflow_api_secret: str = Field(default_factory=_signing_key)
    airflow_fernet_key: str = Field(default_factory=_fernet_key)
    mlflow_user: str = "admin"
    mlflow_password: str = Field(default_factory=_token)
    mlflow_flask_secret: str = Field(default_factory=_token)
    demo_api_token: str = Field(default_factory=_token)
    supervisor_password: str = Field(default_factory=_token)


def credentials_path(settings: Settings) -> Path:
    return settings.home / "secrets" / "credentials.json"


def load_or_create(settings: Settings) -> Credentials:
    """The credentials of this checkout; what is missing is generated and written (mode 0600).

    Raises: ConfigurationError when the file is no JSON, or has a field of another type.
    """
    path = credentials_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    stored = path.read_text() if path.exists() else "{}"
    try:
        credentials = Credentials.model_validate_json(stored)
    except ValidationError as error:
        # Not the error's own text: it quotes what it has found.
        wrong = "; ".join(
            ": ".join((*map(str, detail["loc"]), detail["msg"]))
            for detail in error.errors(include_input=False)
        )
        raise ConfigurationError(
            f"{path}: {wrong}. Correct it; a deleted field is generated anew (keep airflow_fernet_key)"
        ) from None
    text = credentials.model_dump_json(indent=2) + "\n"
    if text != stored:
        _write_private(path, text)
    return credentials


def _write_private(path: Path, text: str) -> None:
    """Writes whole or not at all, and never readable by others, not even for a moment."""
    unfinished = path.with_suffix(".part")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    unfinished.replace(path)
