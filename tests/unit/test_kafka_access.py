"""What a stream keeps of an Airflow connection: private files, and no password in an option of Spark."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.errors import ConfigurationError
from millstream.streams import access

# What of it looks the same with quotes and backslashes escaped.
PLAIN = "{d} e;="
PASSWORD = f"a\"b\\c{PLAIN}'"


@pytest.fixture
def login(tmp_path: Path) -> dict[str, str]:
    authorities = tmp_path / "ca.pem"
    authorities.write_text("")
    return {
        "bootstrap.servers": "kafka:9094",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "reader",
        "sasl.password": PASSWORD,
        "ssl.ca.location": str(authorities),
    }


def test_the_password_is_in_private_files_and_in_no_option(tmp_path: Path, login: dict[str, str]) -> None:
    folder = access.folder_of(tmp_path, "kafka")
    access.write(folder, {**login, "sasl.password": "an earlier one"})
    access.write(folder, login)

    kept = access.of(tmp_path, "kafka", "other:9092")
    assert (kept.servers, kept.client) == ("kafka:9094", login)
    assert kept.spark == {
        "kafka.bootstrap.servers": "kafka:9094",
        "kafka.security.protocol": "SASL_SSL",
        "kafka.ssl.truststore.type": "PEM",
        "kafka.ssl.truststore.location": login["ssl.ca.location"],
        "kafka.sasl.mechanism": "SCRAM-SHA-512",
        "kafka.config.providers": "directory",
        "kafka.config.providers.directory.class": access.PROVIDER,
        "kafka.sasl.jaas.config": f"${{directory:{folder}:jaas}}",
    }
    assert PLAIN not in repr(kept)
    assert {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())} == {
        "kafka": 0o700,
        "client.json": 0o600,
        "jaas": 0o600,
    }
    assert [path.name for path in folder.parent.iterdir()] == ["kafka"]


def test_without_a_connection_the_servers_ask_for_nothing(tmp_path: Path, login: dict[str, str]) -> None:
    folder = access.folder_of(tmp_path, "kafka")
    access.write(folder, login)
    access.forget(folder)

    kept = access.of(tmp_path, "kafka", "other:9092")
    assert kept.client == {"bootstrap.servers": "other:9092"}
    assert kept.spark == {"kafka.bootstrap.servers": "other:9092"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sasl.mechanism": "PLAIN"}, "sasl.mechanism is 'PLAIN', and has to be one of SCRAM-SHA-256"),
        ({"sasl.mechanism": ""}, "sasl.mechanism missing"),
        ({"bootstrap.servers": ""}, "bootstrap.servers missing"),
        ({"security.protocol": "SSL"}, "security.protocol is SSL, which takes no sasl.mechanism"),
        ({"security.protocol": "TLS"}, "security.protocol is 'TLS', and has to be one of PLAINTEXT"),
        ({"ssl.ca.location": "/none/ca.pem"}, "ssl.ca.location is '/none/ca.pem', and no file is there"),
        ({"sasl.password": f"{PASSWORD}\n"}, "sasl.password: has a character that cannot be printed"),
        ({"enable.ssl.certificate.verification": "false"}, "does not know enable.ssl.certificate"),
    ],
)
def test_what_cannot_be_right_is_refused_without_the_password(
    tmp_path: Path, login: dict[str, str], changes: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        access.write(access.folder_of(tmp_path, "kafka"), {**login, **changes})
    assert PLAIN not in str(refused.value)
    assert not (tmp_path / "secrets").exists()
