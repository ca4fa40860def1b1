"""The formats by their names in contracts: a module of `readers`, and how the file is packed."""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache

from millstream.formats import readers
from millstream.formats.archives import PACKINGS, packed
from millstream.formats.format import Format
from millstream.formats.record import Wanted


def plain_formats() -> dict[str, Format]:
    """Each format by its name, not packed."""
    return {name: _plain(name) for name in sorted(_modules())}


def formats() -> dict[str, Format]:
    """Each format by its name, plain and packed: `csv`, `csv.gz`."""
    found = {}
    for name, plain in plain_formats().items():
        found[name] = plain
        if plain.packable:
            found |= {f"{name}.{ending}": packed(unpack, plain) for ending, unpack in PACKINGS.items()}
    return found


def format_named(name: str) -> Format:
    """The format of this name. Raises: ValueError: there is none."""
    plain, _, ending = name.partition(".")
    if plain in _modules() and (not ending or (ending in PACKINGS and _plain(plain).packable)):
        return packed(PACKINGS[ending], _plain(plain)) if ending else _plain(plain)
    raise ValueError(f"no format {name!r}; there are {', '.join(formats())}")


def format_of(contract: Wanted) -> Format:
    """The format of what a contract's source delivers."""
    return format_named(contract.format_name)


def _modules() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(readers.__path__)}


@lru_cache
def _plain(name: str) -> Format:
    module = importlib.import_module(f"{readers.__name__}.{name}")
    format_: Format = module.FORMAT
    return format_
