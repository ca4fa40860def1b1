"""How a stream reaches Kafka: addresses, TLS and login.

A password is in a folder that only its owner may enter: `client.json` for the client of the broker's answers,
`jaas` for Spark, whose options name that file. Kafka reads it inside of Java, so no plan has the password.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from millstream.errors import ConfigurationError

CLIENT, JAAS = "client.json", "jaas"
SERVERS, PROTOCOL, MECHANISM = "bootstrap.servers", "security.protocol", "sasl.mechanism"
USER, PASSWORD, AUTHORITIES = "sasl.username", "sasl.password", "ssl.ca.location"
KNOWN = (SERVERS, PROTOCOL, MECHANISM, USER, PASSWORD, AUTHORITIES)
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")
LOGIN_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
PROVIDER = "org.apache.kafka.common.config.provider.DirectoryConfigProvider"


@dataclass(frozen=True)
class Access:
    """`client` has the settings of librdkafka, `spark` the options of Spark's source and sink."""

    servers: str
    # With the password.
    client: Mapping[str, str] = field(repr=False)
    spark: Mapping[str, str]


def without_login(servers: str) -> Access:
    """Access to brokers that ask for nothing."""
    return _access({SERVERS: servers}, None)


def folder_of(home: Path, connection: str) -> Path:
    """Where an installation with its files in `home` keeps what `connection` says."""
    return home / "secrets" / "kafka" / connection


def of(home: Path, connection: str, servers: str) -> Access:
    """Access by `connection` where `home` has it, or else to `servers`, which ask for nothing."""
    folder = folder_of(home, connection)
    if (folder / CLIENT).exists():
        return _access(json.loads((folder / CLIENT).read_text()), folder)
    return without_login(servers)


def write(folder: Path, given: Mapping[str, str]) -> None:
    """Keep the settings `given`, by their names in librdkafka, in `folder`.

    Raises: ConfigurationError: a setting is unknown, missing or cannot be right; no password is in it.
    """
    settings = {name: str(value) for name, value in given.items()}
    _check(settings)
    new = folder.with_name(f"{folder.name}.new")
    forget(new)
    new.mkdir(parents=True, mode=0o700)
    _write_private(new / CLIENT, json.dumps(settings))
    if USER in settings:
        login = " ".join(
            f"{name}={_quoted(settings[setting])}"
            for name, setting in (("username", USER), ("password", PASSWORD))
        )
        _write_private(new / JAAS, f"{LOGIN_MODULE} required {login};")
    forget(folder)
    new.rename(folder)


def forget(folder: Path) -> None:
    """Remove what `write` has kept."""
    shutil.rmtree(folder, ignore_errors=True)


def _access(client: dict[str, str], folder: Path | None) -> Access:
    options = {SERVERS: client[SERVERS]}
    if PROTOCOL in client:
        options[PROTOCOL] = client[PROTOCOL]
    if AUTHORITIES in client:
        options |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": client[AUTHORITIES]}
    if USER in client:
        options |= {
            MECHANISM: client[MECHANISM],
            "config.providers": "directory",
            "config.providers.directory.class": PROVIDER,
            "sasl.jaas.config": f"${{directory:{folder}:{JAAS}}}",
        }
    return Access(client[SERVERS], client, {f"kafka.{name}": value for name, value in options.items()})


def _check(settings: Mapping[str, str]) -> None:
    if unknown := sorted(settings.keys() - set(KNOWN)):
        raise ConfigurationError(f"a stream does not know {', '.join(unknown)}; it knows {', '.join(KNOWN)}")
    protocol = settings.get(PROTOCOL, PROTOCOLS[0])
    if protocol not in PROTOCOLS:
        raise ConfigurationError(f"{PROTOCOL} is {protocol!r}, and has to be one of {', '.join(PROTOCOLS)}")
    login = (MECHANISM, USER, PASSWORD) if protocol.startswith("SASL") else ()
    if missing := [name for name in (SERVERS, *login) if not settings.get(name)]:
        raise ConfigurationError(f"{', '.join(missing)} missing")
    if not login and (needless := [name for name in (MECHANISM, USER, PASSWORD) if name in settings]):
        raise ConfigurationError(f"{PROTOCOL} is {protocol}, which takes no {', '.join(needless)}")
    if login and settings[MECHANISM] not in MECHANISMS:
        known = ", ".join(MECHANISMS)
        raise ConfigurationError(f"{MECHANISM} is {settings[MECHANISM]!r}, and has to be one of {known}")
    if unprintable := [name for name, value in settings.items() if not value.isprintable()]:
        raise ConfigurationError(f"{', '.join(unprintable)}: has a character that cannot be printed")
    authorities = settings.get(AUTHORITIES)
    if authorities and not Path(authorities).is_file():
        raise ConfigurationError(f"{AUTHORITIES} is {authorities!r}, and no file is there")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
