"""Planted bugs in what starts with less than a terminal has, and without a server; see mistakes."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ks_agent import slots, update_record

from .mistakes import mistake

volumes: Any = import_module("ks_board.volumes")


def _by_both_blocks(device: Any, attach: Callable[[], None], make: Callable[[], None]) -> None:
    for number in (0, 1):
        block = bytearray(4096)
        device.readblocks(number, block)
        if not volumes.has_superblock(block):
            make()
    attach()


mistake(
    "a partition is formatted of which one superblock is damaged",
    "format",
    (volumes, "settle", _by_both_blocks),
)
mistake(
    "half a superblock is taken for a whole one",
    "format",
    (volumes, "has_superblock", lambda block: block[8:16] == b"littlefs"),
)


def _clear_only(self: Any, slot: str) -> None:
    self._remove_tree(f"slot_{slot}")
    self._fs.mkdir(f"slot_{slot}")


mistake(
    "what recovery fetches can be started before it is staged",
    "recovery",
    (slots.Slots, "clear", _clear_only),
)
mistake(
    "a release that no server answered is given up at once",
    "trial-away",
    (update_record.UpdateRecord, "postponing", lambda self: None),
    at_once=True,
)


def _always_once(self: Any) -> tuple[list[Any], int]:
    return [], 0


mistake(
    "how often a release was postponed is forgotten",
    "trial-away-again",
    (update_record.UpdateRecord, "_others", _always_once),
    at_once=True,
)
