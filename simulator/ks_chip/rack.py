"""Many chips in one thread, for tests and tools: switched on together, and off at the end."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ks_simulator.interpreters import find_micropython, micropython_command

from .chip import START, Chip, Setup
from .client import Control
from .line import Line, PtyLine, TcpLine
from .models import model_named
from .world import LOCALHOST

# 145,920 bytes are free when boot.py begins, as on a chip without PSRAM with Wi-Fi up (145.1 KB):
# native code is outside the heap on both, and the models of the chip's modules have taken theirs.
HEAPS: Final = {"i386": "183k", "amd64": "512k"}
MAC_BYTES: Final = 6
# Locally administered, as no maker gives them (IEEE 802): an image for software chips goes by it.
OUI: Final = bytes.fromhex("260ac4")
OPEN_LIMIT_S: Final = 30


class NoInterpreter(Exception):
    """There is no MicroPython for the chip's program."""


@dataclass(frozen=True)
class Place:
    """A chip in a rack: what a host opens, and what stands behind it."""

    url: str
    control_port: int
    flash: Path
    mac: bytes

    def control(self) -> Control:
        """A tester's connection of its own."""
        return Control(self.control_port)

    @property
    def mac_text(self) -> str:
        return self.mac.hex(":")


def program_command(start: Path = START) -> list[str]:
    """What runs a chip's program: the 32-bit MicroPython where there is one.

    Raises NoInterpreter.
    """
    for architecture, heap in HEAPS.items():
        program = find_micropython(architecture)
        if program is not None:
            return [*micropython_command(program, architecture, heap), str(start)]
    raise NoInterpreter("no MicroPython for the chip's program; see: make micropython")


def mac_of(flash: Path) -> bytes:
    """The MAC of the chip with this flash file, when it was told none: the path decides."""
    return OUI + hashlib.sha256(str(flash.absolute()).encode()).digest()[: MAC_BYTES - len(OUI)]


def mac_after(mac: bytes, number: int) -> bytes:
    """The `number`-th MAC after this one."""
    return ((int.from_bytes(mac) + number) % (1 << 8 * MAC_BYTES)).to_bytes(MAC_BYTES)


def setup_of(
    chip: str, flash: Path, flash_bytes: int, mac: bytes | None = None, start: Path = START
) -> Setup:
    """A chip that runs `start`. Raises NoInterpreter, and UnknownChip for its kind."""
    return Setup(
        model=model_named(chip),
        mac=mac or mac_of(flash),
        flash=flash,
        flash_bytes=flash_bytes,
        command=program_command(start),
    )


def place_of(chip: Chip) -> Place:
    """Where an opened chip is found."""
    return Place(chip.line.url, chip.world.port, chip.setup.flash, chip.setup.mac)


class Rack:
    """`with Rack(setups) as places`: each chip on a pty beside its flash file, or on TCP."""

    def __init__(self, setups: Sequence[Setup], tcp: bool = False) -> None:
        self._setups = setups
        self._tcp = tcp
        self.chips: list[Chip] = []
        self._loop = asyncio.new_event_loop()
        self._opened = threading.Event()
        self._failure: BaseException | None = None
        self._life: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="chips", daemon=True)

    def __enter__(self) -> list[Place]:
        self.start()
        return [place_of(chip) for chip in self.chips]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Switch them on. Raises what keeps one from that."""
        self._thread.start()
        self._opened.wait(OPEN_LIMIT_S)
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def stop(self) -> None:
        """Take the power from all of them and wait for their ends. Raises what ended one before."""
        with suppress(RuntimeError):  # it has ended
            if self._life is not None:
                self._loop.call_soon_threadsafe(self._life.cancel)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._live())
            except asyncio.CancelledError:
                pass
            except BaseException as error:
                self._failure = error
            finally:
                self._opened.set()

    async def _live(self) -> None:
        self._life = asyncio.current_task()
        self.chips = [Chip(setup, self._line(setup)) for setup in self._setups]
        await run_chips(self.chips, self._opened.set)

    def _line(self, setup: Setup) -> Line:
        if self._tcp:
            return TcpLine(LOCALHOST, 0)
        return PtyLine(setup.flash.with_suffix(".pty"))


async def run_chips(chips: Sequence[Chip], opened: Callable[[], object]) -> None:
    """Let them live until cancelled; `opened` is called when every port is there."""
    try:
        for chip in chips:
            await chip.open()
    except OSError:
        for chip in chips:
            chip.close()
        raise
    opened()
    async with asyncio.TaskGroup() as group:
        for chip in chips:
            group.create_task(chip.run())
