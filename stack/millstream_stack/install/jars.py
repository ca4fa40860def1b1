"""Fetches the pinned jars of `conf/jars.txt` with the Ivy that pyspark ships, and verifies each one.

A machine therefore needs no Maven. `DEFAULT_ARTIFACT_REPOSITORY` names a Maven mirror; `SSL_CERT_FILE` a
company's certificate bundle, made into a trust store because a bundled Java knows only public authorities.
Beside them it puts the log store, compiled (`scala`), and unpacks what the server would unpack while it runs
(`native`).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from cryptography.utils import CryptographyDeprecationWarning

from millstream.errors import ConfigurationError
from millstream_stack.install import native
from millstream_stack.install.scala import build_jar

# Without the settings: the image installs before it has the code.
CHECKOUT = Path(__file__).resolve().parents[3]
OWN_JAR = "millstream-lake.jar"
# Java refuses a trust store without a password; it holds public certificates only.
TRUST_STORE_PASSWORD = "changeit"
# How jars are called in the descriptions of their modules.
PACKAGINGS = ("jar", "bundle", "maven-plugin")
MOST_IVIES, JARS_EACH = 6, 24


@dataclass(frozen=True)
class Jar:
    """One pinned jar: Maven coordinates and the SHA-256 of its bytes."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def intact(self, folder: Path) -> bool:
        path = folder / self.file_name
        return path.is_file() and sha256(path) == self.sha256


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_list(path: Path) -> list[Jar]:
    """Reads `conf/jars.txt`.

    Raises:
        ConfigurationError: a line is not `<sha256>  <group>:<artifact>:<version>`.
    """
    jars = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            digest, coordinates = line.split()
            group, artifact, version = coordinates.split(":")
        except ValueError:
            raise ConfigurationError(
                f"{path}, line {number}: expected '<sha256>  <group>:<artifact>:<version>', found {line!r}"
            ) from None
        jars.append(Jar(group, artifact, version, digest))
    return jars


def ivy_settings(mirror: str | None) -> str:
    """Ivy's settings: Maven Central, or the mirror in its place."""
    settings = ET.Element("ivysettings")
    ET.SubElement(settings, "settings", defaultResolver="jars")
    central = ET.SubElement(ET.SubElement(settings, "resolvers"), "ibiblio", name="jars", m2compatible="true")
    if mirror:
        central.set("root", mirror.rstrip("/") + "/")
    return ET.tostring(settings, encoding="unicode")


def ivy_module(jars: list[Jar]) -> str:
    """An Ivy module that asks for the jars themselves and none of their dependencies."""
    module = ET.Element("ivy-module", version="2.0")
    ET.SubElement(module, "info", organisation="millstream", module="jars")
    ET.SubElement(ET.SubElement(module, "configurations"), "conf", name="spark")
    dependencies = ET.SubElement(module, "dependencies")
    for jar in jars:
        ET.SubElement(
            dependencies, "dependency",
            org=jar.group, name=jar.artifact, rev=jar.version, conf="spark->master", transitive="false",
        )  # fmt: skip
    return ET.tostring(module, encoding="unicode")


def write_trust_store(bundle: Path, store: Path) -> None:
    """Writes the PEM certificates of `bundle` as a PKCS#12 trust store that Java accepts."""
    with warnings.catch_warnings():
        # Public bundles still carry old authorities with a serial number of zero or less.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        loaded = x509.load_pem_x509_certificates(bundle.read_bytes())
    certificates = [
        pkcs12.PKCS12Certificate(certificate, f"ca-{number}".encode())
        for number, certificate in enumerate(loaded)
    ]
    encryption = BestAvailableEncryption(TRUST_STORE_PASSWORD.encode())
    store.write_bytes(pkcs12.serialize_java_truststore(certificates, encryption))


def java_trust_options(home: Path) -> list[str]:
    """JVM options that trust the bundle named by `SSL_CERT_FILE`; none when it is unset."""
    bundle = os.environ.get("SSL_CERT_FILE")
    if not bundle:
        return []
    if not Path(bundle).is_file():
        raise ConfigurationError(f"SSL_CERT_FILE names {bundle}, which is not a file")
    store = home / "bootstrap" / "truststore.p12"
    write_trust_store(Path(bundle), store)
    return [
        f"-Djavax.net.ssl.trustStore={store}",
        "-Djavax.net.ssl.trustStoreType=PKCS12",
        f"-Djavax.net.ssl.trustStorePassword={TRUST_STORE_PASSWORD}",
    ]


