"""A terminal that was offline for long: its punches reach the server, in the memory that it has.

The journal holds 100,000 punches when a terminal with the heap of the chip boots: a release as for
the ESP32, on the 32-bit interpreter, against a real server. What its heap holds is looked at around
each request that it sends, when it has the most in its hands.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any, Final

import uvloop

from ks_agent.journal import FOLDER as JOURNAL
from ks_agent.journal import Journal
from ks_driver.files import HostFs
from ks_simulator.application import ENTRY, HOST_ENTRY, Release, build, installed_files
from ks_simulator.compiled import compiled
from ks_simulator.events import Event
from ks_simulator.interpreters import find_micropython, micropython_command
from ks_simulator.keys import RoleKeys
from ks_simulator.process import ProcessTerminal
from ks_simulator.provision import provision_folder
from ks_simulator.punching import unbroken
from ks_simulator.server import ServerFailed, ServerProcess, server_settings

from .device import HEAP_BYTES
from .figure import Figure, Unavailable

ARCHITECTURE: Final = "i386"
HEAP: Final = "128k"
HELD: Final = 100_000
DRAINED: Final = 10_000
# With this in the environment all of them are drained, which takes a quarter of an hour.
ALL: Final = "KS_BENCH_DRAIN_ALL"
APART_MS: Final = 20_000
D1: Final = "terminal-1"
SILENCE_S: Final = 60
TROUBLE: Final = ("crash", "dead")
# On a disk: the folder for temporary files may be in memory.
FOLDER = Path(__file__).resolve().parents[1] / ".cache"
# The entry of the release: tells the most that was in use around a request. It does not collect,
# which would help the terminal; that collects by itself after each 4 KiB.
PROBE = """\
import host_main
import gc

Client = host_main.HttpClient
most = 0


def look():
    global most
    used = gc.mem_alloc()
    if used > most:
        most = used
        print("EVENT heap USED=%d" % used)


class Watched(Client):
    async def request(self, fetch):
        look()
        answer = await Client.request(self, fetch)
        look()
        return answer


