"""Folders: of this machine by connections of type `fs`, of servers by the file systems of Airflow's
providers, of HDFS by its own protocol or over HTTP, of S3 by s3fs, and of web servers."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.standard.hooks.filesystem import FSHook
from airflow.sdk import BaseHook, Connection

from millstream.errors import ConfigurationError
from millstream.sources.places import Folder, Place
from millstream.sources.remote import Remote
from millstream.sources.web import Web
from millstream_airflow.connections import HOW_TO_INSTALL, http

# Types of connections whose file system a provider of Airflow's makes, by its scheme.
PROVIDED = {
    "sftp": "sftp",
    "google_cloud_platform": "gs",
    "wasb": "abfs",
    "adls": "abfs",
}
# What the extra of a connection of type `aws` may say. Airflow's provider knows more, such as roles: leaving
# that out in silence would log in as somebody else.
S3_EXTRA = {"path", "endpoint_url", "region_name", "aws_session_token"}
# A server that is down, or stands still, is told after so long.
PATIENCE_S = 30


def resolved(connection: str) -> Place:
    """The folder that a connection leads to; its `path` in extra is below the server's root.

    Raises ConfigurationError when the connection's type leads to no files.
    """
    given = BaseHook.get_connection(connection)
    match given.conn_type:
        case "fs":
            return _folder(connection)
        case "hdfs":
            return _hdfs(given)
        case "webhdfs":
            return _webhdfs(given)
        case "aws":
            return _s3(given)
        case "http":
            return Web(http.resolved(connection), connection)
        case kind if kind in PROVIDED:
            return _provided(given, PROVIDED[kind])
        case kind:
            known = ", ".join(["fs", "aws", "hdfs", "webhdfs", "http", *PROVIDED])
            raise ConfigurationError(
                f"connection {connection}: its type, {kind}, leads to no files; expected one of {known}"
            )


def _folder(connection: str) -> Place:
    path = FSHook(connection).get_path()
    if not path:
        raise ConfigurationError(f"connection {connection}: its extra names no path, for example /data/drop")
    return Folder(Path(path), connection)


def _root(given: Connection) -> str:
    """The folder in the connection's extra; absolute on servers that have folders."""
    path = given.extra_dejson.get("path")
    if not path:
        raise ConfigurationError(
            f"connection {given.conn_id}: its extra names no path, for example /data/drop, or bucket/folder"
        )
    return str(path)


def _provided(given: Connection, scheme: str) -> Place:
    root = _root(given)
    host = f"{given.host}:{given.port}" if given.host and given.port else given.host or ""
    name = f"{scheme}://{host}/{root.lstrip('/')}" if host else f"{scheme}://{root}"
    return Remote(partial(_opened, given, scheme), root, name, given.conn_id)


def _opened(given: Connection, scheme: str) -> Any:
    from airflow.sdk.io.fs import get_fs, has_fs

    if not has_fs(scheme):
        raise ConfigurationError(
            f"connection {given.conn_id}: no file system for {scheme} is installed. It comes with Airflow's "
            f"provider of connections of type {given.conn_type}. {HOW_TO_INSTALL}"
        )
    # Declared as texts, and handed on as they are.
    options: dict[str, Any] = _of_sftp(given) if scheme == "sftp" else {}
    return get_fs(scheme, given.conn_id, options)


def _of_sftp(given: Connection) -> dict[str, Any]:
    """The server's key is compared with the connection's `host_key`, or with what the user knows.

    Without this the file system takes any key (sshfs 2026.8.0 sets `known_hosts` to None).
    """
    import asyncssh

    # Ten lines for each time that somebody looks for new files.
    asyncssh.set_log_level(logging.WARNING)
    extra = given.extra_dejson
    bounds: dict[str, Any] = {
        "connect_timeout": PATIENCE_S,
        "login_timeout": PATIENCE_S,
        # It gives up after three without an answer.
        "keepalive_interval": PATIENCE_S / 3,
        # A file system that is kept would hold a connection that another process has made.
        "skip_instance_cache": True,
    }
    if str(extra.get("no_host_key_check", "")).lower() == "true":
        return bounds
    if not (key := extra.get("host_key")):
        return {**bounds, "known_hosts": ()}
    kind_and_key = key if " " in key else f"ssh-rsa {key}"
    return {**bounds, "known_hosts": asyncssh.import_known_hosts(f"* {kind_and_key}\n")}


