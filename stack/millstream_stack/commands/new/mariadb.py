"""What the declared types of a table of MariaDB or MySQL mean, where SQLAlchemy's classes do not say it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

JSON_COLUMNS = sa.text(
    "SELECT constraint_name FROM information_schema.check_constraints WHERE level = 'Column' "
    "AND constraint_schema = COALESCE(:schema, DATABASE()) AND table_name = :name "
    "AND check_clause = CONCAT('json_valid(`', constraint_name, '`)')"
)


def kinds(engine: sa.Engine, table: sa.Table) -> dict[str, str]:
    """Types of a contract for the columns of which the declaration says one."""
    known = {column.name: kind for column in table.columns if (kind := _kind(column.type))}
    if engine.dialect.is_mariadb:  # type: ignore[attr-defined]
        # There JSON is a text with a check.
        with engine.connect() as connection:
            found = connection.execute(JSON_COLUMNS, {"schema": table.schema, "name": table.name})
            known |= dict.fromkeys(found.scalars(), "json")
    return known


def flags(table: sa.Table) -> list[str]:
    """Columns that are booleans, unless they have other numbers than 0 and 1."""
    return [column.name for column in table.columns if _may_be_boolean(column.type)]


def _may_be_boolean(kind: sa.types.TypeEngine[object]) -> bool:
    if isinstance(kind, mysql.TINYINT):
        return kind.display_width == 1
    return isinstance(kind, mysql.BIT) and kind.length == 1


def _kind(kind: sa.types.TypeEngine[object]) -> str | None:
    if isinstance(kind, mysql.BIT):
        return "bigint" if (kind.length or 1) > 31 else "int"
    if isinstance(kind, mysql.INTEGER) and kind.unsigned:
        return "bigint"
    if isinstance(kind, mysql.YEAR):
        return "int"
    return "binary" if isinstance(kind, sa.types._Binary) else None
