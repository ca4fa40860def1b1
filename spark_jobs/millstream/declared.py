"""What exists by being a module of a package: jobs, transforms, models, feature tables, engines."""

from __future__ import annotations

import importlib
import pkgutil
import re
from types import ModuleType

# A name comes from DAG params and XComs too: it must not reach another package.
NAME = re.compile(r"[a-z][a-z0-9_]*")


def module_of(package: str, name: str) -> ModuleType | None:
    """The module `name` of `package`; None when there is none.

    Raises: what the module itself raises, also where a module that it imports is missing.
    """
    path = f"{package}.{name}"
    if not NAME.fullmatch(name):
        return None
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        return None


def names_in(package: str) -> list[str]:
    """The names of all modules of `package`."""
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__))
