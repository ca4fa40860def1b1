"""Every public docstring of the installed Python distributions, read with `ast`, nothing imported.

A docstring is public when no part of its qualified name starts with an underscore; folders of tests are left
out. The same name can come twice (overloads, conditional definitions, two distributions with one namespace):
that is how the libraries are written, and it is published as it is. Source files in other encodings than
UTF-8 are decoded as their own header says (PEP 263); a file Python itself cannot parse is left out.
"""

from __future__ import annotations

import ast
import gzip
import io
import json
import os
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import Distribution, distributions
from multiprocessing import get_context, parent_process
from pathlib import Path, PurePosixPath
from threading import Thread

from millstream_demo.publishing import whole_file

WORKERS = 2
TEST_FOLDERS = frozenset({"tests", "test"})
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def publish_docstrings(data: Path) -> int:
    """Write `drop/docstrings/docstrings.jsonl.gz` below `data`; returns the number of docstrings.

    A line has qualified_name, library (the top-level package), module, kind (module, class, function or
    method) and docstring (cleaned of indentation). Order: by module file, then by position in it.
    """
    count = 0
    with (
        whole_file(data / "drop" / "docstrings" / "docstrings.jsonl.gz") as path,
        path.open("wb") as raw,
        # Neither name nor time in the gzip header: the same libraries give the same bytes.
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed,
        io.TextIOWrapper(packed, encoding="ascii", newline="\n") as out,
        ProcessPoolExecutor(WORKERS, get_context("spawn"), _end_with_parent) as pool,
    ):
        for lines in pool.map(_lines_of_file, public_modules(), chunksize=100):
            out.writelines(lines)
            count += len(lines)
    return count


def installed_state() -> str:
    """One line that changes when a distribution is added, removed or updated."""
    return ",".join(
        sorted({f"{distribution.name}=={distribution.version}" for distribution in distributions()})
    )


def public_modules() -> list[tuple[str, str]]:
    """(module, path of its source) of every public module of the installed distributions, sorted."""
    return sorted({module for distribution in distributions() for module in _modules_of(distribution)})


def _end_with_parent() -> None:
    """End this worker when its parent dies: otherwise it would wait for work for ever."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def _modules_of(distribution: Distribution) -> Iterator[tuple[str, str]]:
    for file in distribution.files or ():
        module = _module_name(PurePosixPath(file))
        if module is not None:
            yield module, str(distribution.locate_file(file))


def _module_name(file: PurePosixPath) -> str | None:
    if file.suffix != ".py":
        return None
    parts = list(file.with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    if not parts or TEST_FOLDERS.intersection(parts):
        return None
    public = all(part.isidentifier() and not part.startswith("_") for part in parts)
    return ".".join(parts) if public else None


def _lines_of_file(module_and_path: tuple[str, str]) -> list[str]:
    module, path = module_and_path
    return [json.dumps(record, separators=(",", ":")) + "\n" for record in docstrings_of(module, Path(path))]


def docstrings_of(module: str, path: Path) -> list[dict[str, str]]:
    """The public docstrings of one source file; none when Python cannot parse it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other people's code: invalid escapes and the like
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    documented = [("module", module, tree), *_definitions(tree, module, "function")]
    return [
        {
            "qualified_name": name,
            "library": module.partition(".")[0],
            "module": module,
            "kind": kind,
            "docstring": LONE_SURROGATE.sub("\ufffd", docstring),
        }
        for kind, name, node in documented
        if (docstring := ast.get_docstring(node))
    ]


def _definitions(
    scope: ast.AST, prefix: str, function_kind: str
) -> Iterator[tuple[str, str, ast.Module | Definition]]:
    """Public classes and functions of a module or class, also those inside its if, try and with blocks."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, Definition):
            if node.name.startswith("_"):
                continue
            name = f"{prefix}.{node.name}"
            if isinstance(node, ast.ClassDef):
                yield "class", name, node
                yield from _definitions(node, name, "method")
            else:
                yield function_kind, name, node
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _definitions(node, prefix, function_kind)
