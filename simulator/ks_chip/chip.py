"""The chip's life: power, starts, its program, the loader, and everything that may go wrong.

```
           power on            SYNC from the host
    off ------------> running --------------------> loader
     ^                 |   ^                          |
     |                 |   +--------------------------+ port closed, FLASH_END, reset
     +--- power off ---+--> halted: nothing to start, or its program ended
          or cut
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from . import boot, commands
from .boot import Cause
from .faults import Faults
from .flash import Flash, PowerLost
from .line import Line
from .models import ROM_BAUD, Model
from .program import POWER_LOST_STATUS, RESTART_STATUS, WATCHDOG_STATUSES, Program
from .rom_loader import RomLoader
from .sync import SYNC_FRAME, SyncWatch
from .world import RELAYED, BadCommand, World

START: Final = Path(__file__).with_name("device") / "start.py"
# How often a chip that finds nothing to start says so: its watchdog resets it.
REPEAT_S: Final = 1.0
CTRL_C: Final = 3


class State(Enum):
    """What the chip does."""

    OFF = "off"
    LOADER = "loader"
    RUNNING = "running"
    HALTED = "halted"


@dataclass(frozen=True)
class Setup:
    """One chip. `command` runs its program; the flash file's path is added to it."""

    model: Model
    mac: bytes
    flash: Path
    flash_bytes: int
    command: Sequence[str]
    control_port: int = 0


