"""The loader in the chip's ROM, and the stub that esptool puts into its RAM, as esptool sees them.

Bytes in, bytes out: no clock, no line. Espressif documents the protocol (esptool, "Serial
Protocol"); a command is one SLIP frame:

    request  00 command length(2) checksum(4) data
    answer   01 command length(2) value(4) data status error [00 00 from the ROM]

The stub is not executed. Whatever RAM is filled with before MEM_END names an entry, the commands
of esptool's stub are understood from then on.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final

from .flash import Flash, OutOfFlash
from .flash_transfer import Failure, Reading, Refused, Writing, block_of, checksum
from .models import Model, Registers
from .slip import Frames, frame
from .sync import SYNC, SYNC_DATA

SYNC_ANSWERS: Final = 8
SYNC_VALUE: Final = 0x2012_0707  # what the ROM answers; the stub answers 0
GREETING: Final = b"OHAI"
SLOW_READ_BYTES: Final = 64
HEADER_BYTES: Final = 8
MAX_BAUD: Final = 5_000_000


class Ending(Enum):
    """How the loader stopped being in charge."""

    RUN = "run"
    RESET = "reset"


class RomLoader:
    """One stay in the loader, from the reset into it until `ending` says how it ended.

    `stays` is true after esptool asked to be let back in (`--after no-reset` of a stub).
    """

    def __init__(self, model: Model, mac: bytes, flash: Flash) -> None:
        self.model = model
        self.flash = flash
        self.registers = Registers(model, mac, flash.size)
        self.is_stub = False
        self.stays = False
        self.ending: Ending | None = None
        self._frames = Frames()
        self._writing: Writing | None = None
        self._reading: Reading | None = None
        self._then: Callable[[], Iterator[bytes]] | None = None

    @property
    def baud(self) -> int:
        return self.registers.baud

    def receive(self, data: bytes) -> Iterator[bytes]:
        """What is to be sent back, piece by piece.

        Raises PowerLost in the middle of a command: no answer to that one.
        """
        for packet in self._frames.feed(data):
            if self._reading is not None and len(packet) == 4:
                yield from self._acknowledged(struct.unpack("<I", packet)[0])
            elif len(packet) >= HEADER_BYTES and packet[0] == 0:
                yield from self._command(packet)

    def _command(self, packet: bytes) -> Iterator[bytes]:
        _, command, length, expected = struct.unpack_from("<BBHI", packet)
        data = packet[HEADER_BYTES:]
        self._reading = None
        self._then = None
        if command == SYNC:
            yield from self._synced(data)
            return
        try:
            value, answer = self._perform(command, data, length, expected)
        except Refused as refused:
            yield self._answer(command, failure=refused.failure)
        except OutOfFlash:
            yield self._answer(command, failure=Failure.FAILED)
        except struct.error:
            yield self._answer(command, failure=Failure.LENGTH)
        else:
            yield self._answer(command, answer, value)
            if self._then is not None:
                yield from self._then()

    def _perform(self, command: int, data: bytes, length: int, expected: int) -> Answer:
        commands = _STUB if self.is_stub else _ROM
        if command not in commands:
            raise Refused(Failure.UNKNOWN)
        if length != len(data):
            raise Refused(Failure.LENGTH)
        if command in _CHECKED and checksum(data[16:]) != expected:
            raise Refused(Failure.CHECKSUM)
        return commands[command](self, data)

    def _answer(
        self, command: int, data: bytes = b"", value: int = 0, failure: Failure | None = None
    ) -> bytes:
        status = (1, failure.value[self.is_stub]) if failure else (0, 0)
        body = data + bytes(status) + (b"" if self.is_stub else bytes(2))
        return frame(struct.pack("<BBHI", 1, command, len(body), value) + body)

    def _synced(self, data: bytes) -> Iterator[bytes]:
        if data == SYNC_DATA:
            self.stays = False
            value = 0 if self.is_stub else SYNC_VALUE
            yield self._answer(SYNC, value=value) * SYNC_ANSWERS

    def accept(self, _: bytes) -> Answer:
        """For what has no effect here."""
        return 0, b""

    # Registers and RAM

    def read_register(self, data: bytes) -> Answer:
        return self.registers.read(struct.unpack("<I", data)[0]), b""

    def write_register(self, data: bytes) -> Answer:
        if not data or len(data) % 16:
            raise Refused(Failure.LENGTH)
        for address, value, mask, _ in struct.iter_unpack("<IIII", data):
            self.registers.write(address, value, mask)
        if self.registers.must_reset:
            self.ending = Ending.RESET
        return 0, b""

    def security_info(self, _: bytes) -> Answer:
        """Flags, the flash's encryption count, purposes of keys: all 0; the chip's number."""
        if self.model.chip_id is None:
            raise Refused(Failure.UNKNOWN)
        return 0, struct.pack("<I8xII", 0, self.model.chip_id, 0)

    def change_baud(self, data: bytes) -> Answer:
        baud = struct.unpack_from("<I", data)[0]
        self.registers.baud = min(max(baud, 1), MAX_BAUD)
        return 0, b""

    def fill_memory(self, data: bytes) -> Answer:
        block_of(data)
        return 0, b""

    def run_memory(self, data: bytes) -> Answer:
        if struct.unpack("<II", data)[1] and not self.is_stub:
            self._then = self._start_stub
        return 0, b""

    def _start_stub(self) -> Iterator[bytes]:
        self.is_stub = True
        self._writing = None
        yield frame(GREETING)

    # Flash

    def begin(self, data: bytes) -> Answer:
        self._writing = Writing(self.flash, data, deflated=False, erase_ahead=not self.is_stub)
        return 0, b""

    def begin_deflated(self, data: bytes) -> Answer:
        self._writing = Writing(self.flash, data, deflated=True, erase_ahead=not self.is_stub)
        return 0, b""

    def write(self, data: bytes) -> Answer:
        self._in_writing().write(data)
        return 0, b""

    def write_deflated(self, data: bytes) -> Answer:
        self._in_writing().write_deflated(data)
        return 0, b""

    def _in_writing(self) -> Writing:
        if self._writing is None:
            raise Refused(Failure.NOT_BEGUN)
        return self._writing

    def end(self, data: bytes) -> Answer:
        """The ROM starts the flash's program either way, the stub goes back to the ROM for 0."""
        stay = struct.unpack_from("<I", data)[0]
        self._writing = None
        if not self.is_stub:
            self.ending = Ending.RUN
        elif not stay:
            self._then = self._leave_stub
        return 0, b""

    def _leave_stub(self) -> Iterator[bytes]:
        self.is_stub = False
        self.stays = True
        yield from ()

    def erase_all(self, _: bytes) -> Answer:
        self.flash.erase(0, self.flash.size)
        return 0, b""

    def erase_region(self, data: bytes) -> Answer:
        offset, length = struct.unpack("<II", data)
        self.flash.erase(offset, length)
        return 0, b""

    def md5(self, data: bytes) -> Answer:
        offset, length = struct.unpack_from("<II", data)
        digest = hashlib.md5(self.flash.read(offset, length), usedforsecurity=False)
        return 0, digest.digest() if self.is_stub else digest.hexdigest().encode()

    def read_slowly(self, data: bytes) -> Answer:
        offset, length = struct.unpack_from("<II", data)
        if length > SLOW_READ_BYTES:
            raise Refused(Failure.LENGTH)
        return 0, self.flash.read(offset, length).ljust(SLOW_READ_BYTES, b"\0")

    def read(self, data: bytes) -> Answer:
        self._reading = Reading(self.flash, data)
        self._then = lambda: self._acknowledged(0)
        return 0, b""

    def _acknowledged(self, count: int) -> Iterator[bytes]:
        if self._reading is not None:
            yield from self._reading.acknowledged(count)
            if self._reading.is_done:
                self._reading = None


