"""Prepares Airflow's database in-process: tables, the login and the pools.

Airflow's own command line takes the password as an argument, where every user of the machine can read it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Seconds a connection waits for SQLite's single writer.
SQLITE_CONNECT_ARGS = {"timeout": 60}
# The API server writes its audit log on its event loop. When a request of another thread holds the lock, and
# needs the loop to commit, only this timeout ends the wait: all tasks' requests stand still that long.
SQLITE_SERVER_CONNECT_ARGS = {"timeout": 3}

# Name, slots, what it limits.
POOLS = (
    ("default_pool", 128, "Light tasks: extraction, landing, publishing of assets."),
    ("spark", 3, "Jobs that run on Spark at the same time; more of them only share the same cores."),
    ("training", 2, "Candidate fits that run at the same time."),
)

WEBSERVER_CONFIG = '''"""FAB's configuration: logins are kept in Airflow's own database."""
from flask_appbuilder.const import AUTH_DB

AUTH_TYPE = AUTH_DB
AUTH_ROLE_PUBLIC = None
'''


def write_webserver_config(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(WEBSERVER_CONFIG)


def create_tables() -> None:
    """Creates or upgrades the tables of Airflow and of its login manager."""
    from airflow.utils.db import initdb

    initdb()


def ensure_login(user: str, password: str, role: str = "Admin") -> None:
    """Creates the user with one of Airflow's roles (Viewer, User, Op, Admin), or renews its password."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        security = builder.sm
        existing = security.find_user(username=user)
        if existing is not None:
            security.reset_password(existing.id, password)
            return
        given = security.find_role(role)
        if not security.add_user(user, "Millstream", role, f"{user}@localhost", given, password):
            raise RuntimeError(f"Airflow's login manager did not create the user {user!r}")


def ensure_pools() -> None:
    """Create the pools that are missing. Those that are there keep the slots that a person gave them."""
    from airflow.models.pool import Pool

    present = {pool.pool for pool in Pool.get_pools()}
    for name, slots, description in POOLS:
        if name not in present:
            Pool.create_or_update_pool(name, slots=slots, description=description, include_deferred=False)


def main() -> int:
    from millstream.settings import Settings
    from millstream_stack.credentials import load_or_create

    settings = Settings()
    credentials = load_or_create(settings)
    write_webserver_config(Path(os.environ["AIRFLOW__FAB__CONFIG_FILE"]))
    create_tables()
    ensure_login(credentials.airflow_user, credentials.airflow_password)
    ensure_pools()
    return 0


if __name__ == "__main__":
    sys.exit(main())
