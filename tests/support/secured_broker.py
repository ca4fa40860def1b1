"""A real broker that asks for TLS and a login by SCRAM, with certificates of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from confluent_kafka.admin import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.broker import ASK_S, RunningBroker
from tests.support.loopback import free_port

HOST = "127.0.0.1"
# Beside the listener of the tests' own clients, which is as everywhere.
PROPERTIES = """\
listeners={plain},SECURED://{host}:{port},{controller}
advertised.listeners={plain},SECURED://{host}:{port},{controller}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL
inter.broker.listener.name=PLAINTEXT
listener.name.secured.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={keystore}
"""


class SecuredBroker(RunningBroker):
    """`secured` is the address that asks for TLS and a login; `authorities` is whose certificate it has."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.secured = f"{HOST}:{port}"
        self.authorities, keystore = folder / "authorities.pem", folder / "broker.pem"
        _write_certificates(self.authorities, keystore)
        self._more = PROPERTIES.format(
            plain=f"PLAINTEXT://{self.servers}",
            controller=f"CONTROLLER://{HOST}:{self._broker.controller_port}",
            host=HOST,
            port=port,
            keystore=keystore,
        )

    def _prepare(self) -> None:
        super()._prepare()
        with self._broker.properties.open("a") as properties:
            properties.write(self._more)

    def set_login(self, user: str, password: str) -> None:
        """By the admin client: a command line would show it to everybody."""
        login = UserScramCredentialUpsertion(
            user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), password.encode()
        )
        for changed in self.admin.alter_user_scram_credentials([login]).values():
            changed.result(ASK_S)

    def login(self, user: str, password: str) -> dict[str, str]:
        """The extra of an Airflow connection."""
        return {
            "bootstrap.servers": self.secured,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
            "ssl.ca.location": str(self.authorities),
        }


@contextmanager
def secured(folder: Path) -> Iterator[SecuredBroker]:
    """A broker while it is used."""
    server = SecuredBroker(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _write_certificates(authorities: Path, keystore: Path) -> None:
    authority_key, authority = authority_of("tests")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))])
    certificate = (
        _certificate("broker", authority.subject, key)
        .add_extension(name, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    authorities.write_bytes(authority.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(keystore, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as stream:
        stream.write(private + certificate.public_bytes(Encoding.PEM))


def authority_of(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A certificate authority: its key and its own certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    basic = x509.BasicConstraints(ca=True, path_length=0)
    certificate = _certificate(name, _name(name), key).add_extension(basic, critical=True)
    return key, certificate.sign(key, hashes.SHA256())


def _certificate(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
