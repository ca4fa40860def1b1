"""Puts the compression libraries of Spark's jars into files, so that a running server has nothing to unpack.

By itself Java unpacks such a library into its temporary folder at first use. When that disk is full just
then, the library counts as missing until the process ends, and with it Parquet's default codec (seen in three
of three runs). A first write at each start would only move that moment. Sessions of spark-submit are Java
processes of their own and unpack by themselves. LZ4 goes on
in Java then and is left alone.
"""

from __future__ import annotations

import os
import platform
import shutil
import zipfile
from dataclasses import dataclass
from fnmatch import filter as matching
from pathlib import Path

# Below the checkout, beside the jars.
FOLDER = ".millstream/native"


@dataclass(frozen=True)
class Library:
    """A native library in one of Spark's jars, and what tells Java where it lies outside.

    Attributes:
        jar: The jar's file name, as a pattern.
        entry: The library's place in the jar, as a pattern.
        file_name: Its name outside.
        options: Java's options, in terms of `{folder}` and `{file_name}`.
    """

    jar: str
    entry: str
    file_name: str
    options: tuple[str, ...]


def libraries(system: str, machine: str) -> list[Library]:
    """Snappy's and Zstandard's library for a kind of machine; none where it is not known which one fits.

    Args:
        system: As `platform.system()` gives it.
        machine: As `platform.machine()` gives it.
    """
    places = {
        ("Linux", "x86_64"): ("Linux/x86_64", "linux/amd64", "so"),
        ("Linux", "aarch64"): ("Linux/aarch64", "linux/aarch64", "so"),
        ("Darwin", "x86_64"): ("Mac/x86_64", "darwin/x86_64", "dylib"),
        ("Darwin", "arm64"): ("Mac/aarch64", "darwin/aarch64", "dylib"),
    }
    if (system, machine) not in places:
        return []
    snappy, zstd, suffix = places[system, machine]
    return [
        Library(
            jar="snappy-java-*.jar",
            entry=f"org/xerial/snappy/native/{snappy}/libsnappyjava.{suffix}",
            file_name=f"libsnappyjava.{suffix}",
            options=("-Dorg.xerial.snappy.lib.path={folder}", "-Dorg.xerial.snappy.lib.name={file_name}"),
        ),
        Library(
            jar="zstd-jni-*.jar",
            entry=f"{zstd}/libzstd-jni-*.{suffix}",
            file_name=f"libzstd-jni.{suffix}",
            options=("-DZstdNativePath={folder}/{file_name}",),
        ),
    ]


def of_this_machine() -> list[Library]:
    if platform.system() == "Linux" and not _has_gnu_libc():
        # Beside another C library, Alpine's for one, these files would not load.
        return []
    return libraries(platform.system(), platform.machine())


def _has_gnu_libc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):
        return False


def unpack(jars: Path, folder: Path) -> list[Path]:
    """Makes `folder` hold this machine's libraries, as they are in the folder `jars`, and nothing else.

    Returns:
        Their paths. A library that is not in the jars is left out: Java then does as it does by itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = []
    for library in of_this_machine():
        for jar in jars.glob(library.jar):
            with zipfile.ZipFile(jar) as archive:
                for entry in matching(archive.namelist(), library.entry):
                    # A running server has the old file mapped: it is replaced, never written over.
                    fresh = folder / f"{library.file_name}.new"
                    with archive.open(entry) as source, fresh.open("wb") as target:
                        shutil.copyfileobj(source, target)
                    unpacked.append(fresh.rename(folder / library.file_name))
    for stale in set(folder.iterdir()) - set(unpacked):
        stale.unlink()
    return unpacked


def java_options(folder: Path) -> list[str]:
    """What makes Java load the libraries in `folder`; nothing for one that is not there."""
    return [
        option.format(folder=folder, file_name=library.file_name)
        for library in of_this_machine()
        if (folder / library.file_name).is_file()
        for option in library.options
    ]
