"""Spark's compression libraries as files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from millstream.settings import CHECKOUT
from millstream_stack.install import native
from millstream_stack.install.jars import pyspark_jars


@pytest.mark.parametrize("system", ["Linux", "Darwin"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_each_known_machine_finds_one_file_for_each_library_in_sparks_jars(system: str, machine: str) -> None:
    machine = "arm64" if (system, machine) == ("Darwin", "aarch64") else machine

    wanted = native.libraries(system, machine)

    assert len(wanted) == 2
    for library in wanted:
        [jar] = pyspark_jars().glob(library.jar)
        assert len(native.matching(zipfile.ZipFile(jar).namelist(), library.entry)) == 1


def test_an_unknown_machine_has_none() -> None:
    assert native.libraries("Linux", "s390x") == []


@pytest.mark.parametrize("answer", [None, OSError()])
def test_beside_another_c_library_there_are_none(
    monkeypatch: pytest.MonkeyPatch, answer: OSError | None
) -> None:
    def confstr(name: str) -> str | None:
        if answer is not None:
            raise answer
        return None

    monkeypatch.setattr(native.platform, "system", lambda: "Linux")
    monkeypatch.setattr(native.platform, "machine", lambda: "x86_64")
    assert len(native.of_this_machine()) == 2
    monkeypatch.setattr(native.os, "confstr", confstr)
    assert native.of_this_machine() == []


def test_what_is_unpacked_is_named_to_java(tmp_path: Path) -> None:
    before = native.java_options(tmp_path)
    (tmp_path / "libof-an-earlier-version.so").write_bytes(b"stale")
    unpacked = native.unpack(pyspark_jars(), tmp_path)

    assert before == []
    assert [path.stat().st_size > 10_000 for path in unpacked] == [True, True]
    assert native.java_options(tmp_path) == [
        f"-Dorg.xerial.snappy.lib.path={tmp_path}",
        f"-Dorg.xerial.snappy.lib.name={unpacked[0].name}",
        f"-DZstdNativePath={unpacked[1]}",
    ]
    assert sorted(tmp_path.iterdir()) == sorted(unpacked)


def test_a_file_in_use_is_replaced_not_written_over(tmp_path: Path) -> None:
    [snappy, _] = native.unpack(pyspark_jars(), tmp_path)
    with snappy.open("rb") as in_use:
        snappy.write_bytes(b"damaged")
        native.unpack(pyspark_jars(), tmp_path)

        assert in_use.read() == b"damaged"
    assert snappy.stat().st_size > 10_000


def test_the_installation_has_unpacked_them() -> None:
    assert len(native.java_options(CHECKOUT / native.FOLDER)) == 3
