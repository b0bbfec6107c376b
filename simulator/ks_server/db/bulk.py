"""Statements for many rows at once, compiled a single time.

`connection.execute(statement, rows)` prepares each row's parameters in Python, which for a
heartbeat costs more than storing it. Here the driver gets tuples in the order of its own SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Insert, Update
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

_Prepared = tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]


class Bulk:
    """An INSERT or UPDATE whose parameters are texts and integers, two or more of them.

    `parameters` names those of an INSERT, in place of all columns; an UPDATE has its own.
    """

    def __init__(self, statement: Insert | Update, parameters: Sequence[str] = ()) -> None:
        self._statement = statement
        self._parameters = list(parameters) or None
        self._prepared: dict[str, _Prepared] = {}

    async def execute(self, connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Once for each row; each has every parameter. How many rows of the table this touched,
        where the driver tells (SQLite's does), otherwise -1."""
        dialect = connection.dialect
        prepared = self._prepared.get(dialect.name)
        if prepared is None:
            prepared = self._prepared[dialect.name] = self._prepare(dialect)
        text, values = prepared
        result = await connection.exec_driver_sql(text, [values(row) for row in rows])
        touched: int = result.rowcount
        return touched if dialect.name == "sqlite" else -1

    def _prepare(self, dialect: Dialect) -> _Prepared:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._parameters)
        order = compiled.positiontup
        if order is None:
            raise TypeError(f"the driver of {dialect.name} takes no parameters by position")
        return str(compiled), itemgetter(*order)
