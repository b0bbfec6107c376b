"""Statements for many rows or values at once, compiled a single time.

`connection.execute(statement, rows)` prepares each row's parameters in Python, which for a
heartbeat costs more than storing it. Here the driver gets tuples in the order of its own SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from operator import itemgetter
from typing import Any

from sqlalchemy import CompoundSelect, Insert, Select, Update
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


class Query:
    """A SELECT whose parameters are named texts and integers."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._prepared: dict[str, tuple[str, list[str], dict[str, Any]]] = {}

    async def fetch(self, connection: AsyncConnection, **values: str | int) -> Sequence[Any]:
        """The rows; `values` has every parameter."""
        dialect = connection.dialect
        prepared = self._prepared.get(dialect.name)
        if prepared is None:
            compiled = self._statement.compile(dialect=dialect)
            order = list(compiled.positiontup or ())
            prepared = self._prepared[dialect.name] = (str(compiled), order, dict(compiled.params))
        text, order, constants = prepared
        given = constants | values
        result = await connection.exec_driver_sql(text, tuple(given[name] for name in order))
        return result.fetchall()


class Among:
    """A SELECT with an expanding parameter `many`, and others that are named."""

    def __init__(
        self, statement: Select[Any] | CompoundSelect[Any], many: str, others: Sequence[str] = ()
    ) -> None:
        self._statement = statement
        self._many = many
        self._others = tuple(others)
        self._prepared: dict[tuple[str, int], tuple[str, Callable[[Any], tuple[Any, ...]]]] = {}

    async def fetch(
        self, connection: AsyncConnection, many: Sequence[str | int], *others: str | int
    ) -> Sequence[Any]:
        """The rows for one or more values; `others` in the order in which they were named."""
        dialect = connection.dialect
        # A statement for each power of two serves any number: the last value comes again.
        size = 1 << (len(many) - 1).bit_length()
        prepared = self._prepared.get((dialect.name, size))
        if prepared is None:
            prepared = self._prepared[dialect.name, size] = self._prepare(dialect, size)
        text, values = prepared
        padding = [many[-1]] * (size - len(many))
        result = await connection.exec_driver_sql(text, values((*many, *padding, *others)))
        return result.fetchall()

    def _prepare(self, dialect: Dialect, size: int) -> tuple[str, Callable[[Any], tuple[Any, ...]]]:
        marks = [f"value {number}" for number in range(size + len(self._others))]
        named = dict(zip(self._others, marks[size:], strict=True))
        compiled = self._statement.compile(dialect=dialect)
        state = compiled.construct_expanded_state({self._many: marks[:size], **named})
        place = {mark: number for number, mark in enumerate(marks)}
        constants = [value for value in state.positional_parameters if value not in place]
        following = count(len(marks))
        order = [
            place[value] if value in place else next(following)
            for value in state.positional_parameters
        ]
        pick = itemgetter(*order) if len(order) > 1 else tuple
        return state.statement, lambda given: pick((*given, *constants))
