"""The database engine: SQLite set up for durability, or whatever DATABASE_URL names.

SQLite runs with WAL and synchronous=FULL, so that a committed transaction outlives a power cut.
Python's own transaction handling is switched off and BEGIN emitted here: otherwise sqlite3 would
begin late and break SAVEPOINT.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
)


class TransactionLost(SQLAlchemyError):
    """SQLite has rolled back the whole transaction by itself, as it does when the disk is full."""


def open_engine(url: str) -> AsyncEngine:
    """An engine for the URL. A synchronous driver's name is replaced by the asynchronous one."""
    parsed = make_url(url)
    if parsed.drivername == "sqlite":
        parsed = parsed.set(drivername="sqlite+aiosqlite")
    elif parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+asyncpg")
    # an error's text must not repeat parameters: they may be somebody's secret
    engine = create_async_engine(
        parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite", hide_parameters=True
    )
    if is_sqlite(engine):
        _listen(engine.sync_engine)
    return engine


def is_sqlite(engine: AsyncEngine) -> bool:
    """Whether the database is a file of ours."""
    return engine.url.get_backend_name() == "sqlite"


def open_inline_engine(engine: AsyncEngine) -> Engine:
    """A synchronous engine for the same SQLite database; its connections may change threads."""
    inline_engine = create_engine(
        engine.url.set(drivername="sqlite"),
        connect_args={"check_same_thread": False},
        hide_parameters=True,
    )
    _listen(inline_engine)
    return inline_engine


def probe(engine: AsyncEngine) -> None:
    """Open the SQLite database once. Raises DBAPIError, where aiosqlite would leave a thread."""
    inline_engine = open_inline_engine(engine)
    try:
        inline_engine.connect().close()
    finally:
        inline_engine.dispose()


def _listen(engine: Engine) -> None:
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "savepoint", _check_still_open)
    event.listen(engine, "commit", _check_still_open)


def _set_up_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("reads"):  # each statement stands for itself
        return
    # a reader that turns writer in a deferred transaction fails at once when another one writes
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")


def _check_still_open(connection: Connection, _savepoint: str = "") -> None:
    # a COMMIT of nothing would succeed, and a SAVEPOINT would begin a transaction of its own
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        raise TransactionLost("the database has given up the transaction")
