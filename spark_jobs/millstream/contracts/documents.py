"""Reads contracts and suites: UTF-8, and no key twice, because one of its values would be lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from millstream.errors import ContractError
from millstream.file_kinds import HEAD_BYTES, recognised

_YAML_TAGS = "tag:yaml.org,2002:"
_MERGE = f"{_YAML_TAGS}merge"
_SHOWN_CHARACTERS = 80


def read_yaml(path: Path) -> Any:
    """The YAML document in a file.

    Raises: OSError; ContractError naming file and line: not UTF-8, not YAML, a key twice, a value that is
    none of its type.
    """
    return parse_yaml(path.name, read_text(path))


def read_json(path: Path) -> Any:
    """The JSON value in a file.

    Raises: OSError; ContractError naming file and line: not UTF-8, not JSON, a key twice.
    """
    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _TwiceError as error:
        raise ContractError(f"{path.name}: {_with_line(text) or error}") from None
    except RecursionError:
        raise ContractError(f"{path.name}: is nested too deep") from None
    except ValueError as error:
        raise ContractError(f"{path.name}: is not JSON: {error}") from error


def read_text(path: Path) -> str:
    """The text of a file in UTF-8. Raises OSError; ContractError naming file and line."""
    content = path.read_bytes()
    if other := recognised(content[:HEAD_BYTES]):
        raise ContractError(f"{path.name}: is {other}: save it as text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        byte = f"byte 0x{content[error.start]:02x}"
        raise ContractError(
            f"{path.name}: line {line}: {byte} is not UTF-8: save the file as UTF-8"
        ) from None


class _TwiceError(ValueError):
    """A key occurs twice; the message says which."""


class _ValueError(ValueError):
    """A value cannot be read; the message says in which line."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = Counter(key for key, _ in pairs)
    if doubled := [key for key, times in keys.items() if times > 1]:
        raise _TwiceError(f"key {doubled[0]!r} occurs twice in one object")
    return dict(pairs)


def _with_line(text: str) -> str | None:
    """Which key of a JSON text occurs twice, and in which line: read as YAML, which has lines."""
    try:
        yaml.load(text.replace("\t", " "), Loader=_Loader)
    except _TwiceError as error:
        return str(error)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return None


def parse_yaml(name: str, text: str) -> Any:
    """The YAML document in `text`, which the file `name` has. Raises ContractError as `read_yaml`."""
    try:
        return _loaded(text)
    except (_TwiceError, _ValueError) as error:
        raise ContractError(f"{name}: {error}") from error
    except yaml.YAMLError as error:
        raise ContractError(f"{name}: is not YAML: {error}") from error
    except RecursionError:
        raise ContractError(f"{name}: is nested too deep") from None


def _loaded(text: str) -> Any:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    except (_TwiceError, _ValueError):
        raise
    except (ValueError, OverflowError) as error:
        # Of an escape that is no character.
        raise _ValueError(f"line {loader.line + 1}: cannot be read: {error}") from error
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """The safe loader, but for two things: it takes the last of two values with the same key, and lets
    through what Python raises for a value that is none of its type: 2013-02-30, or `!!bool maybe`."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (_TwiceError, _ValueError):
            raise
        except (ValueError, LookupError, ArithmeticError, AttributeError) as error:
            value = repr(node.value[:_SHOWN_CHARACTERS]) if isinstance(node.value, str) else "this"
            reason = f": {error}" if isinstance(error, ValueError) else ""
            raise _ValueError(
                f"line {node.start_mark.line + 1}: {value} is no {node.tag.removeprefix(_YAML_TAGS)}{reason}"
            ) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            line, named = key.start_mark.line + 1, (key.tag, key.value)
            if named in lines:
                raise _TwiceError(
                    f"line {line}: key {key.value!r} occurs twice, in line {lines[named]} first"
                )
            lines[named] = line
        return super().construct_mapping(node, deep)
