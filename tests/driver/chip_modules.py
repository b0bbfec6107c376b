"""The modules of an ESP32 for drivers' tests on CPython, as far as those look at them."""

import asyncio
import gc
import sys
import time
from types import ModuleType
from typing import Any

import pytest

from tests.driver.chip_partition import Partition

NOT_FOUND = -0x1102


class Nvs:
    """`esp32.NVS`: what is set counts once committed."""

    def __init__(self, namespace: str = "ks") -> None:
        self.committed: dict[str, bytes] = {}
        self.pending: dict[str, bytes] = {}
        self.failure = 0

    def get_blob(self, key: str, buffer: bytearray) -> int:
        if self.failure:
            raise OSError(self.failure)
        if key not in self.pending:
            raise OSError(NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        value = self.pending[key]
        buffer[: len(value)] = value
        return len(value)

    def set_blob(self, key: str, value: bytes) -> None:
        self.pending[key] = bytes(value)

    def erase_key(self, key: str) -> None:
        if key not in self.pending:
            raise OSError(NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        del self.pending[key]

    def commit(self) -> None:
        self.committed = dict(self.pending)


class Wlan:
    IF_STA = 0
    made: "list[Wlan]" = []  # noqa: RUF012
    is_on = False  # the one radio, whichever object it is asked through

    def __init__(self, interface: int) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answers: list[bool] = []
        Wlan.made.append(self)

    def active(self, on: "bool | None" = None) -> bool:
        if on is not None:
            self.calls.append(("active", on))
            Wlan.is_on = on
        return Wlan.is_on

    def isconnected(self) -> bool:
        return self.answers.pop(0) if self.answers else True

    def connect(self, name: str, password: str) -> None:
        self.calls.append(("connect", name, password))

    def disconnect(self) -> None:
        self.calls.append(("disconnect",))


POWER_ON = (2000, 1, 1, 5, 0, 0, 0, 0)


class Rtc:
    """`machine.RTC`: the clock by which the chip's TLS judges certificates, and a little memory."""

    now: "tuple[int, ...]" = POWER_ON
    kept = b""

    def datetime(self, now: "tuple[int, ...] | None" = None) -> "tuple[int, ...]":
        Rtc.now = now or Rtc.now
        return Rtc.now

    def memory(self, data: "bytes | None" = None) -> bytes:
        Rtc.kept = Rtc.kept if data is None else bytes(data)
        return Rtc.kept


class Wdt:
    """`machine.WDT`, which never bites here."""

    made: "list[int]" = []  # noqa: RUF012
    fed = 0

    def __init__(self, timeout: int) -> None:
        Wdt.made.append(timeout)

    def feed(self) -> None:
        Wdt.fed += 1


interrupts: "list[int]" = []  # what kbd_intr was told
causes = [1]  # of the reset
system_free = [90000]  # bytes that ESP-IDF has left, region by region


class Reset(Exception):
    """What the fake `machine.reset` does: nothing runs after it."""


def reset() -> None:
    raise Reset


def module(name: str, **contents: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(contents)
    return made


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chip's modules, as after a power on."""
    Wlan.made.clear()
    Wlan.is_on = False
    Rtc.now, Rtc.kept, Wdt.fed = POWER_ON, b"", 0
    Wdt.made.clear()
    interrupts.clear()
    esp32 = module(
        "esp32", NVS=Nvs, Partition=Partition, HEAP_DATA=4,
        idf_heap_info=lambda capabilities: [(200000, free, free, free) for free in system_free],
    )  # fmt: skip
    machine = module(
        "machine",
        reset=reset,
        RTC=Rtc,
        WDT=Wdt,
        WDT_RESET=3,
        reset_cause=lambda: causes[-1],
        unique_id=lambda: b"\x30\xae\xa4\x01\x02\x03",
    )
    monkeypatch.setitem(sys.modules, "esp32", esp32)
    monkeypatch.setitem(sys.modules, "network", module("network", WLAN=Wlan))
    monkeypatch.setitem(sys.modules, "machine", machine)
    console = module("micropython", kbd_intr=interrupts.append)
    monkeypatch.setitem(sys.modules, "micropython", console)
    for name, value in (("threshold", None), ("mem_alloc", 60000), ("mem_free", 50000)):
        monkeypatch.setattr(gc, name, lambda *_, value=value: value, raising=False)
    monkeypatch.setattr(time, "sleep_ms", lambda ms: None, raising=False)
    monkeypatch.setattr(time, "ticks_ms", lambda: time.monotonic_ns() // 1000000, raising=False)
    monkeypatch.setattr(time, "ticks_add", lambda ticks, ms: ticks + ms, raising=False)
    monkeypatch.setattr(time, "ticks_diff", lambda ticks, older: ticks - older, raising=False)
    monkeypatch.setattr(asyncio, "sleep_ms", lambda ms: asyncio.sleep(ms / 1000), raising=False)
    monkeypatch.setattr(asyncio, "ThreadSafeFlag", asyncio.Event, raising=False)
    monkeypatch.setattr(sys, "print_exception", lambda error: None, raising=False)
