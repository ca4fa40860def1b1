"""Folders, by connections of type `fs`."""

from __future__ import annotations

from pathlib import Path

from airflow.providers.standard.hooks.filesystem import FSHook

from millstream.errors import ConfigurationError


def resolved(connection: str) -> Path:
    path = FSHook(connection).get_path()
    if not path:
        raise ConfigurationError(f"connection {connection}: its extra names no path, for example /data/drop")
    return Path(path)
