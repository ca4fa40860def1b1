"""Scala of this checkout is compiled at installation, by the compiler that pyspark brings."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from millstream.engines.conf import spark_conf
from millstream.errors import ConfigurationError
from millstream.lake.log_store import LOG_STORE
from millstream.settings import CHECKOUT
from millstream_stack.install.jars import OWN_JAR, pyspark_jars
from millstream_stack.install.scala import build_jar


def build(folder: Path, text: str) -> Path:
    source = folder / "Thing.scala"
    source.write_text(text)
    return build_jar([source], [f"{pyspark_jars()}/*"], folder / "thing.jar", folder)


def test_what_does_not_compile_is_named_and_leaves_the_jar_as_it_was(tmp_path: Path) -> None:
    jar = build(tmp_path, "package thing\nclass Thing")
    before = jar.read_bytes()
    assert "thing/Thing.class" in zipfile.ZipFile(jar).namelist()

    with pytest.raises(ConfigurationError, match=r"Thing\.scala could not be compiled(.|\n)*type mismatch"):
        build(tmp_path, 'package thing\nclass Thing { val number: Int = "one" }')
    assert jar.read_bytes() == before


def test_the_classes_that_are_configured_are_installed() -> None:
    own = {value for value in spark_conf("embedded").values() if value.startswith("millstream.")}
    installed = zipfile.ZipFile(CHECKOUT / ".millstream" / "jars" / OWN_JAR).namelist()
    assert len(own) == 3
    assert LOG_STORE in own
    assert {f"{name.replace('.', '/')}.class" for name in own} <= set(installed)
