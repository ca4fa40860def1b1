"""Spark's settings, from `conf/spark`: the one place that has them."""

from __future__ import annotations

from millstream.settings import CHECKOUT


def spark_conf(*profiles: str) -> dict[str, str]:
    """The settings of `conf/spark/common.conf`, and of the named profiles over them."""
    settings: dict[str, str] = {}
    for profile in ("common", *profiles):
        for line in (CHECKOUT / "conf" / "spark" / f"{profile}.conf").read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                name, value = line.split(maxsplit=1)
                settings[name] = value.strip()
    return settings
