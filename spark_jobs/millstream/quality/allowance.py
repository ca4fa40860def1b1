"""How many rows may break a rule, as a number and in words."""

from __future__ import annotations


def within(broken: int, of: int, mostly: float) -> bool:
    """Whether the good share reaches `mostly`; true without rows to consider, as in Great Expectations."""
    return of == 0 or (of - broken) / of >= mostly


def lowered(mostly: float, of: int, tolerated: int) -> float:
    """The required share of good rows when `tolerated` rows may always break the rule."""
    return min(mostly, max(0, of - tolerated) / of) if of else mostly


def allowed_rows(of: int, mostly: float) -> int:
    """The number of rows, among `of`, that may break a rule with the required good share `mostly`."""
    allowed = min(of, int(of * (1 - mostly)))
    # The product is rounded; what decides is the quotient.
    while allowed < of and within(allowed + 1, of, mostly):
        allowed += 1
    while allowed and not within(allowed, of, mostly):
        allowed -= 1
    return allowed


def percent(share: float) -> str:
    """A share as a percentage; only none is 0%, and only all are 100%."""
    if 0 < share < 0.0001:
        return "under 0.01%"
    if 0.9999 < share < 1:
        return "over 99.99%"
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + "%"
