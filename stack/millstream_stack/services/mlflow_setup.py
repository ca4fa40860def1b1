"""Prepares MLflow's login: its configuration, and the present password for an administrator that exists."""

from __future__ import annotations

import sys
from pathlib import Path

# Every request would otherwise hash the password again (PBKDF2); with one worker nothing gets stale.
CONFIGURATION = """[mlflow]
default_permission = READ
database_uri = {database_uri}
admin_username = {user}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 300
"""


def write_configuration(folder: Path, user: str, database_uri: str) -> None:
    """Write `basic_auth.ini`, for the server's eyes only: the database's address may hold a password."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "basic_auth.ini"
    path.touch(mode=0o600)
    # The file's reader takes a percent sign for the begin of a reference.
    path.write_text(CONFIGURATION.format(database_uri=database_uri.replace("%", "%%"), user=user))


def renew_password(folder: Path, user: str, password: str) -> None:
    """MLflow reads its password variable on the first start only; after that the database is asked."""
    if not (folder / "basic_auth.db").exists():
        return
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(  # type: ignore[no-untyped-call]
        f"sqlite:///{folder}/basic_auth.db"
    )
    if store.has_user(user):
        store.update_user(user, password)


def main() -> int:
    from millstream.settings import Settings
    from millstream_stack.credentials import load_or_create

    settings = Settings()
    credentials = load_or_create(settings)
    folder = settings.home / "mlflow"
    write_configuration(folder, credentials.mlflow_user, f"sqlite:///{folder}/basic_auth.db")
    renew_password(folder, credentials.mlflow_user, credentials.mlflow_password)
    return 0


if __name__ == "__main__":
    sys.exit(main())
