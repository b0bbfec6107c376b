"""A terminal's console in memory and on a pty, for the tests of both sides of the serial line."""

from __future__ import annotations

import asyncio
import os
import pty
import threading
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fake_ports import Board, Clock, Fs, Partition, PowerCut, Rng, Vault

from ks_agent import tokens, toon
from ks_agent.ports import Ports
from ks_board.console import Console
from ks_board.console_factory import FactoryDesk
from ks_board.console_tests import Tester
from ks_board.desk import Desk
from ks_server.crypto import NaclCrypto
from ks_simulator.keys import RoleKeys
from ks_tools.device_link import DeviceLink
from ks_tools.serial_line import LineReader, frame

FACTS = {"MAC": "30aea4010203", "BOARD": "ks_clock", "CHIP": "esp32", "MPV": "1.25.0"}
TRUSTED = RoleKeys.make().trusted()
WORDS = {
    "D1": "KS-000001",
    "D2": "ESP32_TERMINAL",
    "OTRT": "0123456789abcdef0123456789abcdef",
    "SERVER": "https://terminals.example",
}
NETWORK = ("Factory hall", "only the factory knows")
SESSION = "0123456789abcdef"


class Radio:
    """`networks`: name to (password, dBm)."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.networks = {NETWORK[0]: (NETWORK[1], -61)}
        self.works = True

    def on(self) -> None:
        self.rng.ready = self.works

    async def rssi(self, name: str, password: str) -> int:
        found = self.networks.get(name)
        if found is None or found[0] != password:
            raise OSError(113, "no answer from the network")
        return found[1]


class Led:
    def test(self) -> dict[str, str]:
        return {"LIT": "3"}


class Terminal:
    """What outlasts a boot; `boot` gives the desk of a new one."""

    def __init__(self) -> None:
        self.fs = Fs()
        self.vault = Vault(self.fs)
        self.rng = Rng(os.urandom(8))
        self.rng.ready = False
        self.radio = Radio(self.rng)
        self.desk = Desk()
        self.desk.features = {"led": Led(), "keypad": Led(), "buzzer": None}
        self.desk.faults["buzzer"] = "no pin"

    def ports(self) -> Ports:
        return Ports(Clock(), self.rng, self.fs, self.vault, Partition(), NaclCrypto(), Board())

    def boot(self) -> FactoryDesk:
        ports = self.ports()
        return FactoryDesk(ports, FACTS, Tester(ports, self.desk), self.radio)


class Memory:
    """A stream of what was put into it; what the console writes is collected."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.written = b""

    async def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def write(self, data: bytes) -> None:
        self.written += data


def encoded(fields: Mapping[str, Any]) -> bytes:
    return bytes(toon.encode(dict(fields), tokens.kind_of))


def framed(fields: Mapping[str, Any]) -> bytes:
    return b"".join(frame(encoded(fields)))


def answers(written: bytes) -> list[dict[str, Any]]:
    return [toon.decode(document, 8192) for document in LineReader().feed(written)]


def told(desk: Any, *pieces: bytes) -> list[dict[str, Any]]:
    """What a console answers to these bytes, one piece a read."""
    memory = Memory(*pieces)
    asyncio.run(Console(memory, desk).run())
    return answers(memory.written)


def ask(desk: Any, *requests: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The answers to these requests after a hello; numbered here."""
    numbered: list[Mapping[str, Any]] = [{"OP": "hello", "SESSION": SESSION}, *requests]
    pieces = [framed({**request, "SEQ": str(seq)}) for seq, request in enumerate(numbered, 1)]
    return told(desk, *pieces)[1:]


class PtyStream:
    """The console's end of a pty, for a loop of its own. `spoil` may change or drop what passes."""

    def __init__(self, fd: int, spoil: Callable[[bytes], bytes]) -> None:
        self._fd = fd
        self._spoil = spoil
        self._ready = asyncio.Event()
        asyncio.get_running_loop().add_reader(fd, self._ready.set)

    async def read(self) -> bytes:
        while True:
            await self._ready.wait()
            self._ready.clear()
            try:
                return self._spoil(os.read(self._fd, 4096)) or b"\n"
            except BlockingIOError:
                continue
            except OSError:
                return b""

    def write(self, data: bytes) -> None:
        kept = self._spoil(data)
        while kept:
            kept = kept[os.write(self._fd, kept) :]


@contextmanager
def on_a_pty(
    make_desk: Callable[[], Any], spoil: Callable[[bytes], bytes] = lambda data: data
) -> Iterator[str]:
    """A terminal that restarts by itself behind a pty; gives the path for the host."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def boots() -> None:
        while not stop.is_set():
            try:
                desk = make_desk()
                console = asyncio.ensure_future(Console(PtyStream(ours, spoil), desk).run())
                stopped = asyncio.ensure_future(stop.wait())
                await asyncio.wait({console, stopped}, return_when=asyncio.FIRST_COMPLETED)
                for task in (console, stopped):
                    task.cancel()
                await asyncio.gather(console, stopped, return_exceptions=True)
            except PowerCut:
                pass

    thread = threading.Thread(target=loop.run_until_complete, args=(boots(),))
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
        os.close(ours)
        os.close(theirs)


def provision(device: DeviceLink, d1: str = "KS-000001") -> str:
    """What a station does; gives the public key."""
    device.hello()
    public = device.make_key()
    device.prove(d1, public)
    device.write_trust(TRUSTED)
    device.write_factory({**WORDS, "D1": d1})
    device.write_network(*NETWORK)
    device.write("setup", {"SETUP_PASSWORD": "label-4711"})
    device.write("board", {"BOARD": "ks_clock"})
    assert device.seal() == d1
    return public
