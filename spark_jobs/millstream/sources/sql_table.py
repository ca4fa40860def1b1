"""A table at a SQL source: connected to, reflected, and held against the contract before a row is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    MetaData,
    String,
    Table,
    and_,
    case,
    cast,
    func,
    inspect,
    select,
    text,
    true,
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
from millstream.sources import mariadb, sql_query
from millstream.sources.arrow_types import change_of_type, landed_columns
from millstream.sources.key_order import KeyOrder
from millstream.sources.ordering import Order, prepare_sqlite

# Of PostgreSQL, MariaDB and MySQL, SQL Server, Oracle: a driver has no code for what fails before it is
# connected. Another try would only come nearer to a login that is locked.
REFUSED_LOGIN = re.compile(
    r"password authentication failed|no password supplied|role .* does not exist|no pg_hba\.conf entry"
    r"|Access denied for user|this account is locked|is not allowed to connect|Unknown database"
    r"|Authentication plugin|Login failed for user|ORA-01017",
    re.IGNORECASE,
)
# SQLite has one class of errors for a query that is wrong and for a file that is locked.
REFUSED_BY_SQLITE = re.compile(r"no such (table|column|function)|syntax error")


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
        """The table, or query, and its database, in words; without login, password or options."""
        url = self._engine.url
        host = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
        return f"{self.source.reads} of {url.get_backend_name()}://{host}/{url.database or ''}"

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
                if connection.dialect.name in mariadb.DIALECTS:
                    mariadb.prepare(connection)
                table = self._reflected(connection)
                yield OpenTable(self.where, connection, table, self.source, self._event(table))

    def _reflected(self, connection: Connection) -> Table:
        table = self._of_query(connection) if self.source.query else self._of_table(connection)
        names = table.columns.keys()
        if same := alike(names):
            raise SchemaDriftError(
                f"{self.where}: columns named twice: {same}. Nothing was landed. What to do: ask the "
                "database's owner, or read a view that has one of them"
            )
        needed = (*self.source.key, self.source.watermark, *self.source.columns)
        if missing := [name for name in needed if name and name not in names]:
            raise SchemaDriftError(
                f"{self.where}: column removed at the source: {', '.join(missing)}; found "
                f"{', '.join(names)}. Nothing was landed. What to do: ask the database's owner, or correct "
                "source.key, columns and watermark in the contract"
            )
        read = read_columns(table, self.source)
        if connection.dialect.name in mariadb.DIALECTS and not self.source.query:
            mariadb.adapt(table, self._expected(read))
        changes = [*drift.of_columns(self._contract, read), *self._of_types(connection, table)]
        drift.require_allowed(self.where, changes, "Nothing was landed", read)
        return table

    def _of_table(self, connection: Connection) -> Table:
        schema, _, name = (self.source.table or "").rpartition(".")
        try:
            return Table(name, MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False)
        except NoSuchTableError as error:
            raise SchemaDriftError(
                f"{self.where}: there is no such table that this login can see. Nothing was landed. What to "
                "do: ask the database's owner, or correct source.table in the contract"
            ) from error

    def _of_query(self, connection: Connection) -> Any:
        query = self.source.query or ""
        names = sql_query.names_of(connection, query)
        if same := alike(names):
            raise ConfigurationError(
                f"{self.where} selects columns named twice: {same}. What to do: name them apart, by AS"
            )
        return sql_query.selected(query, names, self._expected(names))

    def _event(self, table: Table) -> str | None:
        """The column by whose periods a partitioned dataset is read, as it is called at the source."""
        if self._contract.partition is None:
            return None
        names = table.columns.keys()
        pairs = zip(self._contract.columns, self._contract.layout(names).delivered, strict=True)
        return next(name for column, name in pairs if column.name == self._contract.event_time)

    def _expected(self, read: list[str]) -> dict[str, str]:
        """The contract's type of each column, by its name at the source."""
        pairs = zip(self._contract.columns, self._contract.layout(read).delivered, strict=True)
        return {name: column.type for column, name in pairs if name is not None}

    def _of_types(self, connection: Connection, table: Table) -> list[drift.Change]:
        """Columns whose type is another one. Where that does not stop the run, each value is asked later."""
        changes = []
        schema = landed_columns(table, connection.dialect.name).schema
        delivered = self._contract.layout(read_columns(table, self.source)).delivered
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
            if REFUSED_LOGIN.search(reason(error)):
                raise ConfigurationError(
                    f"{self.where}: the database refused the login: {reason(error)}. Correct connection "
                    f"{self.source.connection}"
                ) from error
            if isinstance(error, DBAPIError) and self._is_refusal(error):
                raise self._refused(error) from error
            raise self._unavailable(error) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise self._unavailable(error) from error
            raise self._refused(error) from error

    def _is_refusal(self, error: DBAPIError) -> bool:
        name = self._engine.dialect.name
        if name == "sqlite":
            return REFUSED_BY_SQLITE.search(reason(error)) is not None
        return name in mariadb.DIALECTS and mariadb.is_refusal(error)

    def _refused(self, error: SQLAlchemyError) -> SourceDataError:
        return SourceDataError(
            f"{self.where}: the database refused the query: {reason(error)}. What to do: ask the "
            "database's owner, or correct the contract; then clear the task"
        )

    def _unavailable(self, error: SQLAlchemyError) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"{self.where}: the database does not answer: {reason(error)}. Check the database and "
            f"connection {self.source.connection}; another try will follow"
        )


