"""The registry of planted bugs: deliberate mistakes that are switched on one at a time.

A mistake is put into the device's own code, in place, and taken out again; `phases` are those in
which it does its harm, the quickest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

Change = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mistake:
    """`changes`: (object, attribute, what it is instead). `at_once`: it does harm without a cut."""

    name: str
    phases: tuple[str, ...]
    changes: tuple[Change, ...]
    at_once: bool

    @contextmanager
    def switched_on(self) -> Iterator[None]:
        with ExitStack() as stack:
            for where, name, value in self.changes:
                stack.enter_context(patch.object(where, name, value))
            yield


MISTAKES: dict[str, Mistake] = {}


def mistake(name: str, phases: str, *changes: Change, at_once: bool = False) -> None:
    """Put it into the registry."""
    MISTAKES[name] = Mistake(name, tuple(phases.split()), changes, at_once)


def before(where: Any, name: str, deed: Callable[..., None]) -> Change:
    """As a change: the method as it is, after a deed with its arguments."""
    method = getattr(where, name)

    def changed(*arguments: Any, **named: Any) -> Any:
        deed(*arguments, **named)
        return method(*arguments, **named)

    return where, name, changed