def pyspark_jars() -> Path:
    """The folder of pyspark's own jars, found without importing pyspark."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise ConfigurationError("pyspark is not installed: run stack/bootstrap.sh")
    return Path(spec.origin).parent / "jars"


def run_ivy(jars: list[Jar], home: Path, folder: Path) -> None:
    """Downloads the jars into `folder` as `<artifact>-<version>.jar`.

    Ivy asks for one file after the other, so a long list is shared by several of them.

    Raises:
        ConfigurationError: Ivy could not fetch a jar; carries the end of its own report.
    """
    processes = min(MOST_IVIES, -(-len(jars) // JARS_EACH))
    shares = [jars[number::processes] for number in range(processes)]
    trust = java_trust_options(home)
    with ThreadPoolExecutor(processes) as threads:
        list(threads.map(_run_one_ivy, shares, repeat(trust), repeat(home), repeat(folder), range(processes)))


def _run_one_ivy(jars: list[Jar], trust: list[str], home: Path, folder: Path, number: int) -> None:
    work, cache = home / "tmp" / f"ivy-{number}", home / "cache" / f"ivy-{number}"
    work.mkdir(parents=True, exist_ok=True)
    (work / "ivysettings.xml").write_text(ivy_settings(os.environ.get("DEFAULT_ARTIFACT_REPOSITORY")))
    (work / "ivy.xml").write_text(ivy_module(jars))
    [ivy] = pyspark_jars().glob("ivy-*.jar")
    command = [
        f"{os.environ['JAVA_HOME']}/bin/java",
        *("-XX:-UsePerfData", f"-Djava.io.tmpdir={home / 'tmp'}", f"-Duser.home={home / 'home'}"),
        *trust,
        *("-cp", str(ivy), "org.apache.ivy.Main"),
        *("-settings", str(work / "ivysettings.xml"), "-ivy", str(work / "ivy.xml"), "-confs", "spark"),
        *("-cache", str(cache), "-types", *PACKAGINGS, "-overwriteMode", "always"),
        *("-retrieve", f"{folder}/[artifact]-[revision].jar"),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        report = "\n".join(done.stdout.splitlines()[-25:])
        raise ConfigurationError(
            f"the jars could not be fetched; Ivy's report ends:\n{report}\n"
            "Is the Maven repository reachable? DEFAULT_ARTIFACT_REPOSITORY names a mirror, SSL_CERT_FILE a "
            "company's certificate bundle."
        )


def fetch(listed: Path, home: Path, folder: Path | None = None) -> list[Path]:
    """Makes `folder` (`<home>/jars`) hold exactly the listed jars; downloads what is missing or altered.

    Returns:
        The jars' paths, in the list's order.

    Raises:
        ConfigurationError: the list is wrong, a jar cannot be fetched, or its SHA-256 is another.
    """
    jars = read_list(listed)
    folder = folder or home / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not jar.intact(folder)]
    if missing:
        run_ivy(missing, home, folder)
    for jar in missing:
        path = folder / jar.file_name
        if not jar.intact(folder):
            digest = sha256(path) if path.is_file() else "no file"
            path.unlink(missing_ok=True)
            raise ConfigurationError(
                f"{jar.file_name}: {listed.name} expects SHA-256 {jar.sha256}, found {digest}. "
                "It was not kept; try again, and if it comes again, use another mirror"
            )
    # The project's own is made here, by `main`, and a running stack has it in use.
    kept = {folder / OWN_JAR, *(folder / jar.file_name for jar in jars)}
    for stranger in set(folder.glob("*.jar")) - kept:
        stranger.unlink()
    return [folder / jar.file_name for jar in jars]


def main(argv: list[str]) -> int:
    """Installs Spark's jars; with an argument, `hadoop` or `kafka`, those of such servers."""
    home = CHECKOUT / ".millstream"
    try:
        for servers in argv:
            fetch(CHECKOUT / "conf" / f"jars-{servers}.txt", home, home / servers)
        if argv:
            return 0
        fetch(CHECKOUT / "conf" / "jars.txt", home)
        build_jar(
            sorted((CHECKOUT / "spark_jobs" / "scala").glob("*.scala")),
            [f"{pyspark_jars()}/*", f"{home}/jars/*"],
            home / "jars" / OWN_JAR,
            home / "tmp",
        )
        native.unpack(pyspark_jars(), CHECKOUT / native.FOLDER)
    except ConfigurationError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
