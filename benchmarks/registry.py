"""The topics. A new one is a module with `measure()`, and its line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from . import (
    chips,
    crypto,
    device,
    factory_line,
    fleet,
    heap,
    heartbeat,
    messages,
    punch_drain,
    punch_flash,
    punch_server,
    server,
    updates,
    wear,
    wire,
)
from .figure import Figure

Topic = Callable[[], Iterator[Figure]]

TOPICS: Final[dict[str, Topic]] = {
    "wire": wire.measure,
    "device": device.measure,
    "heap": heap.measure,
    "crypto/memory": crypto.measure_memory,
    "crypto/instructions": crypto.measure_instructions,
    "crypto/time": crypto.measure_time,
    "crypto/heartbeat": heartbeat.measure,
    "crypto/chip": chips.measure,
    "message": messages.measure,
    "punch/flash": punch_flash.measure,
    "punch/drain": punch_drain.measure,
    "punch/server": punch_server.measure,
    "wear": wear.measure,
    "update": updates.measure,
    "server": server.measure,
    "fleet": fleet.measure,
    "factory/unit": factory_line.measure_unit,
    "factory/ports": factory_line.measure_ports,
}
