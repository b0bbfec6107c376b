"""Where things stand in a TOML file: tomllib tells what is in it, and not where."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

Place = tuple[str | int, ...]

_TABLES: Final = re.compile(r"\s*\[\[\s*([\w.-]+)\s*\]\]")
_TABLE: Final = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_KEY: Final = re.compile(r"\s*([\w-]+(?:\s*\.\s*[\w-]+)*)\s*=")


class Lines:
    """The line of each table and key: ("partitions", "vfs"), ("feature", 0, "pins")."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Place, int] = {(): 1}
        self._counts: Counter[str] = Counter()
        above: Place = ()
        for number, line in enumerate(text.splitlines(), 1):
            if found := _TABLES.match(line):
                name = found[1]
                above = (name, self._counts[name])
                self._counts[name] += 1
                self._lines.setdefault((name,), number)
            elif found := _TABLE.match(line):
                above = self._below_the_last(found[1].split("."))
            elif found := _KEY.match(line):
                parts = [part.strip() for part in found[1].split(".")]
                self._lines.setdefault((*above, *parts), number)
                continue
            else:
                continue
            self._lines.setdefault(above, number)

    def _below_the_last(self, parts: list[str]) -> Place:
        """[feature.pins] belongs to the last [[feature]]."""
        if parts[0] in self._counts:
            return (parts[0], self._counts[parts[0]] - 1, *parts[1:])
        return tuple(parts)

    def of(self, place: Place) -> int:
        """The line of what is named, or of what it is part of."""
        while place not in self._lines:
            place = place[:-1]
        return self._lines[place]
