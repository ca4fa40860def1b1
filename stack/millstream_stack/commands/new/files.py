"""The files that `make new` writes: none of them may be there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console

from millstream.errors import ConfigurationError
from millstream.lake.tables import NAME


def require_name(name: str) -> str:
    """`name`. Raises ConfigurationError when no table can be called so."""
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no name: write lower case letters, digits and _, for example orders"
        )
    return name


def names_in(text: str) -> list[str]:
    """The names in a text with commas between them."""
    return [one.strip() for one in text.split(",") if one.strip()]


def require_absent(files: Iterable[Path]) -> None:
    """Raises ConfigurationError when one of the files is there already."""
    if present := [str(path) for path in files if path.exists()]:
        raise ConfigurationError(f"{', '.join(present)} is there already: nothing was written")


def write(files: Mapping[Path, str], root: Path, screen: Console) -> None:
    """Write `files`, below `root`, and say so."""
    require_absent(files)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        screen.print(f"wrote {path.relative_to(root)}", markup=False, soft_wrap=True)
