"""The world around the chip, and its two ends: testers' connections, and the chip's own modules.

Both are TCP on localhost, lines of words parted by one blank each; a word is percent-encoded where
it has to be. A tester's line is answered by one line, `ok ...` or `error ...`; every other line it
reads is an event.

    pin 4 0                  the world holds pin 4 low
    wire 13 25 1             pins 13 and 25 are connected, as by a key of a matrix; 0: no more
    uart 1 02303132          bytes that arrive on UART 1
    wifi SSID PASSWORD RSSI  the one network in reach; `wifi` alone: none
    reset | power off | power on | unplug | plug
    cut after N [unplug]     the power goes in the midst of the erase or program after N more of
                             them, by whomever; with `unplug`, so does the cable; `cut -`: does not
    noise EVERY [ABOVE_BAUD] each so many bytes one is wrong, at faster rates only; `noise -`
    slow BYTES_A_SECOND      a slow line; `slow -`
    garbage N                N bytes that nobody sent
    state                    `ok STATE starts=N operations=N left=N|- plugged=0|1`

Events: `state off|loader|running|halted`, `start N CAUSE`, and what the chip's modules tell, such
as `pin 2 1`, `pwm 5 2000`, `oled TEXT`.

The chip's modules (device/) connect to the port in KS_CHIP_CONTROL. They read the lines `pin`,
`wire`, `uart`, `wifi` and `cut after N`: first what holds now, ended by `go`, then what changes.
What they write are events for the testers. `operations N` tells, at a reset, how many they did;
`kbd_intr CODE` which byte interrupts the program (3 at a start, -1 for none).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

LOCALHOST: Final = "127.0.0.1"
LINE_BYTES: Final = 64 * 1024
# What waits for a connection that does not read; it is closed then.
WAITING_BYTES: Final = 1024 * 1024
KEPT: Final = ("pin", "wire", "wifi")
FOR_THE_CHIP: Final = ("operations", "kbd_intr")
# How long the last words of a program that has ended may take.
LAST_WORDS_S: Final = 1.0
NEVER: Final = 99_999_999
RELAYED: Final = (*KEPT, "uart")

Perform = Callable[[list[str]], Awaitable[str]]
Tell = Callable[[list[str]], None]


class BadCommand(Exception):
    """Answered with `error` and this text."""


class World:
    """Both listeners, and what the world holds.

    `perform` does a tester's command and gives the rest of the `ok` line, or raises BadCommand.
    `tell` hears the lines of the chip's modules that are for the chip.
    """

    def __init__(self, perform: Perform, tell: Tell) -> None:
        self._perform = perform
        self._tell = tell
        self._testers: set[asyncio.StreamWriter] = set()
        self._device: asyncio.StreamWriter | None = None
        self._held: dict[tuple[str, str], str] = {}
        self._servers: list[asyncio.Server] = []
        self.port = 0
        self.device_port = 0
        self._is_silent = asyncio.Event()
        self._is_silent.set()

    async def open(self, port: int = 0) -> None:
        """Listen; `port` 0 takes a free one. Raises OSError."""
        for serve, wanted in ((self._serve_tester, port), (self._serve_device, 0)):
            server = await asyncio.start_server(serve, LOCALHOST, wanted, limit=LINE_BYTES)
            self._servers.append(server)
        self.port, self.device_port = (
            server.sockets[0].getsockname()[1] for server in self._servers
        )

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for writer in (*self._testers, self._device):
            if writer is not None:
                writer.close()

    def event(self, text: str) -> None:
        """A line to every tester."""
        for writer in list(self._testers):
            _send(writer, text)

    def hold(self, words: list[str]) -> None:
        """Change the world: `pin`, `wire`, `wifi` and `uart` as above. Raises BadCommand."""
        check(words)
        if words[0] == "pin":
            self._held["pin", words[1]] = " ".join(words)
        elif words[0] == "wire":
            self._held["wire", " ".join(words[1:3])] = " ".join(words)
        elif words[0] == "wifi":
            self._held["wifi", ""] = " ".join(words)
        self.tell_device(" ".join(words))

    def limit(self, left: int | None) -> None:
        """Tell the chip's modules after how many operations the power goes."""
        if left is None:
            self._held.pop(("cut", ""), None)
        else:
            self._held["cut", ""] = f"cut after {left}"
        self.tell_device(f"cut after {NEVER if left is None else left}")

    def tell_device(self, line: str) -> None:
        if self._device is not None:
            _send(self._device, line)

    async def last_words(self) -> None:
        """Hear all that a program that has ended still said."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._is_silent.wait()

    def drop_device(self) -> None:
        """The program was ended: what it has sent and nobody read is not heard."""
        if self._device is not None:
            self._device.close()
            self._device = None
            self._is_silent.set()

    async def _serve_tester(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._testers.add(writer)
        try:
            while words := await _words(reader):
                try:
                    answer = await self._perform(words)
                except BadCommand as error:
                    _send(writer, f"error {error}")
                else:
                    _send(writer, f"ok {answer}".rstrip())
        finally:
            self._testers.discard(writer)
            writer.close()

    async def _serve_device(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.drop_device()
        self._device = writer
        self._is_silent.clear()
        for line in self._held.values():
            _send(writer, line)
        _send(writer, "go")
        try:
            while words := await _words(reader):
                if self._device is not writer:
                    return
                if words[0] in FOR_THE_CHIP:
                    self._tell(words)
                else:
                    self.event(" ".join(words))
        finally:
            if self._device is writer:
                self.drop_device()
            writer.close()


def check(words: list[str]) -> None:
    """Raises BadCommand for a `pin`, `wire`, `uart` or `wifi` line that is none."""
    try:
        if words[0] == "pin" and len(words) == 3:
            int(words[1])
            if words[2] in ("0", "1"):
                return
        elif words[0] == "wire" and len(words) == 4:
            int(words[1])
            int(words[2])
            if words[3] in ("0", "1"):
                return
        elif words[0] == "uart" and len(words) == 3:
            int(words[1])
            bytes.fromhex(words[2])
            return
        elif words[0] == "wifi" and len(words) == 4:
            int(words[3])
            return
        elif words == ["wifi"]:
            return
    except ValueError:
        pass
    raise BadCommand(f"not understood: {words[0]}")


async def _words(reader: asyncio.StreamReader) -> list[str]:
    """The words of the next line that has any; none at the end."""
    while True:
        try:
            line = await reader.readline()
        except (OSError, ValueError):  # too long, or the connection broke
            return []
        if not line.endswith(b"\n"):
            return []
        if text := line.decode("utf-8", "replace").strip("\r\n "):
            return text.split(" ")


def _send(writer: asyncio.StreamWriter, text: str) -> None:
    if writer.is_closing():
        return
    if writer.transport.get_write_buffer_size() > WAITING_BYTES:
        writer.close()
        return
    writer.write(text.encode() + b"\n")
