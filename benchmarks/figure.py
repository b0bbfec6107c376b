"""One measured figure, and how it is written down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


class Unavailable(Exception):
    """A topic cannot be measured here; the text says what is missing."""


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`; with a `peer`, `ratio` is value / peer's value of the same run.

    `goal` is None where no document states one. `ok` is False only for a missed goal.
    """

    name: str
    value: float
    unit: str
    peer: str | None = None
    ratio: float | None = None
    goal: float | None = None
    ok: bool = True

    @classmethod
    def compared(cls, name: str, value: float, unit: str, peer: str, ratio: float) -> Figure:
        """A speed beside a peer's, without a goal."""
        return cls(name, round(value, 1), unit, peer, round(ratio, 4))

    @classmethod
    def limited(cls, name: str, value: float, unit: str, at_most: float | None = None) -> Figure:
        """A size, with the budget that it must keep, if there is one."""
        return cls(name, value, unit, goal=at_most, ok=at_most is None or value <= at_most)


def write(path: Path, figures: Sequence[Figure]) -> None:
    """The figures as a JSON list."""
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