class Chip:
    """A chip on a line. `run` is its life; everything in it happens one after the other."""

    def __init__(self, setup: Setup, line: Line) -> None:
        self.setup = setup
        self.line = line
        self.flash = Flash(setup.flash, setup.flash_bytes)
        self.world = World(self.command, self._hear)
        self.faults = Faults()
        self.state = State.OFF
        self.starts = 0
        self._loader: RomLoader | None = None
        self._program: Program | None = None
        self._synced = SyncWatch()
        self._interrupt: int | None = CTRL_C
        self._repeat: asyncio.TimerHandle | None = None
        self._inbox: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()

    async def open(self) -> None:
        """Take the ports and the line. Raises OSError."""
        await self.world.open(self.setup.control_port)
        await self.line.plug(self)

    async def run(self) -> None:
        """Power on, and live until cancelled. Needs `open` first."""
        try:
            await self.boot(Cause.POWER)
            while True:
                step = await self._inbox.get()
                await step()
        finally:
            await self._leave()
            self.close()

    def close(self) -> None:
        """Give back the ports and the files."""
        self.line.unplug()
        self.world.close()
        self.flash.close()

    async def command(self, words: list[str]) -> str:
        """A tester's command, done in its turn; what follows `ok`. Raises BadCommand."""
        if words[0] in RELAYED:
            self.world.hold(words)
            return ""
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def perform() -> None:
            try:
                done.set_result(await commands.perform(self, words))
            except (BadCommand, OSError) as error:
                done.set_exception(BadCommand(str(error)))

        self._inbox.put_nowait(perform)
        return await done

    # The line

    def received(self, data: bytes) -> None:
        self._inbox.put_nowait(lambda: self._received(data))

    def opened(self) -> None:
        """Nobody on the chip sees that."""

    def closed(self) -> None:
        self._inbox.put_nowait(self._closed)

    async def _received(self, data: bytes) -> None:
        if self.faults.bytes_a_second:
            await asyncio.sleep(len(data) / self.faults.bytes_a_second)
        if self._loader is not None:
            await self._load(self._loader, data)
            return
        if self.state is State.OFF:
            return
        before, after = self._synced.feed(data)
        if self._program is not None:
            self._type(self._program, before)
        if after is not None:
            await self._enter_loader()
            await self._received(SYNC_FRAME + after)

    def _type(self, program: Program, data: bytes) -> None:
        """As the driver of the UART does: the byte that interrupts is not one to be read."""
        if self._interrupt is None:
            program.write(data)
            return
        *before, last = data.split(bytes([self._interrupt]))
        for part in before:
            program.write(part)
            program.interrupt()
        program.write(last)

    async def _closed(self) -> None:
        if self._loader is not None and not self._loader.stays:
            await self.boot(Cause.PIN)

    async def _load(self, loader: RomLoader, data: bytes) -> None:
        try:
            for answer in loader.receive(data):
                await self._say(answer, loader.baud)
        except PowerLost:
            await self._lose_power()
            return
        if loader.ending is not None:
            await self.boot(Cause.PIN)

    async def _say(self, data: bytes, baud: int = ROM_BAUD) -> None:
        if self.faults.bytes_a_second:
            await asyncio.sleep(len(data) / self.faults.bytes_a_second)
        self.line.write(self.faults.spoil(data, baud))

    # Starts and ends

    async def boot(self, cause: Cause) -> None:
        """Start from the flash, whatever the chip did before."""
        await self._leave()
        self.starts += 1
        self.world.event(f"start {self.starts} {cause.word}")
        await self._say(boot.greeting(cause).encode())
        try:
            boot.check(self.flash)
        except boot.NoBoot as nothing:
            self._become(State.HALTED)
            await self._repeat_text(str(nothing).encode())
            return
        try:
            self._program = await Program.start(
                [*self.setup.command, str(self.setup.flash)],
                self._environment(cause),
                self._program_said,
                self._program_ended,
            )
        except OSError as error:
            self._become(State.HALTED)
            await self._say(f"{error}\r\n".encode())
            return
        self._become(State.RUNNING)

    def _environment(self, cause: Cause) -> dict[str, str]:
        return {
            "KS_CHIP": self.setup.model.name,
            "KS_CHIP_CAUSE": str(cause.number),
            "KS_CHIP_CONTROL": str(self.world.device_port),
            "KS_CHIP_MAC": self.setup.mac.hex(),
        }

    async def _leave(self) -> None:
        """Whatever was going on is over."""
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None
        self._loader = None
        self._synced = SyncWatch()
        self._interrupt = CTRL_C
        program, self._program = self._program, None
        if program is not None:
            await program.kill()
        self.world.drop_device()

    async def _enter_loader(self) -> None:
        await self._leave()
        self._loader = RomLoader(self.setup.model, self.setup.mac, self.flash)
        self._become(State.LOADER)

    async def _lose_power(self) -> None:
        self.limit_operations(None)
        await self.switch_off()
        if self.faults.unplug_at_cut:
            self.faults.unplug_at_cut = False
            self.line.unplug()

    async def switch_off(self) -> None:
        """Take the power away."""
        await self._leave()
        self._become(State.OFF)

    def limit_operations(self, count: int | None) -> None:
        """Take the power away in the midst of the operation after so many more."""
        self.flash.operations.limit(count)
        self.world.limit(count)

    async def _repeat_text(self, text: bytes) -> None:
        await self._say(text)
        loop = asyncio.get_running_loop()
        self._repeat = loop.call_later(
            REPEAT_S, lambda: self._inbox.put_nowait(lambda: self._still_nothing(text))
        )

    async def _still_nothing(self, text: bytes) -> None:
        if self.state is State.HALTED and self._repeat is not None:
            await self._repeat_text(text)

    def _become(self, state: State) -> None:
        self.state = state
        self.world.event(f"state {state.value}")

    # The program

    async def _program_said(self, program: Program, data: bytes) -> None:
        if program is self._program:
            await self._say(data)

    def _program_ended(self, program: Program, status: int) -> None:
        self._inbox.put_nowait(lambda: self._after(program, status))

    async def _after(self, program: Program, status: int) -> None:
        if program is not self._program:
            return
        await self.world.last_words()
        if status == RESTART_STATUS:
            await self.boot(Cause.SOFT)
        elif status in WATCHDOG_STATUSES:
            await self.boot(Cause.WATCHDOG)
        elif status == POWER_LOST_STATUS:
            await self._lose_power()
        else:
            await self._leave()
            await self._say(f"\r\nprogram ended with status {status}\r\n".encode())
            self._become(State.HALTED)

    def _hear(self, words: list[str]) -> None:
        """A line of the chip's modules that is for the chip."""
        try:
            number = int(words[1])
        except (IndexError, ValueError):
            return
        if words[0] == "kbd_intr":
            self._interrupt = number if 0 <= number < 256 else None
        elif number >= 0:
            self.flash.operations.taken(number)
            self.world.limit(self.flash.operations.left)
