"""The factory test: flash, clock, memory, Wi-Fi, and what the board's features tell of themselves.

What a reading must be is the host's affair (board.toml): here it is only taken.
"""

import asyncio
import time

from .console_refusal import NO_RADIO, TEST_FAILED, UNKNOWN_OP, Refusal
from .console_text import check_network, text_of

FLASH_PATH = "data/factory_test.bin"
FLASH_BLOCK_BYTES = 512
FLASH_BLOCKS = 8
CLOCK_PAUSE_MS = 50


class Tester:
    """`desk`: ks_board.desk.Desk, with the features that were made."""

    def __init__(self, ports, desk):
        self._ports = ports
        self._desk = desk

    async def test(self, name, request, radio):
        """The fields of the answer. Raises Refusal."""
        if name == "flash":
            return self._flash()
        if name == "clock":
            return await self._clock()
        if name == "memory":
            free = self._ports.board.memory_free_bytes()
            return {"FREE": str(free if free is not None else 0)}
        if name == "wifi":
            return await self._wifi(request, radio)
        if name not in self._desk.features:
            raise Refusal(UNKNOWN_OP, "no such test on this board")
        return self._feature(name, request.get("STEP", "act"))

    def _flash(self):
        fs = self._ports.fs
        pattern = bytes([(index * 7 + 3) & 0xFF for index in range(FLASH_BLOCK_BYTES)])
        if not fs.is_dir("data"):
            fs.mkdir("data")
        try:
            with fs.open(FLASH_PATH, "wb") as file:
                for _ in range(FLASH_BLOCKS):
                    file.write(pattern)
                fs.sync(file)
            with fs.open(FLASH_PATH, "rb") as file:
                same = all([file.read(FLASH_BLOCK_BYTES) == pattern for _ in range(FLASH_BLOCKS)])
        finally:
            try:
                fs.remove(FLASH_PATH)
            except OSError:
                pass
        if not same:
            raise Refusal(TEST_FAILED, "the flash gives back something else")
        total, free = fs.room()
        return {"TOTAL": str(total), "FREE": str(free)}

    async def _clock(self):
        """A while by the clock that tells the time, and by the one that counts milliseconds."""
        begin_ms, begin_ns = self._ports.clock.ticks_ms(), time.time_ns()
        await asyncio.sleep(CLOCK_PAUSE_MS / 1000)
        took_ms = self._ports.clock.ticks_ms() - begin_ms
        return {"PAUSE": str((time.time_ns() - begin_ns) // 1000000), "MS": str(took_ms)}

    async def _wifi(self, request, radio):
        name, password = text_of(request, "WIFI_SSID"), request.get("WIFI_PASSWORD", "")
        check_network(name, password)
        radio.on()
        if not self._ports.rng.is_ready():
            raise Refusal(NO_RADIO, "the radio does not come on")
        try:
            return {"RSSI": str(await radio.rssi(name, password))}
        except OSError as error:
            raise Refusal(TEST_FAILED, "no link: " + str(error.args[-1] if error.args else ""))

    def _feature(self, name, step):
        if step == "begin":
            self._desk.begin(name)
            return {}
        if step == "end":
            seen = self._desk.end(name)
            if seen is None:
                raise Refusal(TEST_FAILED, "not begun")
            return {"SEEN": [{"TEXT": text} for text in seen]}
        feature = self._desk.features[name]
        if feature is None:
            raise Refusal(TEST_FAILED, self._desk.faults.get(name, "not made"))
        told = feature.test()
        fault = self._desk.faults.get(name)
        if fault:
            raise Refusal(TEST_FAILED, fault)
        return {"READING": [{"NAME": key, "TEXT": str(told[key])} for key in sorted(told)]}