def read_columns(table: Table, source: SqlSource) -> list[str]:
    """The columns that a run reads, in the table's order."""
    wanted = {*source.columns, *source.own_columns} if source.columns else set(table.columns.keys())
    return [column.name for column in table.columns if column.name in wanted]


class OpenTable:
    """A reflected table and the connection it was reflected through."""

    def __init__(
        self, where: str, connection: Connection, table: Table, source: SqlSource, event: str | None = None
    ) -> None:
        dialect = connection.dialect.name
        self.where = where
        self.table = table
        self.landed = landed_columns(table, dialect).only(read_columns(table, source))
        self._connection = connection
        columns = [table.columns[name] for name in source.key]
        # MariaDB would take 'a' for 'A' where nothing keeps the two from being rows.
        by_bytes = dialect in mariadb.DIALECTS and not self._is_declared_unique(columns)
        self.key = KeyOrder(columns, dialect, by_bytes)
        # Colons are the database's, not names of values to be filled in.
        given = source.filter.replace(":", r"\:") if source.filter else None
        self.wanted: ColumnElement[bool] = text(f"({given})") if given else true()  # type: ignore[assignment]
        self.watermark: Order | None = None
        if source.watermark is not None:
            self.watermark = Order(table.columns[source.watermark], dialect, of_times=True)
        self.event = None if event is None else Order(table.columns[event], dialect, of_times=True)

    def rows(self, query: Executable) -> Sequence[Any]:
        """All rows of `query`. Raises SourceDataError when a value is not what its column's type says."""
        try:
            return self._connection.execute(query).all()
        except (ValueError, TypeError, ArithmeticError) as error:
            raise SourceDataError(
                f"{self.where}: a value is not what its column's type says: {error}. Nothing was landed. "
                "What to do: correct the row there, then clear the task"
            ) from error

    def stream(self, query: Executable, at_once: int) -> Iterator[Sequence[Any]]:
        """The rows of `query`, so many at a time, which are all that memory holds of them."""
        yield from self._connection.execution_options(yield_per=at_once).execute(query).partitions()

    def value(self, query: Executable) -> Any:
        """The one value of `query`, or None."""
        rows = self.rows(query)
        return rows[0][0] if rows else None

    def check_order(self) -> None:
        """Raises SourceDataError when key or watermark have values that cannot be compared with the others:
        reading in their order would lose rows."""
        for order in filter(None, (*self.key.orders, self.watermark, self.event)):
            if (condition := order.is_no_moment) is not None:
                self._refuse_values(order, condition, "is no time in ISO 8601, such as 2024-05-01T10:00:00")
        for order in self.key.orders:
            if order.may_have_no_place:
                self._refuse_values(order, order.has_no_place, "comes at no place")

    def check_event(self, event: Order) -> None:
        """Raises SourceDataError when a row lies in no period: no run would read it."""
        lost = select(func.count()).select_from(self.table).where(self.wanted, event.has_no_place)
        if rows := self.value(lost):
            raise SourceDataError(
                f"{self.where}: {rows} rows have no time in {event.column.name}, by which they are read. "
                "Nothing was landed. What to do: correct the rows there, or leave them out by source.filter"
            )

    def _refuse_values(self, order: Order, condition: ColumnElement[bool], why: str) -> None:
        first = self.key.columns[0]
        key, value = (type_coerce(cast(column, String), String) for column in (first, order.column))
        found = select(key, value).where(self.wanted, order.column.is_not(None), condition)
        if unreadable := self.rows(found.limit(1)):
            raise SourceDataError(
                f"{self.where}: column {order.column.name} holds {unreadable[0][1]!r}, at {first.name} "
                f"{unreadable[0][0]!r}, which {why}: its rows cannot be read in order. Nothing was landed. "
                "What to do: correct the row there, or name another column in the contract, then clear "
                "the task"
            )

    def check_key(self) -> None:
        """Raises SourceDataError when a key is NULL or comes twice: reading in key order would lose rows."""
        if self.key.is_as_stored and self._is_declared_unique(self.key.columns):
            return
        keys = self.key.expressions
        whole = and_(*(key.is_not(None) for key in keys))
        each = select(*(key.label(f"key_{number}") for number, key in enumerate(keys)))
        each = each.select_from(self.table).where(self.wanted, whole)
        counted = select(func.count(), func.sum(case((whole, 1), else_=0)))
        ((rows, filled),) = self.rows(counted.select_from(self.table).where(self.wanted))
        distinct = self.value(select(func.count()).select_from(each.distinct().subquery()))
        if rows != distinct:
            filled = int(filled or 0)
            raise SourceDataError(
                f"{self.where}: {', '.join(self.key.names)} is not a key: {rows - filled} rows have none, "
                f"{filled - distinct} repeat another's. Nothing was landed. What to do: name a unique "
                "column, or several, as source.key in the contract"
            )

    def _is_declared_unique(self, key: Sequence[Column[Any]]) -> bool:
        # Of a query nothing is known.
        if any(getattr(column, "nullable", True) for column in key):
            return False  # SQLite lets even a primary key be NULL, unless it is declared otherwise
        own = {column.name for column in key}
        if {column.name for column in self.table.primary_key.columns} == own:
            return True
        inspector = inspect(self._connection)
        declared = inspector.get_unique_constraints(self.table.name, schema=self.table.schema)
        return any(set(constraint["column_names"]) == own for constraint in declared)


def reason(error: SQLAlchemyError) -> str:
    """The driver's own words: SQLAlchemy's would add the statement and its values."""
    original = getattr(error, "orig", None) or error
    # Of MariaDB's driver number and text.
    words = original.args[1] if len(original.args) == 2 else original
    return " ".join(str(words).split())
