"""The pinned jars: what is asked for, and that nothing else is accepted."""

from __future__ import annotations

import hashlib
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.utils import CryptographyDeprecationWarning

from millstream.errors import ConfigurationError
from millstream.settings import CHECKOUT
from millstream_stack.install import jars
from millstream_stack.install.jars import Jar, fetch, ivy_module, ivy_settings, read_list, write_trust_store

GOOD = b"the jar's bytes"
DIGEST = hashlib.sha256(GOOD).hexdigest()


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "jars.txt"
    path.write_text(f"# a comment\n\n{DIGEST}  org.example:thing:1.0\n")
    return path


def deliver(monkeypatch: pytest.MonkeyPatch, content: bytes) -> list[list[Jar]]:
    """In Ivy's place: writes `content` for every jar that is asked for."""
    asked: list[list[Jar]] = []

    def run_ivy(wanted: list[Jar], home: Path, folder: Path) -> None:
        asked.append(wanted)
        for jar in wanted:
            (folder / jar.file_name).write_bytes(content)

    monkeypatch.setattr(jars, "run_ivy", run_ivy)
    return asked


def test_the_projects_list_pins_every_jar_by_version_and_digest() -> None:
    found = read_list(CHECKOUT / "conf" / "jars.txt")

    assert {"delta-spark_4.2_2.13-4.4.0.jar", "hadoop-streaming-3.4.2.jar"} <= {
        jar.file_name for jar in found
    }
    assert len(found) == 12
    assert all(len(jar.sha256) == 64 for jar in found)


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "jars.txt"
    path.write_text("# fine\nabc org.example:thing\n")

    with pytest.raises(ConfigurationError, match=r"jars\.txt, line 2: expected '<sha256>"):
        read_list(path)


def test_only_what_is_missing_is_downloaded(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = deliver(monkeypatch, GOOD)

    assert fetch(listed, tmp_path) == [tmp_path / "jars" / "thing-1.0.jar"]
    fetch(listed, tmp_path)

    assert [[jar.artifact for jar in jars] for jars in asked] == [["thing"]]


def test_another_digest_is_refused_and_the_file_removed(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(monkeypatch, b"something else")

    with pytest.raises(
        ConfigurationError, match=rf"thing-1\.0\.jar: jars\.txt expects SHA-256 {DIGEST}, found"
    ):
        fetch(listed, tmp_path)

    assert list((tmp_path / "jars").iterdir()) == []


def test_an_altered_jar_is_fetched_again_and_a_strange_one_removed(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(monkeypatch, GOOD)
    fetch(listed, tmp_path)
    (tmp_path / "jars" / "thing-1.0.jar").write_bytes(b"altered")
    (tmp_path / "jars" / "old-0.9.jar").write_bytes(b"from an earlier list")

    fetch(listed, tmp_path)

    assert [(path.name, path.read_bytes()) for path in (tmp_path / "jars").iterdir()] == [
        ("thing-1.0.jar", GOOD)
    ]


def test_no_jar_brings_its_dependencies() -> None:
    module = ET.fromstring(ivy_module([Jar("org.example", "thing", "1.0", DIGEST)]))

    [dependency] = module.iter("dependency")
    assert dependency.attrib == {
        "org": "org.example", "name": "thing", "rev": "1.0", "conf": "spark->master", "transitive": "false",
    }  # fmt: skip


def test_a_maven_mirror_takes_the_place_of_maven_central() -> None:
    def resolver(mirror: str | None) -> dict[str, str]:
        [found] = ET.fromstring(ivy_settings(mirror)).iter("ibiblio")
        return found.attrib

    assert resolver("http://mirror.example/jars")["root"] == "http://mirror.example/jars/"
    assert "root" not in resolver(None)


def test_a_companys_bundle_becomes_a_trust_store(tmp_path: Path) -> None:
    import certifi

    write_trust_store(Path(certifi.where()), tmp_path / "store.p12")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        store = pkcs12.load_pkcs12((tmp_path / "store.p12").read_bytes(), b"changeit")
    wanted = Path(certifi.where()).read_text().count("BEGIN CERTIFICATE")
    assert len(store.additional_certs) == wanted


def test_a_bundle_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent.pem")

    with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE names /nonexistent\.pem"):
        jars.java_trust_options(tmp_path)


def test_the_log_store_that_a_running_stack_has_in_use_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listed: Path
) -> None:
    deliver(monkeypatch, GOOD)
    (tmp_path / "jars").mkdir()
    for name in (jars.OWN_JAR, "thing-0.9.jar"):
        (tmp_path / "jars" / name).write_bytes(b"x")
    fetch(listed, tmp_path)
    assert {path.name for path in (tmp_path / "jars").iterdir()} == {jars.OWN_JAR, "thing-1.0.jar"}