host_main.HttpClient = Watched
main = host_main.main
"""


@dataclass(frozen=True)
class Drain:
    """What came of it; bytes, and seconds from the first batch on."""

    stored: int
    batches: list[int]
    seconds: float
    used: int
    crashes: int

    @property
    def per_s(self) -> float:
        """The clock starts when the first batch has arrived."""
        return sum(self.batches[1:]) / self.seconds


def measure() -> Iterator[Figure]:
    """The heap, the batches and the pace of so many punches."""
    program = find_micropython(ARCHITECTURE)
    if program is None:
        raise Unavailable("no 32-bit MicroPython here: make micropython says why")
    wanted = HELD if os.environ.get(ALL) else DRAINED
    try:
        drain = uvloop.run(_measure(program, wanted))
    except ServerFailed as error:
        raise Unavailable(f"the server did not start: {error}") from None
    what = f"punch/drain/{wanted:,}"
    if wanted < HELD:
        what = f"{what} of {HELD:,}"
    limited = Figure.limited
    yield limited(f"{what}/stored", drain.stored, "punches on the server, unbroken chain")
    yield limited(f"{what}/heap", drain.used, "bytes in use, at most", HEAP_BYTES)
    yield limited(f"{what}/batch", round(mean(drain.batches), 1), "punches a request, of 20")
    yield limited(f"{what}/smallest batch", min(drain.batches), "punches in a request")
    yield limited(f"{what}/rate", round(drain.per_s, 1), "punches/s")
    yield limited(f"{what}/crashes", drain.crashes, "crashes", 0)


class _UnsyncedFs(HostFs):
    """No power fails while a journal is made."""

    def sync(self, file: Any) -> None:
        pass


class _Sha256:
    def sha256(self) -> Any:
        return hashlib.sha256()


class _Rng:
    def random_bytes(self, count: int) -> bytes:
        return Random(1).randbytes(count)


def fill(folder: Path, count: int) -> str:
    """A journal with so many punches, the last of them a moment ago; its JID."""
    (folder / JOURNAL).mkdir(parents=True, exist_ok=True)
    random = Random(count)
    files: Any = _UnsyncedFs
    journal: Any = Journal(files(str(folder)), _Sha256(), _Rng())
    journal.recover()
    start_ms = time.time_ns() // 1_000_000 - count * APART_MS
    for number in range(count):
        up_ms = number * APART_MS + random.randrange(APART_MS)
        card = f"{random.randrange(2**32):08X}"
        journal.append(card, "IN", "RFID", True, 1, up_ms, start_ms + up_ms)
    journal.close()
    return str(journal.tail.jid)


async def _measure(program: Path, wanted: int) -> Drain:
    keys = RoleKeys.make()
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-drain-", dir=FOLDER) as name:
        server_folder, folder = Path(name) / "server", Path(name) / "terminal"
        settings = server_settings(
            server_folder, keys, REGISTRATION_MODE="open", HEARTBEAT_RTO_S="10"
        )
        server = ServerProcess(settings)
        async with server.running():
            provision_folder(folder, D1, server.url, keys.trusted(), _release(keys))
            command = micropython_command(program, ARCHITECTURE, HEAP)
            await _register(ProcessTerminal(D1, folder, command))
            jid = fill(folder, HELD)
            watch = _Watch(wanted)
            terminal = ProcessTerminal(D1, folder, command, watch.see)
            async with _life(terminal):
                await watch.done(terminal)
            await server.kill()
        stored = _stored(server_folder, jid)
    if stored < wanted:
        raise Unavailable(f"{stored} of {wanted} are on the server")
    return watch.result(stored)


async def _register(terminal: ProcessTerminal) -> None:
    """Its first boot, which has a key to make and no journal. Raises Unavailable."""
    async with _life(terminal):
        try:
            await terminal.wait_for("heartbeat", SILENCE_S)
        except TimeoutError as error:
            raise Unavailable(str(error)[-500:]) from None


class _Watch:
    """Hears a terminal until the server has acknowledged so many."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._moved = asyncio.Event()
        self._acks = [0]
        self._moments: list[float] = []
        self._used = 0
        self._crashes: list[str] = []

    def see(self, terminal: ProcessTerminal, event: Event) -> None:
        if event.name == "punches_uploaded":
            self._acks.append(int(event.detail["ACK_SEQ"]))
            self._moments.append(time.monotonic())
            self._moved.set()
        elif event.name == "heap":
            self._used = max(self._used, int(event.detail["USED"]))
        elif event.name in TROUBLE:
            self._crashes.append(terminal.story())

    async def done(self, terminal: ProcessTerminal) -> None:
        """Raises Unavailable when nothing arrives any more."""
        while self._acks[-1] < self._wanted:
            self._moved.clear()
            try:
                async with asyncio.timeout(SILENCE_S):
                    await self._moved.wait()
            except TimeoutError:
                text = f"stuck at {self._acks[-1]}: {terminal.story()[-500:]}"
                raise Unavailable(text) from None

    def result(self, stored: int) -> Drain:
        batches = [new - old for old, new in pairwise(self._acks)]
        seconds = self._moments[-1] - self._moments[0]
        return Drain(stored, batches, seconds, self._used, len(self._crashes))


@asynccontextmanager
async def _life(terminal: ProcessTerminal) -> AsyncIterator[None]:
    """A terminal that has power for the length of a block."""
    life = asyncio.create_task(terminal.run())
    try:
        yield
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)


def _release(keys: RoleKeys) -> Release:
    files = installed_files()
    files |= {HOST_ENTRY: files[ENTRY], ENTRY: PROBE.encode("ascii")}
    files = compiled(files, architecture="x86")
    return build(files, version="1.0.0", counter=1).signed(keys.release)


def _stored(folder: Path, jid: str) -> int:
    """How many punches the killed server has left, one after the other from the first on."""
    with closing(sqlite3.connect(folder / "server.sqlite3")) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute(
            "SELECT a1, a2, a3, boot, clk, e1, jid, method, prev, seq, up FROM punches"
            " WHERE d1 = ? AND jid = ? AND state = 'accepted' ORDER BY seq",
            (D1, jid),
        ).fetchall()
    assert unbroken({key.upper(): str(value) for key, value in dict(row).items()} for row in rows)
    assert not rows or rows[-1]["seq"] == len(rows)
    return len(rows)
