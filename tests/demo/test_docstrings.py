"""Docstrings are read from source text, whatever is in it, and nothing is imported."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath

import psutil
import pytest

from millstream_demo import docstrings
from millstream_demo.docstrings import _module_name, docstrings_of, public_modules, publish_docstrings

SOURCE = '''
"""About the module."""

raise RuntimeError("this file must not be run")


class Reader:
    """Reads."""

    def __init__(self):
        """Hidden: its name starts with an underscore."""

    def read(self):
        """Read
            it.
        """

        def inner():
            """Hidden: inside a function."""

    async def close(self): "Close."

    class Options:
        """What to read."""

        def merge(self):
            """Merge."""

    def bare(self):
        pass


class _Hidden:
    """Hidden."""

    def visible(self):
        """Hidden with its class."""


if sys.platform == "win32":

    def wait():
        """Wait on Windows."""
else:

    def wait():
        """Wait elsewhere."""


try:
    import fast
except ImportError:

    def slow():
        """Slow."""
'''


@pytest.fixture
def module(tmp_path) -> Path:
    path = tmp_path / "reader.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def test_public_docstrings_of_a_module_in_order(module):
    found = docstrings_of("lib.reader", module)
    assert [(row["kind"], row["qualified_name"], row["docstring"]) for row in found] == [
        ("module", "lib.reader", "About the module."),
        ("class", "lib.reader.Reader", "Reads."),
        ("method", "lib.reader.Reader.read", "Read\nit."),
        ("method", "lib.reader.Reader.close", "Close."),
        ("class", "lib.reader.Reader.Options", "What to read."),
        ("method", "lib.reader.Reader.Options.merge", "Merge."),
        ("function", "lib.reader.wait", "Wait on Windows."),
        ("function", "lib.reader.wait", "Wait elsewhere."),
        ("function", "lib.reader.slow", "Slow."),
    ]
    assert {(row["library"], row["module"]) for row in found} == {("lib", "lib.reader")}
    assert set(found[0]) == {"qualified_name", "library", "module", "kind", "docstring"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('# -*- coding: latin-1 -*-\n"""Größe."""\n'.encode("latin-1"), ["Größe."]),
        ('\ufeff"""Mark."""\n'.encode(), ["Mark."]),
        (b'"""Half a pair: \\ud83d."""\n', ["Half a pair: \ufffd."]),
        ('"""Größe."""\n'.encode("latin-1"), []),
        (b"def broken(:\n", []),
        (b'"""Zero\x00byte."""\n', []),
        (b"x = 1\n", []),
        (b'"""  """\n', []),
        (b'"""A \\d that is no escape."""\n', [r"A \d that is no escape."]),
    ],
)
def test_sources_as_they_come(tmp_path, recwarn, content, expected):
    path = tmp_path / "odd.py"
    path.write_bytes(content)
    assert [row["docstring"] for row in docstrings_of("odd", path)] == expected
    assert len(recwarn) == 0


def test_file_that_is_gone(tmp_path):
    assert docstrings_of("gone", tmp_path / "gone.py") == []


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("pyspark/sql/dataframe.py", "pyspark.sql.dataframe"),
        ("pyspark/sql/__init__.py", "pyspark.sql"),
        ("six.py", "six"),
        ("pyspark/_globals.py", None),
        ("_pytest/python.py", None),
        ("numpy/_core/multiarray.py", None),
        ("pandas/tests/test_x.py", None),
        ("lib/test/support.py", None),
        ("../../../bin/tool.py", None),
        ("jobs/0001-first.py", None),
        ("pyspark/jars/spark.jar", None),
        ("__init__.py", None),
    ],
)
def test_which_files_are_public_modules(file, expected):
    assert _module_name(PurePosixPath(file)) == expected


def test_published_file_is_the_same_each_time_and_in_order(tmp_path, module, monkeypatch):
    other = tmp_path / "other.py"
    other.write_text('"""Other — text."""\n', encoding="utf-8")
    monkeypatch.setattr(
        docstrings, "public_modules", lambda: [("a.other", str(other)), ("b.reader", str(module))]
    )

    assert publish_docstrings(tmp_path / "1") == 10
    assert publish_docstrings(tmp_path / "2") == 10
    first, second = (tmp_path / run / "drop/docstrings/docstrings.jsonl.gz" for run in ("1", "2"))
    assert first.read_bytes() == second.read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(first.read_bytes()).splitlines()]
    assert rows[0] == {
        "qualified_name": "a.other",
        "library": "a",
        "module": "a.other",
        "kind": "module",
        "docstring": "Other — text.",
    }
    assert [row["library"] for row in rows] == ["a"] + ["b"] * 9


PUBLISHER = """
import sys
from pathlib import Path
from millstream_demo import docstrings
docstrings.public_modules = lambda: [("slow", sys.argv[1])]
docstrings.publish_docstrings(Path(sys.argv[2]))
"""


def test_workers_end_with_their_parent(tmp_path):
    # A pipe in place of a source file: opening it here returns once a worker reads it, and holds the worker.
    pipe = tmp_path / "slow.py"
    os.mkfifo(pipe)
    publisher = subprocess.Popen([sys.executable, "-c", PUBLISHER, str(pipe), str(tmp_path)])
    with pipe.open("wb"):
        workers = psutil.Process(publisher.pid).children(recursive=True)
        publisher.kill()
        publisher.wait(timeout=30)
        _, alive = psutil.wait_procs(workers, timeout=30)
    assert workers
    assert alive == []


def test_installed_libraries_are_found():
    modules = dict(public_modules())
    assert {"pyspark", "delta", "airflow", "mlflow"} <= {name.partition(".")[0] for name in modules}
    assert not any(part.startswith("_") for name in modules for part in name.split("."))
    rows = {row["qualified_name"]: row for row in docstrings_of("tenacity", Path(modules["tenacity"]))}
    assert rows["tenacity.Future"] == {
        "qualified_name": "tenacity.Future",
        "library": "tenacity",
        "module": "tenacity",
        "kind": "class",
        "docstring": "Encapsulates a (future or past) attempted call to a target function.",
    }
