"""What a terminal tells of its life: `EVENT name KEY=value ...` lines, and events in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

PREFIX = "EVENT "


@dataclass(frozen=True)
class Event:
    """One thing that happened at a terminal."""

    name: str
    detail: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.detail.items())])


def parse_event(line: str) -> Event | None:
    """The event in a line that `ks_driver.host.HostBoard` printed; None for any other line."""
    if not line.startswith(PREFIX):
        return None
    name, *words = line[len(PREFIX) :].split(" ")
    detail = {}
    for word in words:
        key, _, value = word.partition("=")
        detail[unquote(key)] = unquote(value)
    return Event(unquote(name), detail)
