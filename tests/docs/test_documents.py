"""What the documents point to exists: files, headings, make targets, tests."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from millstream.settings import CHECKOUT
from tests.support.documents import DOCUMENTS, prose

LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
MAKE = re.compile(r"\bmake ([a-z0-9]+(?:-[a-z0-9]+)*)\b(?=[`\s]|$)")
TARGET = re.compile(r"^([a-z0-9-]+):", re.MULTILINE)
TEST = re.compile(r"`(?P<file>tests/[\w/]+\.py)::(?P<name>test_\w+)`")
INLINE = re.compile(r"`([^`\n]+)`")
# An excerpt in the README: the file's path in bold at the start of a line, then a fenced block.
EXCERPT = re.compile(
    r"^\*\*`(?P<path>[^`\n]+)`\*\*[^\n]*\n\n```\w*\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL
)
# Top-level folders of the checkout: a path that starts with one of them must be there.
TRACKED = ("dags/", "plugins/", "spark_jobs/", "expectations/", "stack/", "demo/", "conf/", "tests/", "docs/")

ids = [str(document.relative_to(CHECKOUT)) for document in DOCUMENTS]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=ids)


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    texts = (match["text"] for match in HEADING.finditer(prose(document)))
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for match in LINK.finditer(prose(document)):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), match["target"]
        if anchor:
            assert anchor in anchors(path), match["target"]


@each_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(TARGET.findall((CHECKOUT / "Makefile").read_text()))
    for code in INLINE.findall(document.read_text()):
        for name in MAKE.findall(code):
            assert name in targets, code


@each_document
def test_paths_exist(document: Path) -> None:
    for code in INLINE.findall(prose(document)):
        path = code.partition("::")[0].rstrip("/")
        if code.startswith(TRACKED) and not re.search(r"[<*{ ]", path) and "runways" not in path:
            assert (CHECKOUT / path).exists(), code


@each_document
def test_tests_exist(document: Path) -> None:
    for match in TEST.finditer(document.read_text()):
        source = (CHECKOUT / match["file"]).read_text()
        assert f"def {match['name']}(" in source, match[0]


def test_every_decision_follows_the_template_and_is_listed() -> None:
    folder = CHECKOUT / "docs" / "adr"
    index = (folder / "README.md").read_text()
    notes = sorted(folder.glob("[0-9]*.md"))
    assert notes
    assert [int(note.name[:4]) for note in notes] == list(range(1, len(notes) + 1))
    for note in notes:
        text = note.read_text()
        assert len(text.splitlines()) <= 40, note.name
        sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert sections == ["Context", "Decision", "Consequences"], note.name
        title, _, state = text.split("\n")[:3]
        match = re.fullmatch(r"Date: \d{4}-\d{2}-\d{2} · Status: (accepted|superseded)", state)
        assert match, note.name
        number = note.name[:4]
        assert title.startswith(f"# {number}. "), note.name
        row = f"| [{number}]({note.name}) | {title.partition('. ')[2]} | {match[1]} |"
        assert row in index, note.name


def test_the_excerpts_in_the_readme_are_what_the_files_say() -> None:
    excerpts = EXCERPT.findall((CHECKOUT / "README.md").read_text())
    assert {Path(path).suffix for path, _ in excerpts} == {".yaml", ".py", ".json"}
    for path, excerpt in excerpts:
        content = (CHECKOUT / path).read_text()
        match Path(path).suffix:
            case ".yaml":
                assert contains(yaml.safe_load(content), yaml.safe_load(excerpt)), path
            case ".json":
                assert json.loads(excerpt) in json.loads(content)["expectations"], path
            case _:
                statements = {ast.dump(statement) for statement in ast.parse(content).body}
                assert statements >= {ast.dump(statement) for statement in ast.parse(excerpt).body}, path


def contains(whole: Any, part: Any) -> bool:
    """Whether the mapping `whole` has all that `part` has, at every depth."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    return bool(whole == part)


def test_every_picture_is_shown() -> None:
    shown = {Path(target).name for page in DOCUMENTS for target in LINK.findall(page.read_text())}
    assert {picture.name for picture in (CHECKOUT / "docs" / "images").iterdir()} <= shown
