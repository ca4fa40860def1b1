"""Each package of the library imports only those above it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from millstream.settings import CHECKOUT

LAYERS = (
    "errors",
    "settings",
    "declared",
    "file_kinds",
    "blame",
    "formats",
    "contracts",
    "lake",
    "transforms",
    "marts",
    "landing",
    "sources",
    "bronze",
    "quality",
    "ml",
    "models",
    "features",
    "publishing",
    "streams",
    "upkeep",
    "jobs",
    "engines",
)
LIBRARY = CHECKOUT / "spark_jobs" / "millstream"


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from millstream import lake` names a package in what it imports.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("millstream."))


def test_every_package_has_its_layer() -> None:
    packages = {
        path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert packages - {"__init__"} == set(LAYERS)


def test_each_layer_imports_only_those_above_it() -> None:
    wrong = [
        f"{path.relative_to(LIBRARY)} imports {layer}"
        for path in sorted(LIBRARY.rglob("*.py"))
        for own in [path.relative_to(LIBRARY).with_suffix("").parts[0]]
        if own != "__init__"
        for layer in _imported(path)
        if layer in LAYERS and LAYERS.index(layer) > LAYERS.index(own)
    ]
    assert wrong == []


def test_one_module_opens_delta_logs_without_spark() -> None:
    """What a run has read of a table it has read once: `History`."""
    folders = (LIBRARY, CHECKOUT / "plugins", CHECKOUT / "stack" / "millstream_stack")
    importing = [path for folder in folders for path in folder.rglob("*.py") if _imports(path, "deltalake")]
    assert importing == [LIBRARY / "lake" / "history.py"]


def _imports(path: Path, package: str) -> bool:
    nodes = ast.walk(ast.parse(path.read_text()))
    names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    nodes = ast.walk(ast.parse(path.read_text()))
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return any(name.partition(".")[0] == package for name in names)


def test_the_architecture_page_shows_this_order() -> None:
    page = (CHECKOUT / "docs" / "architecture.md").read_text()
    packages = page.partition("\n## Packages\n")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", packages, re.MULTILINE)) == LAYERS
    drawn = re.findall(r"\w+", "".join(re.findall(r"^  \w+(?: --> \w+){2,}$", packages, re.MULTILINE)))
    assert tuple(dict.fromkeys(drawn)) == LAYERS[LAYERS.index("formats") :]


PRODUCT = [
    path
    for folder in ("spark_jobs", "plugins", "stack", "demo", "dags")
    for path in sorted((CHECKOUT / folder).rglob("*.py"))
]
LONGEST_FILE, LONGEST_FUNCTION = 350, 60


def test_no_file_and_no_function_is_too_long_to_be_read_at_once() -> None:
    assert len(PRODUCT) > 150
    long_files = [path.name for path in PRODUCT if len(path.read_text().splitlines()) > LONGEST_FILE]
    long_functions = [
        f"{path.name}: {node.name}"
        for path in PRODUCT
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert (long_files, long_functions) == ([], [])
