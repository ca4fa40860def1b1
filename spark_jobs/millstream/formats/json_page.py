"""A JSON document: its records and, of an answer of a paginated API, the total that it states."""

from __future__ import annotations

from typing import Any


def records_under(page: Any, key: str | None) -> list[Any] | None:
    """The list that `page` has under `key`, a name or a path of names (`data.items`), or that it is itself.

    Null is a list without records. None when there is no such list.
    """
    if key is None:
        return page if isinstance(page, list) else None
    parent, name = _parent(page, key)
    if not isinstance(parent, dict) or name not in parent:
        return None
    records = parent[name]
    if records is None:
        return []
    return records if isinstance(records, list) else None


def stated_total(page: Any, key: str, read: int) -> int | None:
    """The `total` beside the records, or at the top; None where it cannot be one.

    That is what is no whole number, and what is less than the `read` records: -1 for "not known", or the
    count of the page.
    """
    parent, _ = _parent(page, key)
    for place in (parent, page):
        total = place.get("total") if isinstance(place, dict) else None
        if isinstance(total, int) and not isinstance(total, bool) and total >= read:
            return total
    return None


def value_under(page: Any, key: str, absent: Any = None) -> Any:
    """What `page` has under `key`, a name or a path of names; `absent` where there is no such name."""
    parent, name = _parent(page, key)
    return parent.get(name, absent) if isinstance(parent, dict) else absent


def _parent(page: Any, key: str) -> tuple[Any, str]:
    """What holds the records, and under which name. A name with a dot in it wins over a path."""
    if isinstance(page, dict) and key in page:
        return page, key
    *path, name = key.split(".")
    for step in path:
        page = page.get(step) if isinstance(page, dict) else None
    return page, name
