"""The project's documents, as the tests read them."""

from __future__ import annotations

import re
from pathlib import Path

from millstream.settings import CHECKOUT

DOCUMENTS = sorted(
    [
        *(CHECKOUT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
        *(path for folder in ("docs", "bench") for path in (CHECKOUT / folder).rglob("*.md")),
    ]
)

# A file is shown as its path in bold, an empty line, and a fenced block with its content.
_FILE = re.compile(r"^\*\*`(?P<path>[^`\n]+)`\*\*\n\n```\w*\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def files_shown(document: Path) -> dict[str, str]:
    """The files that a document shows in full: path -> content."""
    return {match["path"]: match["content"] for match in _FILE.finditer(document.read_text("utf-8"))}


def prose(document: Path) -> str:
    """A document's text without its fenced blocks."""
    return _FENCED.sub("", document.read_text("utf-8"))


def shell_blocks(document: Path) -> list[str]:
    """The blocks of shell, in their order."""
    return re.findall(r"^```bash\n(.*?)^```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
