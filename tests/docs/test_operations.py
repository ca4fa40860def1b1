"""docs/operations.md names every port, and docs/troubleshooting.md every error, as the code has them."""

from __future__ import annotations

import inspect
import re

import pytest

from millstream import errors
from millstream.settings import CHECKOUT, Settings

PORTS = (CHECKOUT / "docs" / "operations.md").read_text()
TEXT = (CHECKOUT / "docs" / "troubleshooting.md").read_text()
# What a person never meets: the roots that only sort the others.
ROOTS = {errors.MillstreamError, errors.PermanentError, errors.TransientError}
ERRORS = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, errors.MillstreamError) and error not in ROOTS
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_is_there_with_its_retry(error: type[errors.MillstreamError]) -> None:
    again = "yes" if issubclass(error, errors.TransientError) else "no"
    assert f"| `{error.__name__}` | {again} |" in TEXT


def test_no_error_is_named_that_does_not_exist() -> None:
    assert set(re.findall(r"^\| `(\w+Error)`", TEXT, re.MULTILINE)) == {error.__name__ for error in ERRORS}


def test_every_port_is_there_with_its_variable() -> None:
    for name, field in Settings.model_fields.items():
        if name.endswith("_port"):
            assert f"| {field.default} | `MILLSTREAM_{name.upper()}` |" in PORTS
