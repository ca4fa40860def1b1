"""Compiles the few Scala classes of this checkout with the compiler that pyspark brings: no JDK is needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from millstream.errors import ConfigurationError

COMPILER = "scala.tools.nsc.Main"


def compile_scala(sources: list[Path], classpath: list[str], target: Path, temporary: Path) -> None:
    """Compiles `sources` into `target`, a folder or a jar; a warning is an error.

    Args:
        classpath: jars and folders with the compiler and what the sources use; `folder/*` is all its jars.
        temporary: a folder for Java's temporary files.

    Raises:
        ConfigurationError: it does not compile; carries the compiler's report.
    """
    command = [
        f"{os.environ['JAVA_HOME']}/bin/java",
        *("-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", f"-Djava.io.tmpdir={temporary}"),
        *("-cp", os.pathsep.join(classpath), COMPILER),
        *("-usejavacp", "-Werror", "-Xlint", "-deprecation", "-d", str(target)),
        *map(str, sources),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        names = ", ".join(source.name for source in sources)
        raise ConfigurationError(f"{names} could not be compiled; the compiler's report:\n{done.stdout}")


def build_jar(sources: list[Path], classpath: list[str], jar: Path, temporary: Path) -> Path:
    """Compiles `sources` into `jar`, which it replaces: a running server has the old one open."""
    fresh = temporary / f"new-{jar.name}"
    compile_scala(sources, classpath, fresh, temporary)
    return fresh.replace(jar)
