"""A software ESP32 switched on, and the world around it: pins, Wi-Fi, resets."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ks_simulator.children import bound_to_parent
from ks_simulator.process import RESTART_STATUS, ProcessTerminal
from tools.micropython import ROOT

START = ROOT / "simulator" / "ks_chip" / "device" / "start.py"
LIMIT_BYTES = 256 * 1024
POWER_ON, RESET, WATCHDOG = 1, 2, 3


class Chip(ProcessTerminal):
    """A terminal whose process is a chip on a flash file: `command` is MicroPython with its heap.

    `lines` are what the chip has told over its line of control, `ended` how each boot ended.
    """

    def __init__(self, name: str, flash: Path, command: tuple[str, ...]) -> None:
        super().__init__(name, flash, command, crash_pause_s=0.1)
        self.flash = flash
        self.state: list[str] = []
        self.lines: list[str] = []
        self.ended: list[int] = []
        self._cause = POWER_ON
        self._writer: asyncio.StreamWriter | None = None
        self._heard = asyncio.Event()

    async def _boot(self) -> bool:
        self.boots += 1
        server = await asyncio.start_server(self._control, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                str(START),
                str(self.flash),
                stdin=PIPE,
                stdout=PIPE,
                stderr=STDOUT,
                limit=LIMIT_BYTES,
                start_new_session=True,
                preexec_fn=bound_to_parent(signal.SIGKILL),
                env={**os.environ, "KS_CHIP_CAUSE": str(self._cause), "KS_CHIP_CONTROL": str(port)},
            )
            await self._listen(self._process)
            status = await self._process.wait()
        finally:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            server.close()
        self.ended.append(status)
        self._heard.set()
        if status == RESTART_STATUS:
            self._cause = RESET
            return True
        if status == -signal.SIGALRM or status == 128 + signal.SIGALRM:
            self._cause = WATCHDOG
            return True
        self._cause = POWER_ON
        return await self._after(status)

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.write("".join(f"{line}\n" for line in [*self.state, "go"]).encode())
        with suppress(ConnectionError):
            while line := await reader.readline():
                self.lines.append(line.decode().strip())
                self._heard.set()

    def control(self, line: str, keeps: bool = False) -> None:
        """A line to the chip, which is so after its next reset too if it `keeps`."""
        if keeps:
            word = line.partition(" ")[0]
            self.state = [*(one for one in self.state if one.partition(" ")[0] != word), line]
        if self._writer is not None:
            self._writer.write(line.encode() + b"\n")

    def card(self, number: int, d0: int = 34, d1: int = 35) -> None:
        """Hold a card to the Wiegand reader on these pins: 24 bits between two of parity."""
        bits = [number >> place & 1 for place in range(23, -1, -1)]
        bits = [sum(bits[:12]) & 1, *bits, 1 - (sum(bits[12:]) & 1)]
        for bit in bits:
            for level in (0, 1):
                self.control(f"pin {d1 if bit else d0} {level}")

    def type(self, data: bytes) -> None:
        """Bytes to its serial line."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    async def told(self, matches: Callable[[str], bool], timeout_s: float, after: int = 0) -> str:
        """The first line of control from number `after` on that matches."""
        async with asyncio.timeout(timeout_s):
            while True:
                for line in self.lines[after:]:
                    if matches(line):
                        return line
                self._heard.clear()
                await self._heard.wait()

    async def has_ended(self, status: int, timeout_s: float) -> None:
        """Wait for a boot that ends so."""
        async with asyncio.timeout(timeout_s):
            while status not in self.ended:
                self._heard.clear()
                await self._heard.wait()
