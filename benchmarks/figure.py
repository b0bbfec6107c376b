"""One measured figure, and how it is written down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


class Unavailable(Exception):
    """A topic cannot be measured here; the text says what is missing."""


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`; with a `peer`, `ratio` is value / peer's value of the same run.

    Where `value` is a cost, `ratio` is peer's value / value: more is better in either case.
    `goal` is the most that `value`, and `goal_ratio` the least that `ratio` should be; None where
    no document states one. `ok` is False only for a missed goal.
    """

    name: str
    value: float
    unit: str
    peer: str | None = None
    ratio: float | None = None
    goal: float | None = None
    ok: bool = True
    goal_ratio: float | None = None

    @classmethod
    def compared(cls, name: str, value: float, unit: str, peer: str, ratio: float) -> Figure:
        """A speed beside a peer's, without a goal."""
        return cls(name, round(value, 1), unit, peer, round(ratio, 4))

    @classmethod
    def cheaper(
        cls, name: str, value: float, unit: str, peer: str, ratio: float, at_least: float | None
    ) -> Figure:
        """A cost that goes `ratio` times into the peer's, with the ratio that it must reach."""
        ok = at_least is None or ratio >= at_least
        return cls(name, round(value, 1), unit, peer, round(ratio, 2), ok=ok, goal_ratio=at_least)

    @classmethod
    def limited(cls, name: str, value: float, unit: str, at_most: float | None = None) -> Figure:
        """A size, with the budget that it must keep, if there is one."""
        return cls(name, value, unit, goal=at_most, ok=at_most is None or value <= at_most)


def write(path: Path, topics: Mapping[str, Sequence[Figure]]) -> None:
    """The figures of each topic as JSON."""
    found = {name: [asdict(figure) for figure in figures] for name, figures in topics.items()}
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, list[Figure]]:
    """What `write` has written; nothing where it never has."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return {name: [Figure(**fields) for fields in figures] for name, figures in found.items()}
