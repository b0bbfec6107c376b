"""Punches per second that the server stores durably on one core, and what plain SQLite would.

A real server process gets requests of 20 punches each, signed beforehand, over open connections.
The peer inserts the very rows that the server stored, in a table of the same form with the same
indexes, WAL and synchronous=FULL, one transaction for each 20. Both run on the same core, in turns.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import uvloop

from ks_agent import signing
from ks_agent.punch import punch_hash
from ks_agent.segment import Tail
from ks_simulator.keys import CRYPTO, RoleKeys, key_id, public_text
from ks_simulator.server import ServerFailed, ServerProcess, server_settings

from .figure import Figure, Unavailable
from .load import Answer, Load, post
from .process import cpu_s
from .samples import Message, seed_of, signed

DEVICES: Final = 300
BATCH: Final = 20
ROUNDS: Final = 5
CONNECTIONS: Final = 32
APART_MS: Final = 2000
PEER: Final = "plain sqlite3, the same rows"
# A request costs two signatures, nonces and checks besides; a peer that does nothing else is a
# bound that no server reaches.
GOAL_RATIO: Final = 0.3
# On a disk: the folder for temporary files may be in memory.
FOLDER = Path(__file__).resolve().parents[1] / ".cache"
LIMITS = {
    "RATE_LIMIT_SOURCE": "100000000/minute",
    "RATE_LIMIT_EVENT_BATCHES": "1000000/hour",
    "RATE_LIMIT_REGISTRATIONS": "1000000/hour",
}
PRAGMAS: Final = ("journal_mode = WAL", "synchronous = FULL")


def measure() -> Iterator[Figure]:
    """By wall time, which has the disk in it, and by CPU time."""
    try:
        windows = uvloop.run(_measure())
    except ServerFailed as error:
        raise Unavailable(f"the server did not start: {error}") from None
    wall = [window.wall_share for window in windows]
    cpu = [window.cpu_share for window in windows]
    yield _ratio(
        "punch/server/ratio",
        statistics.median(window.server.per_s for window in windows),
        "punches/s, wall time, 1 process on 1 core",
        statistics.median(wall),
        GOAL_RATIO,
    )
    yield _ratio(
        "punch/server/ratio, CPU time",
        statistics.median(window.server.per_cpu_s for window in windows),
        "punches/s of CPU time, 1 process",
        statistics.median(cpu),
    )
    name = "punch/server/plain sqlite3"
    for unit, rate in (
        ("punches/s, wall time", statistics.median(window.peer.per_s for window in windows)),
        ("punches/s of CPU time", statistics.median(window.peer.per_cpu_s for window in windows)),
    ):
        yield Figure.limited(name if "wall" in unit else f"{name}, CPU time", round(rate, 1), unit)


def _ratio(
    name: str, value: float, unit: str, ratio: float, at_least: float | None = None
) -> Figure:
    ok = at_least is None or ratio >= at_least
    return Figure(name, round(value, 1), unit, PEER, round(ratio, 3), ok=ok, goal_ratio=at_least)


@dataclass(frozen=True)
class Cost:
    """Seconds that so many punches took."""

    punches: int
    wall_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.punches / self.wall_s

    @property
    def per_cpu_s(self) -> float:
        return self.punches / self.cpu_s


@dataclass(frozen=True)
class Window:
    """One round: the same punches into both."""

    server: Cost
    peer: Cost

    @property
    def wall_share(self) -> float:
        return self.server.per_s / self.peer.per_s

    @property
    def cpu_share(self) -> float:
        return self.server.per_cpu_s / self.peer.per_cpu_s


class Device:
    """A terminal's journal, from its first punch on."""

    def __init__(self, d1: str) -> None:
        self.d1 = d1
        self._random = Random(d1)
        self.jid = self._random.randbytes(8).hex()
        self._tail: Any = Tail(self.jid, 0, "")
        self._started_ms = time.time_ns() // 1_000_000 - 86_400_000

    def batch(self, now_ms: int, kid: str) -> Message:
        """The next punches, as a terminal sends them, signed."""
        rows = [self._punch() for _ in range(BATCH)]
        moment = {"BOOT": "1", "UP": str(now_ms - self._started_ms), "CLK": "SYNCED"}
        return signed(
            "events", self.d1, now_ms, kid, JID=self.jid, SEQ_MIN="1", EVENT=rows, **moment
        )

    def _punch(self) -> dict[str, str]:
        up_ms = self._tail.up_ms + self._random.randrange(1, APART_MS)
        credential = f"{self._random.randrange(2**32):08X}"
        time_ms = self._started_ms + up_ms
        row: dict[str, str] = self._tail.punch(credential, "IN", "RFID", True, 1, up_ms, time_ms)
        digest = punch_hash(hashlib.sha256, row)
        self._tail = self._tail.after(digest, 1, up_ms, time_ms)
        del row["JID"]
        return row


