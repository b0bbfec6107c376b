"""Where database work runs: on a connection of the engine's pool, or in the event loop itself.

aiosqlite hands each single call to its thread and back, which takes longer than the call. Devices'
requests make only small statements; for SQLite those run right in the event loop, and a thread
does what waits: BEGIN for other writers, COMMIT for the disk. Work that may take long (the admin
API's, the cleaning) stays with aiosqlite.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .engine import TransactionLost

Result = TypeVar("Result")
Work = Callable[[AsyncConnection], Awaitable[Result]]


class Runner(Protocol):
    """Runs one piece of work at a time on a connection with certain execution options."""

    async def run(self, work: Work[Result]) -> Result:
        """The work's result; a transaction that it leaves open is rolled back."""


class PoolRunner:
    """On a connection from the engine's pool."""

    def __init__(self, engine: AsyncEngine, **options: Any) -> None:
        self._engine = engine
        self._options = options

    async def run(self, work: Work[Result]) -> Result:
        async with self._engine.connect() as plain:
            return await work(await plain.execution_options(**self._options))


class InlineRunner:
    """On one synchronous connection, used by the event loop. Made by `InlineRunner.open`."""

    def __init__(self, connection: Connection, executor: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._inline = cast(AsyncConnection, _Inline(connection, executor))

    @classmethod
    @asynccontextmanager
    async def open(cls, engine: Engine, **options: Any) -> AsyncIterator[InlineRunner]:
        """A runner whose connection is closed at the end of the block."""
        with (
            ThreadPoolExecutor(1, thread_name_prefix="database") as executor,
            engine.connect() as connection,
        ):
            yield cls(connection.execution_options(**options), executor)

    async def run(self, work: Work[Result]) -> Result:
        try:
            return await work(self._inline)
        finally:
            if self._connection.in_transaction():
                self._connection.rollback()


class _Inline:
    """As much of AsyncConnection as the work of devices' requests uses.

    What needs no compiling goes to the driver itself.
    """

    def __init__(self, connection: Connection, executor: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._executor = executor
        self._driver: Any = connection.connection.driver_connection

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        return self._connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str, parameters: Any) -> Any:
        """With a tuple of parameters, or for each tuple of a list; gives the driver's cursor."""
        with self._translated(statement):
            if isinstance(parameters, list):
                return self._driver.executemany(statement, parameters)
            return self._driver.execute(statement, parameters)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        transaction = await loop.run_in_executor(self._executor, self._connection.begin)
        try:
            yield
            await loop.run_in_executor(self._executor, transaction.commit)
        except BaseException:
            transaction.rollback()
            # a COMMIT that failed leaves it open, and this connection is used again
            self._driver.rollback()
            raise

    @asynccontextmanager
    async def begin_nested(self) -> AsyncIterator[None]:
        if not self._driver.in_transaction:
            raise TransactionLost("the database has given up the transaction")
        self._do("SAVEPOINT work")
        try:
            yield
        except BaseException:
            self._do("ROLLBACK TO work")
            self._do("RELEASE work")
            raise
        self._do("RELEASE work")

    def _do(self, statement: str) -> None:
        with self._translated(statement):
            self._driver.execute(statement)

    @contextmanager
    def _translated(self, statement: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # the parameters stay out: they may be somebody's secret
            raise DBAPIError.instance(
                statement, None, error, sqlite3.Error, dialect=self.dialect
            ) from error
