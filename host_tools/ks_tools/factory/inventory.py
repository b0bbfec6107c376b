"""The inventory of a batch as CSV: what a person may hand on, without passwords and tokens."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from .store import Store, Unit

COLUMNS: Final = (
    "serial", "device_id", "public_key", "mac", "chip", "board", "image_sha256", "state", "step",
    "reason", "generation", "station", "operator", "retries", "begun", "done",
)  # fmt: skip


def write_inventory(store: Store, file: TextIO) -> int:
    """All units, a line each; how many."""
    retries = retries_of(store.attempts())
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    units = store.units()
    for unit in units:
        writer.writerow([_safe(text) for text in _row(unit, retries[(unit.mac, unit.chip)])])
    return len(units)


def retries_of(attempts: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """By MAC and chip: attempts at a step after the first of its generation, and lower bauds."""
    counts: Counter[tuple[str, str]] = Counter()
    tried: set[tuple[Any, ...]] = set()
    for attempt in attempts:
        unit = (attempt["mac"], attempt["chip"])
        step = (*unit, attempt["generation"], attempt["step"])
        counts[unit] += (step in tried) + int(attempt["detail"].get("retries", 0))
        tried.add(step)
    return counts


def time_text(ms: int | None) -> str:
    """UTC, to the second."""
    if ms is None:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _row(unit: Unit, retries: int) -> list[str]:
    values = (
        unit.serial, unit.d1, unit.public_key, unit.mac, unit.chip, unit.board, unit.image_sha256,
        unit.state, unit.step, unit.reason, unit.generation, unit.station, unit.operator, retries,
        time_text(unit.created_ms), time_text(unit.done_ms),
    )  # fmt: skip
    return ["" if value is None else str(value) for value in values]


def _safe(text: str) -> str:
    """A spreadsheet would run what begins like a formula; a reason may hold a chip's words."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
