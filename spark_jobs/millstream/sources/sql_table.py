"""A table at a SQL source: connected to, reflected, and held against the contract before a row is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    MetaData,
    String,
    Table,
    cast,
    func,
    inspect,
    select,
    text,
    type_coerce,
)
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    NoSuchTableError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,
)

from millstream.contracts import drift
from millstream.contracts.contract import Contract
from millstream.contracts.sources.sql import Source as SqlSource
from millstream.errors import ConfigurationError, SchemaDriftError, SourceDataError, SourceUnavailableError
from millstream.formats.record import alike
from millstream.sources.arrow_types import change_of_type, landed_columns
from millstream.sources.ordering import Order, prepare_sqlite


class SourceTable:
    """The table that a contract names, in the database behind `engine`.

    Its methods raise SourceUnavailableError while the database does not answer, SchemaDriftError when the
    table or a column of the contract is gone, and SourceDataError when the database refuses a query.
    """

    def __init__(self, contract: Contract, engine: Engine) -> None:
        if not isinstance(contract.source, SqlSource):
            raise ConfigurationError(f"{contract.dataset}: its source is {contract.source.kind}, not sql")
        self.source = contract.source
        self._contract = contract
        self._engine = engine

    @property
    def where(self) -> str:
        """The table and its database, in words; without login, password or options."""
        url = self._engine.url
        host = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
        return f"table {self.source.table} of {url.get_backend_name()}://{host}/{url.database or ''}"

    @contextmanager
    def opened(self) -> Iterator[OpenTable]:
        """The table as it is now; where the database can do that, all reads of the block see one state."""
        with self._failures():
            self._check_database_file()
            with self._engine.connect() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                    # A time at the end of year 9999 would not fit into Python further east.
                    connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))
                if connection.dialect.name == "sqlite":
                    prepare_sqlite(connection)
                yield OpenTable(self.where, connection, self._reflected(connection), self.source)

    def _reflected(self, connection: Connection) -> Table:
        schema, _, name = self.source.table.rpartition(".")
        try:
            table = Table(
                name, MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False
            )
        except NoSuchTableError as error:
            raise SchemaDriftError(
                f"{self.where}: there is no such table that this login can see. Nothing was landed. What to "
                "do: ask the database's owner, or correct source.table in the contract"
            ) from error
        names = table.columns.keys()
        if same := alike(names):
            raise SchemaDriftError(
                f"{self.where}: columns named twice: {same}. Nothing was landed. What to do: ask the "
                "database's owner, or read a view that has one of them"
            )
        needed = (self.source.key, self.source.watermark)
        if missing := [name for name in needed if name and name not in names]:
            raise SchemaDriftError(
                f"{self.where}: column removed at the source: {', '.join(missing)}; found "
                f"{', '.join(names)}. Nothing was landed. What to do: ask the database's owner, or correct "
                "source.key and source.watermark in the contract"
            )
        changes = [*drift.of_columns(self._contract, names), *self._of_types(connection, table)]
        drift.require_allowed(self.where, changes, "Nothing was landed", names)
        return table

    def _of_types(self, connection: Connection, table: Table) -> list[drift.Change]:
        """Columns whose type is another one. Where that does not stop the run, each value is asked later."""
        changes = []
        schema = landed_columns(table, connection.dialect.name).schema
        delivered = self._contract.layout(table.columns.keys()).delivered
        for column, name in zip(self._contract.columns, delivered, strict=True):
            if name is None or (kind := change_of_type(column.type, schema.field(name))) is None:
                continue
            detail = f"{table.columns[name].type!r}, the contract says {column.type}"
            policy = self._contract.drift.policy(kind)
            changes.append(drift.Change(kind=kind, column=column.name, policy=policy, detail=detail))
        return changes

    def _check_database_file(self) -> None:
        """SQLite would answer a missing database with a new, empty one."""
        database = self._engine.url.database
        if self._engine.dialect.name != "sqlite" or not database or database.startswith(("file:", ":")):
            return
        if not Path(database).is_file():
            raise SourceUnavailableError(
                f"{self.where}: there is no such database file. Check that it is mounted, and the path in "
                f"connection {self.source.connection}"
            )

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, TimeoutError) as error:
            raise self._unavailable(error) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise self._unavailable(error) from error
            raise SourceDataError(
                f"{self.where}: the database refused the query: {_reason(error)}. What to do: ask the "
                "database's owner, or correct the contract; then clear the task"
            ) from error

    def _unavailable(self, error: SQLAlchemyError) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"{self.where}: the database does not answer: {_reason(error)}. Check the database and "
            f"connection {self.source.connection}; another try will follow"
        )


class OpenTable:
    """A reflected table and the connection it was reflected through."""

    def __init__(self, where: str, connection: Connection, table: Table, source: SqlSource) -> None:
        dialect = connection.dialect.name
        self.where = where
        self.table = table
        self.landed = landed_columns(table, dialect)
        self.key = table.columns[source.key]
        self.key_order = Order(self.key, dialect)
        self.watermark: Order | None = None
        if source.watermark is not None:
            self.watermark = Order(table.columns[source.watermark], dialect, of_times=True)
        self._connection = connection

    def rows(self, query: Executable) -> Sequence[Any]:
        """All rows of `query`. Raises SourceDataError when a value is not what its column's type says."""
        try:
            return self._connection.execute(query).all()
        except (ValueError, TypeError, ArithmeticError) as error:
            raise SourceDataError(
                f"{self.where}: a value is not what its column's type says: {error}. Nothing was landed. "
                "What to do: correct the row there, then clear the task"
            ) from error

    def value(self, query: Executable) -> Any:
        """The one value of `query`, or None."""
        rows = self.rows(query)
        return rows[0][0] if rows else None

    def check_order(self) -> None:
        """Raises SourceDataError when key or watermark have values that cannot be compared with the others:
        reading in their order would lose rows."""
        for order in filter(None, (self.key_order, self.watermark)):
            if (condition := order.is_no_moment) is not None:
                self._refuse_values(order, condition, "is no time in ISO 8601, such as 2024-05-01T10:00:00")
        if self.key_order.may_have_no_place:
            self._refuse_values(self.key_order, self.key_order.has_no_place, "comes at no place")

    def _refuse_values(self, order: Order, condition: ColumnElement[bool], why: str) -> None:
        key, value = (type_coerce(cast(column, String), String) for column in (self.key, order.column))
        if unreadable := self.rows(select(key, value).where(order.column.is_not(None), condition).limit(1)):
            raise SourceDataError(
                f"{self.where}: column {order.column.name} holds {unreadable[0][1]!r}, at {self.key.name} "
                f"{unreadable[0][0]!r}, which {why}: its rows cannot be read in order. Nothing was landed. "
                "What to do: correct the row there, or name another column in the contract, then clear "
                "the task"
            )

    def check_key(self) -> None:
        """Raises SourceDataError when a key is NULL or comes twice: reading in key order would lose rows."""
        if self._is_declared_unique():
            return
        key = self.key_order.expression
        counts = select(func.count(), func.count(key), func.count(key.distinct()))
        ((rows, filled, distinct),) = self.rows(counts.select_from(self.table))
        if rows != distinct:
            raise SourceDataError(
                f"{self.where}: {self.key.name} is not a key: {rows - filled} rows have none, "
                f"{filled - distinct} repeat another's. Nothing was landed. What to do: name a "
                "unique column as source.key in the contract"
            )

    def _is_declared_unique(self) -> bool:
        if self.key.nullable:
            return False  # SQLite lets even a primary key be NULL, unless it is declared otherwise
        if self.key_order.expression is not self.key:
            return False  # two spellings of a moment are two texts
        if [column.name for column in self.table.primary_key.columns] == [self.key.name]:
            return True
        inspector = inspect(self._connection)
        declared = inspector.get_unique_constraints(self.table.name, schema=self.table.schema)
        return any(constraint["column_names"] == [self.key.name] for constraint in declared)


def _reason(error: SQLAlchemyError) -> str:
    """The driver's own words: SQLAlchemy's would add the statement and its values."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
