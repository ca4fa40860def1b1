"""Spark's settings, from `conf/spark`: the one place that has them."""

from __future__ import annotations

import getpass
import os
from importlib.util import find_spec
from pathlib import Path

from millstream.errors import ConfigurationError
from millstream.settings import CHECKOUT


def spark_conf(*profiles: str, jars: Path | None = None) -> dict[str, str]:
    """The settings of `conf/spark/common.conf`, and of the named profiles over them.

    `${pyspark}` in a value is the folder of the installed pyspark, `${jars}` that of the pinned jars.
    """
    folders = {
        "${pyspark}": str(pyspark_folder()),
        "${jars}": str(jars or CHECKOUT / ".millstream" / "jars"),
    }
    settings: dict[str, str] = {}
    for profile in ("common", *profiles):
        for line in (CHECKOUT / "conf" / "spark" / f"{profile}.conf").read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                name, value = line.split(maxsplit=1)
                for variable, folder in folders.items():
                    value = value.replace(variable, folder)
                settings[name] = value.strip()
    return settings


def hadoop_user() -> str:
    """Who this process is to Hadoop, where Kerberos does not say so."""
    return os.environ.get("HADOOP_USER_NAME") or getpass.getuser()


def pyspark_folder() -> Path:
    """Where pyspark is installed, found without importing it. Raises ConfigurationError when it is not."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise ConfigurationError("pyspark is not installed: run stack/bootstrap.sh")
    return Path(spec.origin).parent