Answer = tuple[int, bytes]
Perform = Callable[[RomLoader, bytes], Answer]

_CHECKED: Final = (0x03, 0x07, 0x11)
_BOTH: Final[dict[int, Perform]] = {
    0x02: RomLoader.begin,
    0x03: RomLoader.write,
    0x04: RomLoader.end,
    0x05: RomLoader.accept,  # MEM_BEGIN
    0x06: RomLoader.run_memory,
    0x07: RomLoader.fill_memory,
    0x09: RomLoader.write_register,
    0x0A: RomLoader.read_register,
    0x0B: RomLoader.accept,  # SPI_SET_PARAMS
    0x0D: RomLoader.accept,  # SPI_ATTACH
    0x0F: RomLoader.change_baud,
    0x10: RomLoader.begin_deflated,
    0x11: RomLoader.write_deflated,
    0x12: RomLoader.end,
    0x13: RomLoader.md5,
    0x14: RomLoader.security_info,
}
_ROM: Final[dict[int, Perform]] = {**_BOTH, 0x0E: RomLoader.read_slowly}
_STUB: Final[dict[int, Perform]] = {
    **_BOTH,
    0xD0: RomLoader.erase_all,
    0xD1: RomLoader.erase_region,
    0xD2: RomLoader.read,
}