def _hdfs(given: Connection) -> Place:
    def opened() -> Any:
        from hdfs_native.fsspec import HdfsFileSystem

        from millstream.lake.filesystems.hdfs import BOUNDS

        return HdfsFileSystem(given.host, given.port, skip_instance_cache=True, **BOUNDS)

    root = _root(given)
    host = f"{given.host}:{given.port}" if given.port else f"{given.host}"
    # By itself: its reader cannot be buffered (hdfs-native 0.14 has no `readinto`). Nor does it ever give up
    # on a NameNode that takes the connection and says nothing.
    name = f"hdfs://{host}{root}"
    return Remote(opened, root, name, given.conn_id, reading={}, answers_within=PATIENCE_S)


def _webhdfs(given: Connection) -> Place:
    """By the provider's hook: it knows several NameNodes, TLS and Kerberos."""

    def opened() -> Any:
        from airflow.providers.apache.hdfs.hooks.webhdfs import WebHDFSHook

        from millstream.sources.webhdfs import WebHdfsFileSystem

        class BoundedHook(WebHDFSHook):
            """It hands no bound on, and its first question would wait without end."""

            def _get_client(self, *given: Any) -> Any:
                client = super()._get_client(*given)
                client._timeout = PATIENCE_S
                return client

        return WebHdfsFileSystem(BoundedHook(given.conn_id).get_conn())

    root = _root(given)
    return Remote(opened, root, f"webhdfs://{given.host}:{given.port}{root}", given.conn_id)


def _s3(given: Connection) -> Place:
    if unknown := sorted(given.extra_dejson.keys() - S3_EXTRA):
        raise ConfigurationError(
            f"connection {given.conn_id}: {', '.join(unknown)} in its extra mean nothing here; expected "
            f"{', '.join(sorted(S3_EXTRA))}"
        )
    root = _root(given).removeprefix("s3://").strip("/")
    address = str(given.extra_dejson.get("endpoint_url") or "https://")
    # botocore's errors have the address in full, and stand in logs and alerts.
    if "@" in address:
        raise ConfigurationError(
            f"connection {given.conn_id}: endpoint_url in its extra holds a login; put access key and secret "
            "into login and password"
        )
    endpoint = urlsplit(address)
    if endpoint.scheme not in ("http", "https"):
        raise ConfigurationError(
            f"connection {given.conn_id}: endpoint_url in its extra is no address, such as https://s3.example.com"
        )
    host = endpoint.netloc
    return Remote(
        partial(_s3_opened, given), root, f"s3://{host}/{root}" if host else f"s3://{root}", given.conn_id
    )


def _s3_opened(given: Connection) -> Any:
    """Without a login it takes what botocore finds: the environment, a profile, the machine's own role."""
    from s3fs import S3FileSystem

    extra = given.extra_dejson
    return S3FileSystem(
        key=given.login or None,
        secret=given.password or None,
        token=extra.get("aws_session_token"),
        endpoint_url=extra.get("endpoint_url"),
        client_kwargs={"region_name": extra.get("region_name")},
        config_kwargs={
            "connect_timeout": PATIENCE_S,
            "read_timeout": PATIENCE_S,
            # s3fs tries five times itself: with botocore's five for each of these a server that says nothing
            # would be waited for half an hour.
            "retries": {"total_max_attempts": 1},
        },
        # A file system that is kept would hold a connection that another process has made.
        skip_instance_cache=True,
    )
