"""Whether the months of a mart can be made one by one. Imported by DAG files, so it imports no Spark.

A month alone has the right rows only if each row of the mart follows from rows of its own month, and from
tables that are not cut by months. That is proved from the SQL, from the tables outward: of every query it is
kept which of its columns are the month of all the rows that a row was made of. What cannot be proved so is
refused, although it may be right: by a wrong declaration the table would have rows of other times, and
nothing would tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from millstream.marts import Mart
from millstream.marts.expressions import (
    Months,
    aliases,
    conjuncts,
    expressions_of,
    grouped_by,
    is_month,
    names_of,
    pairs_months,
)

# Parts of a query that leave each row with its month. Any other part is refused: a new version of the parser
# may know more of them.
SELECT_PARTS = frozenset(
    (
        *("with_", "hint", "distinct", "expressions", "from_", "joins", "laterals", "where", "group"),
        *("having", "qualify", "windows", "order", "sort", "cluster", "distribute"),
    )
)
SET_PARTS = frozenset(("with_", "this", "expression", "distinct", "by_name", "order"))
JOIN_PARTS = frozenset(("this", "on", "using", "side", "kind"))
TABLE_PARTS = frozenset(("this", "db", "alias"))
SUBQUERY_PARTS = frozenset(("this", "alias"))
BOTH_SIDES = frozenset(("INNER", "LEFT", "SEMI", "ANTI"))
REMEDY = "or leave partition out of the head: then the whole table is made each time"


@dataclass(frozen=True)
class Rows:
    """What a query or a table makes, names in lower case.

    cut: whether it reads tables that are cut by months. months: its columns that are the month of all rows
    that one of its rows was made of. columns: all of its columns; None where a star leaves that open.
    """

    cut: bool
    months: frozenset[str] = frozenset()
    columns: tuple[str, ...] | None = None


Known = Mapping[str, Rows]


def require_by_month(mart: Mart, cut_by: Mapping[str, str | None]) -> None:
    """Raise ContractError unless the months of `mart` can be made one by one.

    `cut_by` gives for each table that it reads the column of its months; None where it is not cut.
    """
    column, key = mart.head.partition, mart.head.key
    if column is None:
        return
    if key and column not in key:
        raise mart.refused(mart.parsed, f"its key lacks {column!r}: each month is judged by itself")
    made = _Proof(mart, cut_by).of_query(mart.parsed, {})
    if not made.cut:
        raise mart.refused(
            mart.parsed,
            f"partition: none of the tables that it reads is cut by months, {', '.join(mart.inputs)}: leave "
            "partition out of the head",
        )
    if column not in made.months:
        months = ", ".join(sorted(made.months))
        raise mart.refused(
            mart.parsed,
            f"partition: its column {column!r} is not the month of its rows as the tables have it; what is: "
            f"{months}. Name that column in the head, {REMEDY}",
        )


class _Proof:
    """One walk through the SQL of a mart."""

    def __init__(self, mart: Mart, cut_by: Mapping[str, str | None]) -> None:
        self._mart = mart
        self._tables = {name: column.lower() for name, column in cut_by.items() if column is not None}

    def of_query(self, node: exp.Expr, known: Known) -> Rows:
        if not self._is_cut(node, known):
            return Rows(cut=False, columns=names_of(node))
        known = self._with_ctes(node, known)
        match node:
            case exp.Select():
                return self._of_select(node, known)
            case exp.SetOperation():
                return self._of_set_operation(node, known)
            case exp.Subquery():
                self._require_parts(node, SUBQUERY_PARTS | {"with_", "order"})
                return self.of_query(node.this, known)
        raise self._refused(node, "this part of the SQL")

    def _with_ctes(self, node: exp.Expr, known: Known) -> Known:
        ctes = node.args.get("with_")
        if ctes is None:
            return known
        if ctes.args.get("recursive"):
            raise self._refused(ctes, "WITH RECURSIVE")
        inner = dict(known)
        for cte in ctes.expressions:
            rows = self.of_query(cte.this, inner)
            inner[cte.alias.lower()] = self._renamed(cte, rows)
        return inner

    def _of_select(self, select: exp.Select, known: Known) -> Rows:
        self._require_parts(select, SELECT_PARTS)
        for part in (
            *expressions_of(select),
            *(join.args.get("on") for join in select.args.get("joins") or ()),
        ):
            if part is not None and self._is_cut(part, known):
                raise self._refused(
                    part,
                    "a query inside an expression, or LATERAL, that reads a table which is cut by months",
                    "join the table instead (LEFT SEMI JOIN for EXISTS and IN)",
                )
        months = self._months_of_from(select, known)
        self._require_grouped(select, months)
        self._require_windows(select, months)
        if (distinct := select.args.get("distinct")) and distinct.args.get("on"):
            raise self._refused(distinct, "DISTINCT ON")
        return self._output(select, months)

    def _months_of_from(self, select: exp.Select, known: Known) -> Months:
        origin = select.args.get("from_")
        if origin is None:
            raise self._refused(select, "this part of the SQL")
        name, rows = self._source(origin.this, known)
        months: Months = frozenset((name, column) for column in rows.months)
        cut = rows.cut
        for join in select.args.get("joins") or ():
            name, rows = self._source(join.this, known)
            own = frozenset((name, column) for column in rows.months)
            if cut or rows.cut:
                months = self._joined(select, join, (cut, months), (rows.cut, own))
            cut = cut or rows.cut
        return months

    def _joined(
        self, select: exp.Select, join: exp.Join, left: tuple[bool, Months], right: tuple[bool, Months]
    ) -> Months:
        """Columns that are the month of the joined rows."""
        self._require_parts(join, JOIN_PARTS)
        kind, side = (str(join.args.get(part) or "").upper() for part in ("kind", "side"))
        how = kind if kind in ("SEMI", "ANTI") else side or "INNER"
        if kind not in ("", "INNER", "OUTER", "CROSS", "SEMI", "ANTI"):
            raise self._refused(join, f"{kind} JOIN")
        (left_cut, left_months), (right_cut, right_months) = left, right
        if left_cut and right_cut:
            if how not in BOTH_SIDES:
                raise self._refused(join, f"{how} JOIN of tables that are cut by months")
            conditions = list(conjuncts(join.args.get("on")))
            where = select.args.get("where")
            if how == "INNER" and where is not None:
                conditions += conjuncts(where.this)
            if not pairs_months(conditions, join.args.get("using") or [], left_months, right_months):
                raise self._refused(
                    join,
                    "a join of two tables that are cut by months, not on their months",
                    f"add to its ON that {self._a_month(left_months)} = {self._a_month(right_months)}",
                )
            return left_months | right_months if how == "INNER" else left_months
        allowed = BOTH_SIDES if left_cut else {"INNER", "RIGHT"}
        if how not in allowed:
            raise self._refused(
                join, f"{how} JOIN whose rows may have no month", "have the table that is cut by months first"
            )
        return left_months if left_cut else right_months

    def _source(self, node: exp.Expr, known: Known) -> tuple[str, Rows]:
        """The name of what stands in a FROM, and its rows."""
        if not self._is_cut(node, known):
            return node.alias_or_name.lower(), Rows(cut=False)
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            self._require_parts(node, SUBQUERY_PARTS)
            rows = self.of_query(node.this, known)
        elif isinstance(node, exp.Table):
            self._require_parts(node, TABLE_PARTS)
            name = node.name.lower()
            if node.db:
                rows = Rows(cut=True, months=frozenset({self._tables[f"{node.db}.{node.name}"]}))
            else:
                rows = known[name]
        else:
            raise self._refused(node, "this kind of table, or a join in parentheses, in a FROM")
        return node.alias_or_name.lower(), self._renamed(node, rows)

    def _renamed(self, node: exp.Expr, rows: Rows) -> Rows:
        """The rows with the names that an alias gives to their columns, as in `AS t(a, b)`."""
        alias = node.args.get("alias")
        names = tuple(one.name.lower() for one in alias.columns) if isinstance(alias, exp.TableAlias) else ()
        if not names or not rows.cut:
            return rows
        if rows.columns is None or len(rows.columns) != len(names):
            raise self._refused(
                node, "names of columns behind a table's alias", "name them by AS in a SELECT"
            )
        pairs = list(zip(rows.columns, names, strict=True))
        others = {new for old, new in pairs if old not in rows.months}
        months = {new for old, new in pairs if old in rows.months}
        return Rows(cut=True, months=frozenset(months - others), columns=names)

    def _require_grouped(self, select: exp.Select, months: Months) -> None:
        group = select.args.get("group")
        # GROUP BY ALL groups by what is selected, and that has to have the month. Without a GROUP BY Spark
        # refuses an aggregate beside a column.
        if group is None or (group.args.get("all") and not group.expressions):
            return
        self._require_parts(group, frozenset(("expressions",)))
        chosen = [grouped_by(one, select) for one in group.expressions]
        if any(isinstance(one, exp.Rollup | exp.Cube | exp.GroupingSets) for one in chosen):
            raise self._refused(group, "ROLLUP, CUBE or GROUPING SETS")
        if not any(is_month(one, months) for one in chosen):
            raise self._refused(
                group, "GROUP BY without the month", f"add {self._a_month(months)} to the GROUP BY"
            )

    def _require_windows(self, select: exp.Select, months: Months) -> None:
        named = {
            window.name.lower(): window.args.get("partition_by") or ()
            for window in select.args.get("windows") or ()
        }
        for part in expressions_of(select):
            for window in part.find_all(exp.Window):
                by = window.args.get("partition_by") or named.get(window.alias.lower(), ())
                if not any(is_month(one, months) for one in by):
                    raise self._refused(
                        window,
                        "a window over several months",
                        f"add {self._a_month(months)} to its PARTITION BY",
                    )

    def _output(self, select: exp.Select, months: Months) -> Rows:
        """The columns of the SELECT."""
        own: set[str] = set()
        others: set[str] = set()
        for item in select.expressions:
            star = item if isinstance(item, exp.Star) else item.this
            if isinstance(star, exp.Star):
                self._require_parts(star, frozenset(("except_",)))
                left_out = {one.name.lower() for one in star.args.get("except_") or ()}
                table = item.table.lower() if isinstance(item, exp.Column) else None
                own |= {column for name, column in months if table in (None, name)} - left_out
            elif is_month(item.unalias(), months):
                own.add(item.alias_or_name.lower())
            else:
                others |= {name.lower() for name in (item.alias_or_name, *aliases(item))}
        if not own - others:
            raise self._refused(
                select,
                "a SELECT whose rows do not have their month, as it is in the table, in a column",
                f"select {self._a_month(months)} too",
            )
        return Rows(cut=True, months=frozenset(own - others), columns=names_of(select))

    def _of_set_operation(self, node: exp.SetOperation, known: Known) -> Rows:
        self._require_parts(node, SET_PARTS)
        sides = [self.of_query(side, known) for side in (node.this, node.expression)]
        if node.args.get("by_name"):
            months = frozenset.intersection(*(side.months for side in sides if side.cut))
            return Rows(cut=True, months=self._some(node, months))
        left, right = (side.columns for side in sides)
        if left is None or right is None or len(left) != len(right):
            raise self._refused(node, "UNION, INTERSECT or EXCEPT of stars", "name the columns")
        # A side that reads no month is the same for each.
        fits = [
            all(not side.cut or name in side.months for side, name in zip(sides, pair, strict=True))
            for pair in zip(left, right, strict=True)
        ]
        others = {name for name, fit in zip(left, fits, strict=True) if not fit}
        months = frozenset(name for name, fit in zip(left, fits, strict=True) if fit) - others
        return Rows(cut=True, months=self._some(node, months), columns=left)

    def _some(self, node: exp.Expr, months: frozenset[str]) -> frozenset[str]:
        if not months:
            raise self._refused(node, "its queries have the month in different columns")
        return months

    def _is_cut(self, node: exp.Expr, known: Known) -> bool:
        """Whether a table that is cut by months is read in `node`."""
        return any(
            f"{table.db}.{table.name}" in self._tables
            or (not table.db and table.name.lower() in known and known[table.name.lower()].cut)
            for table in node.find_all(exp.Table)
        )

    def _require_parts(self, node: exp.Expr, allowed: frozenset[str]) -> None:
        for name, part in node.args.items():
            if part and name not in allowed:
                said = name.strip("_").replace("_", " ").upper()
                raise self._refused(part if isinstance(part, exp.Expr) else node, f"{said} of several months")

    def _a_month(self, months: Months) -> str:
        return ".".join(min(months)) if months else "the month"

    def _refused(self, node: exp.Expr, what: str, remedy: str = "") -> Exception:
        advice = f"{remedy}, {REMEDY}" if remedy else REMEDY.removeprefix("or ")
        return self._mart.refused(
            node, f"partition: it cannot be proved that a month follows from itself alone: {what}; {advice}"
        )