class PlainTable:
    """The peer: a database with the server's table of punches alone."""

    def __init__(self, path: Path, source: sqlite3.Connection) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in PRAGMAS:
            self._database.execute(f"PRAGMA {pragma}")
        made = source.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'punches' AND sql IS NOT NULL"
            " ORDER BY type = 'index'"
        )
        for (statement,) in made:
            self._database.execute(statement)

    def insert(self, batches: Sequence[Sequence[tuple[Any, ...]]]) -> Cost:
        """Each batch in a transaction of its own."""
        marks = ",".join("?" * len(batches[0][0]))
        statement = f"INSERT INTO punches VALUES ({marks})"  # noqa: S608
        wall_s, used_s = time.perf_counter(), time.thread_time()
        for rows in batches:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(statement, rows)
            self._database.execute("COMMIT")
        wall_s, used_s = time.perf_counter() - wall_s, time.thread_time() - used_s
        return Cost(sum(map(len, batches)), wall_s, used_s)

    def count(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM punches").fetchone()[0])

    def close(self) -> None:
        self._database.close()


class Bench:
    """A server, its devices, and the peer beside it in the same folder."""

    def __init__(self, keys: RoleKeys, server: ServerProcess, data: Path, load: Load) -> None:
        self._server = server
        self._load = load
        self._kid = key_id(CRYPTO.public_key(keys.server))
        self._devices = [Device(f"bench-{number:05d}") for number in range(DEVICES)]
        self._database = sqlite3.connect(data / "server.sqlite3")
        self.peer = PlainTable(data / "peer.sqlite3", self._database)
        self._core = max(_cores())
        _keep_to(_threads(server.pid), {self._core})

    async def register(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        requests = []
        for device in self._devices:
            form = {"D2": "ESP32_TERMINAL", "D3": public_text(seed_of(device.d1))}
            requests.append(self._http(signed("register", device.d1, now_ms, self._kid, **form)))
        for answer in await self._load.send(requests):
            assert answer.status == 200, answer

    async def window(self, number: int) -> Window:
        """The next batch of each device, stored by the server and then by the peer."""
        now_ms = time.time_ns() // 1_000_000
        requests = [self._http(device.batch(now_ms, self._kid)) for device in self._devices]
        others = _cores() - {self._core} or {self._core}
        with _on(others):
            wall_s, used_s = time.perf_counter(), cpu_s(self._server.pid)
            answers = await self._load.send(requests)
            used_s = cpu_s(self._server.pid) - used_s
            wall_s = time.perf_counter() - wall_s
        _check(answers, (number + 1) * BATCH)
        batches = [self._rows(device, number * BATCH) for device in self._devices]
        with _on({self._core}):
            peer = self.peer.insert(batches)
        return Window(Cost(len(requests) * BATCH, wall_s, used_s), peer)

    def close(self) -> None:
        self.peer.close()
        self._database.close()

    def _rows(self, device: Device, after: int) -> list[tuple[Any, ...]]:
        rows = self._database.execute(
            "SELECT * FROM punches WHERE d1 = ? AND jid = ? AND seq > ? ORDER BY seq",
            (device.d1, device.jid, after),
        ).fetchall()
        assert len(rows) == BATCH, f"{len(rows)} of {BATCH} are stored"
        return rows

    def _http(self, message: Message) -> bytes:
        body = bytes(signing.compose(message, signing.TOON))
        path = f"/api/devices/{message['OP']}"
        return post(path, f"127.0.0.1:{self._server.port}", signing.TOON, body)


async def _measure() -> list[Window]:
    keys = RoleKeys.make()
    async with _bench(keys) as (bench, server, data):
        await bench.register()
        await bench.window(0)  # warms up
        windows = [await bench.window(number + 1) for number in range(ROUNDS)]
        await server.kill()
        punches = (ROUNDS + 1) * DEVICES * BATCH
        assert bench.peer.count() == punches
        _check_stored(data, punches)
    return windows


@asynccontextmanager
async def _bench(keys: RoleKeys) -> AsyncIterator[tuple[Bench, ServerProcess, Path]]:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-punches-", dir=FOLDER) as folder:
        data = Path(folder)
        settings = server_settings(data, keys, REGISTRATION_MODE="open", **LIMITS)
        server = ServerProcess(settings)
        async with server.running(), Load("127.0.0.1", server.port, CONNECTIONS) as load:
            with closing(Bench(keys, server, data, load)) as bench:
                yield bench, server, data


def _check(answers: Sequence[Answer], ack_seq: int) -> None:
    """Every batch accepted whole."""
    assert len(answers) == DEVICES
    for answer in answers:
        assert answer.status == 200, answer
        assert b"S1: ok" in answer.body, answer
        found = signing.parse(answer.body, signing.TOON, len(answer.body))
        assert found["ACK_SEQ"] == str(ack_seq), answer


def _check_stored(data: Path, punches: int) -> None:
    """What a server that was killed has left: every punch that it answered for, in order."""
    with closing(sqlite3.connect(data / "server.sqlite3")) as database:
        stored = database.execute("SELECT count(*) FROM punches WHERE state = 'accepted'")
        assert stored.fetchone()[0] == punches
        findings = database.execute("SELECT count(*) FROM punch_findings")
        assert findings.fetchone()[0] == 0


def _cores() -> set[int]:
    """Those that we may use. Raises Unavailable where processes cannot be kept to one."""
    if not hasattr(os, "sched_getaffinity"):
        raise Unavailable("keeping a process to one core needs Linux")
    return os.sched_getaffinity(0)


def _threads(pid: int) -> list[int]:
    return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]


def _keep_to(threads: Iterable[int], cores: set[int]) -> None:
    for thread in threads:
        os.sched_setaffinity(thread, cores)


@contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    """This thread on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
