"""What a terminal does to its flash: a day of heartbeats, an update, and the years that it lasts.

The real agent on the real LittleFS on a simulated NOR flash that counts, in virtual time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from ks_agent.agent import Agent
from ks_agent.ports import Ports

from .application import Release, build, installed_files
from .compiled import compiled
from .keys import CRYPTO, RoleKeys
from .loader import stage_0
from .model_server import URL, ModelServer
from .nor import NorFlash
from .provision import provision
from .terminal import Board, Partition, Rng
from .volumes import Volumes

CYCLES: Final = 100_000
DAY_MS: Final = 86_400_000
DAYS_A_YEAR: Final = 365
EFFECTS_MAX: Final = 1_000_000
ARCHITECTURE: Final = "xtensawin"
_START_MS: Final = 1_795_000_000_000
_ANSWER_MS: Final = 40


@dataclass(frozen=True)
class FlashUse:
    """What was done to one volume. `worst` is the most erases of any of its blocks."""

    volume: str
    programs: int
    bytes_programmed: int
    erases: int
    worst: int
    blocks_erased: int
    blocks: int
    erases_by_block: tuple[int, ...]
    programs_by_block: tuple[int, ...]

    def times_to_wear_out(self) -> float:
        """How often this can be done until a block reaches its rated cycles; inf: for ever."""
        return CYCLES / self.worst if self.worst else float("inf")


class VirtualClock:
    """The `clock` port: ms since this boot, in virtual time."""

    def __init__(self, build_ms: int, now_ms: Callable[[], int]) -> None:
        self.build_ms = build_ms
        self._now_ms = now_ms
        self._start_ms = now_ms()

    def ticks_ms(self) -> int:
        return self._now_ms() - self._start_ms


class MemoryVault:
    """The `vault` port."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        return self.values.get(name)

    def set(self, name: str, value: bytes) -> None:
        self.values[name] = bytes(value)

    def erase(self, name: str) -> None:
        self.values.pop(name, None)


class WornTerminal:
    """A terminal on flashes that count, and its server, in one thread and virtual time."""

    def __init__(self, release: Release, vfs_bytes: int, data_bytes: int, seed: int = 1) -> None:
        self.now_ms = _START_MS
        self.keys = RoleKeys.make()
        self.server = ModelServer(self.keys, lambda: self.now_ms)
        self.fs = Volumes.made(vfs_bytes, data_bytes)
        self.agent: Any = None
        self.shown: dict[str, int] = {}
        self._vault = MemoryVault()
        self._random = Random(seed)
        signed = release.signed(self.keys.release)
        provision(self.fs, "terminal-1", URL, self.keys.trusted(), signed)
        self._life: Any = None
        self._answer: Any = None
        self._failure: Exception | None = None
        self._boot()

    def run(self, until: Callable[[], bool]) -> None:
        """Live until the condition holds. Raises AssertionError when it does not come to that."""
        for _ in range(EFFECTS_MAX):
            if until():
                return
            self._step()
        raise AssertionError(f"it never happened: {self.shown}")

    def measure(self, until: Callable[[], bool]) -> list[FlashUse]:
        """What living until then does to each volume."""
        before = {name: _counts(flash) for name, flash in self.fs.flashes.items()}
        self.run(until)
        return [_used(name, flash, before[name]) for name, flash in self.fs.flashes.items()]

    def _boot(self) -> None:
        slot = stage_0().choose(self.fs, hashlib.sha256)
        self.agent = Agent(
            Ports(
                VirtualClock(_START_MS - DAY_MS, lambda: self.now_ms),
                Rng(self._random.randbytes),
                self.fs,
                self._vault,
                Partition(slot),
                CRYPTO,
                Board(self._show),
            )
        )
        self._life = self.agent.run()
        self._answer = self._failure = None

    def _show(self, event: str, detail: Mapping[str, str]) -> None:
        self.shown[event] = self.shown.get(event, 0) + 1

    def _step(self) -> None:
        if self._failure is None:
            effect = self._life.send(self._answer)
        else:
            effect = self._life.throw(self._failure)
        self._answer = self._failure = None
        if effect.kind == "sleep":
            self.now_ms += effect.ms
        elif effect.kind == "restart":
            self._life.close()
            self._boot()
        else:
            self.now_ms += _ANSWER_MS
            try:
                self._answer = self.server.perform(effect)
            except Exception as error:
                self._failure = error


def _counts(flash: NorFlash) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return flash.bytes_programmed, tuple(flash.programs), tuple(flash.erases)


def _used(
    name: str, flash: NorFlash, before: tuple[int, tuple[int, ...], tuple[int, ...]]
) -> FlashUse:
    programs = tuple(now - then for now, then in zip(flash.programs, before[1], strict=True))
    erases = tuple(now - then for now, then in zip(flash.erases, before[2], strict=True))
    return FlashUse(
        volume=name,
        programs=sum(programs),
        bytes_programmed=flash.bytes_programmed - before[0],
        erases=sum(erases),
        worst=max(erases),
        blocks_erased=sum(1 for count in erases if count),
        blocks=flash.block_count,
        erases_by_block=erases,
        programs_by_block=programs,
    )


def release_of(version: str, change: bytes = b"") -> Release:
    """The firmware as a chip gets it, with one file changed for a `change`, all of it for a
    version: native code and bytecode keep their names.
    """
    files = compiled(installed_files(), architecture=ARCHITECTURE)
    if change:
        files["main.py"] += b"\n# " + change + b"\n"
    return build(files, version=version, counter=1)


def idle_days(terminal: WornTerminal, days: int) -> list[FlashUse]:
    """Days of heartbeats in which nothing happens; the first, after the boot, not among them."""
    terminal.run(lambda: terminal.now_ms >= _START_MS + DAY_MS)
    end_ms = terminal.now_ms + days * DAY_MS
    return terminal.measure(lambda: terminal.now_ms >= end_ms)


def update(terminal: WornTerminal, release: Release) -> list[FlashUse]:
    """An update from the offer to the confirmed release."""
    confirmed = terminal.shown.get("update_confirmed", 0)
    terminal.server.offered = release.signed(terminal.keys.release)
    return terminal.measure(lambda: terminal.shown.get("update_confirmed", 0) > confirmed)
