"""What parts of a SELECT say, by the parser's tree: which are a month's column, what a join compares."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

# Parts of a SELECT whose expressions can hold queries and windows.
EXPRESSIONS = (
    *("expressions", "laterals", "where", "group", "having", "qualify", "windows", "order"),
    *("sort", "cluster", "distribute"),
)
# Columns of a FROM that are the month of its rows: name of the table there, name of the column.
Months = frozenset[tuple[str, str]]


def expressions_of(select: exp.Select) -> Iterator[exp.Expr]:
    """The expressions of a SELECT, without its FROM."""
    for name in EXPRESSIONS:
        part = select.args.get(name)
        yield from part if isinstance(part, list) else [part] if part is not None else []


def conjuncts(node: exp.Expr | None) -> Iterator[exp.Expr]:
    """What has to hold each, so that `node` holds."""
    if isinstance(node, exp.And):
        yield from conjuncts(node.this)
        yield from conjuncts(node.expression)
    elif isinstance(node, exp.Paren):
        yield from conjuncts(node.this)
    elif node is not None:
        yield node


def pairs_months(conditions: list[exp.Expr], using: list[exp.Expr], left: Months, right: Months) -> bool:
    """Whether a join pairs only rows of one month."""
    names = {column for _, column in left} & {column for _, column in right}
    if any(one.name.lower() in names for one in using):
        return True
    return any(
        isinstance(one, exp.EQ | exp.NullSafeEQ)
        and (
            (is_month(one.this, left) and is_month(one.expression, right))
            or (is_month(one.this, right) and is_month(one.expression, left))
        )
        for one in conditions
    )


def is_month(node: exp.Expr, months: Months) -> bool:
    """Whether `node` is one of these columns, as it is. Spark refuses a name that two tables have."""
    if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star) or node.db:
        return False
    table, column = node.table.lower(), node.name.lower()
    return any(column == name and table in ("", of) for of, name in months)


def grouped_by(node: exp.Expr, select: exp.Select) -> exp.Expr:
    """What a GROUP BY names by its number or its alias. Where a table has a column of that name too, Spark
    groups by that, and then refuses the one that is selected."""
    items = select.expressions
    if isinstance(node, exp.Literal) and not node.is_string and 0 < int(node.this) <= len(items):
        chosen: exp.Expr = items[int(node.this) - 1].unalias()
        return chosen
    if isinstance(node, exp.Column) and not node.table:
        named = [
            one for one in items if isinstance(one, exp.Alias) and one.alias.lower() == node.name.lower()
        ]
        if named and isinstance(named[0].unalias(), exp.Column):
            return named[0].unalias()
    return node


def aliases(item: exp.Expr) -> list[str]:
    """The names in `AS (a, b)`, of a function that makes several columns."""
    return [one.name for one in item.aliases] if isinstance(item, exp.Aliases) else []


def names_of(query: exp.Expr) -> tuple[str, ...] | None:
    """The columns of a query, in order; None where a star or a function may make several."""
    if isinstance(query, exp.Subquery | exp.SetOperation):
        return names_of(query.this)
    if not isinstance(query, exp.Select):
        return None
    plain = all(
        isinstance(one, exp.Alias | exp.Literal)
        or (isinstance(one, exp.Column) and not isinstance(one.this, exp.Star))
        for one in query.expressions
    )
    return tuple(one.alias_or_name.lower() for one in query.expressions) if plain else None
