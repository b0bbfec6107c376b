"""Updates: what a terminal fetches for one, and how fast the server gives bundles out.

The bytes are those that a model server sent to the real agent in virtual time. Throughput is a
real server's, by its signed links, against Starlette's FileResponse of the same file under the
same uvicorn: each on the same core, in turns, with the client on another.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvloop

from ks_agent import signing, tokens
from ks_simulator.admin import AdminApi
from ks_simulator.application import Release, build, installed_files
from ks_simulator.compiled import compiled_with_names
from ks_simulator.keys import RoleKeys, key_id, public_text
from ks_simulator.packing import WINDOW_BITS
from ks_simulator.server import ServerFailed, ServerProcess, server_settings
from ks_simulator.wear import WornTerminal
from ks_tools.boards import read_boards

from .figure import Figure, Unavailable
from .load import Load, post
from .process import cpu_s
from .samples import CRYPTO, Message, seed_of, signed

BOARD: Final = "esp32_generic"
ARCHITECTURE: Final = "xtensawin"
CHANGED: Final = "ks_agent/punch_upload.py"

LARGE_BYTES: Final = 256 * 1024 * 1024
ROUNDS: Final = 5
D1: Final = "bench-download"
D2: Final = "MOBILE_KIOSK"
PEER: Final = "Starlette's FileResponse"
# On a disk, though it will be in the page cache: the folder for temporary files may be in memory.
FOLDER: Final = Path(__file__).resolve().parents[1] / ".cache"


def measure() -> Iterator[Figure]:
    """Bytes first; they are the same on every machine."""
    yield from _measure_bytes()
    try:
        windows = uvloop.run(_measure_throughput())
    except ServerFailed as error:
        raise Unavailable(f"the server did not start: {error}") from None
    name, unit = "update/server/throughput", "bytes/s"
    for suffix, by_cpu in (("", False), (", CPU time", True)):
        yield Figure.compared(
            name + suffix,
            statistics.median(window.ours.rate(by_cpu) for window in windows),
            unit + (suffix or ", wall time"),
            PEER,
            statistics.median(window.share(by_cpu) for window in windows),
        )


def _measure_bytes() -> Iterator[Figure]:
    first = compiled_with_names(installed_files(), architecture=ARCHITECTURE)
    files = first.files
    next_one = compiled_with_names(_changed(), architecture=ARCHITECTURE, like=first.names)
    old = _release(files, "1.0.0")
    new = _release(next_one.files, "1.1.0")
    whole = new.bundle_bytes()
    fetched = _fetched(old, new)
    plain = build(files, version="1.0.0", counter=1).bundle_bytes()
    yield Figure.limited("update/bundle/bytes", whole, "bytes")
    yield Figure.limited("update/one-file-change/bytes", fetched, "bytes")
    yield Figure.cheaper(
        "update/one-file-change", fetched, "bytes", "the whole bundle", whole / fetched, None
    )
    packed = old.bundle_bytes()
    yield Figure.cheaper(
        "update/packed/ratio", packed, "bytes", "the bundle without packing", plain / packed, None
    )


def _release(files: dict[str, bytes], version: str) -> Release:
    """As `ks release build --bytecode` makes it."""
    return build(files, version=version, counter=1, window_bits=WINDOW_BITS)


def _changed() -> dict[str, bytes]:
    """The firmware with one more statement in a function of one module."""
    files = installed_files()
    before, found, after = files[CHANGED].decode().partition("\n        return ")
    assert found, f"no method of {CHANGED} returns anything"
    statement = "\n        if self is None:\n            raise ValueError(self)"
    return {**files, CHANGED: (before + statement + found + after).encode()}


def _fetched(old: Release, new: Release) -> int:
    """What the server sends of the new release's bundle to a terminal that runs the old one."""
    board = next(board for board in read_boards() if board.name == BOARD)
    terminal = WornTerminal(old, board.vfs, board.data)
    terminal.run(lambda: terminal.server.heartbeats > 0)
    terminal.server.offered = new.signed(terminal.keys.release)
    terminal.run(lambda: terminal.shown.get("update_confirmed", 0) > 0)
    return terminal.server.bytes_sent


@dataclass(frozen=True)
class Cost:
    """Seconds that the large bundle took."""

    wall_s: float
    cpu_s: float

    def rate(self, by_cpu: bool) -> float:
        """Bytes per second."""
        return LARGE_BYTES / (self.cpu_s if by_cpu else self.wall_s)


@dataclass(frozen=True)
class Window:
    """One round: the same file from both."""

    ours: Cost
    peers: Cost

    def share(self, by_cpu: bool) -> float:
        return self.ours.rate(by_cpu) / self.peers.rate(by_cpu)


async def _measure_throughput() -> list[Window]:
    if not hasattr(os, "sched_setaffinity"):
        raise Unavailable("keeping a process to one core needs Linux")
    keys = RoleKeys.make()
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-updates-", dir=FOLDER) as folder:
        settings = server_settings(
            Path(folder), keys, REGISTRATION_MODE="open", BUNDLE_MAX_BYTES=str(2 * LARGE_BYTES)
        )
        server = ServerProcess(settings)
        async with server.running():
            path = await _publish(server, keys)
            (bundle,) = (Path(folder) / "firmware").glob("*.bundle")
            async with _plain_files(bundle) as (peer_pid, peer_port):
                return await _windows((server.pid, server.port, path), (peer_pid, peer_port, "/"))


async def _windows(ours: tuple[int, int, str], peers: tuple[int, int, str]) -> list[Window]:
    cores = os.sched_getaffinity(0)
    core = max(cores)
    for pid, _port, _path in (ours, peers):
        for thread in _threads(pid):
            os.sched_setaffinity(thread, {core})
    os.sched_setaffinity(0, cores - {core} or cores)
    try:
        for target in (ours, peers):
            await asyncio.to_thread(_fetch, *target)  # warms up
        windows = []
        for number in range(ROUNDS):
            order = (ours, peers) if number % 2 else (peers, ours)
            found = {target: await asyncio.to_thread(_fetch, *target) for target in order}
            windows.append(Window(found[ours], found[peers]))
        return windows
    finally:
        os.sched_setaffinity(0, cores)


def _threads(pid: int) -> list[int]:
    return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]


async def _publish(server: ServerProcess, keys: RoleKeys) -> str:
    """Publish a large release; the path of a terminal's link to it."""
    noise = os.urandom(1024 * 1024)
    large = {"large.bin": noise * (LARGE_BYTES // len(noise))}
    release = build(large, version="2.0.0", counter=1, kind="opaque", types=(D2,))
    async with AdminApi.connect(server.url, server.admin_token) as api:
        await api.publish(release.signed(keys.release).assemble())
    kid = key_id(CRYPTO.public_key(keys.server))
    now_ms = time.time_ns() // 1_000_000
    messages = [
        signed("register", D1, now_ms, kid, D2=D2, D3=public_text(seed_of(D1))),
        signed("firmware/check", D1, now_ms, kid, FW2="1.0.0"),
    ]
    async with Load("127.0.0.1", server.port, 1) as load:
        for message in messages:
            (answer,) = await load.send([_http(server, message)])
            assert answer.status == 200, answer
    found = signing.parse(answer.body, signing.TOON, tokens.ANSWER_MAX_BYTES)
    link = urlsplit(found["FW3"])
    return f"{link.path}?{link.query}"


def _http(server: ServerProcess, message: Message) -> bytes:
    body = bytes(signing.compose(message, signing.TOON))
    path = f"/api/devices/{message['OP']}"
    return post(path, f"127.0.0.1:{server.port}", signing.TOON, body)


@asynccontextmanager
async def _plain_files(path: Path) -> AsyncIterator[tuple[int, int]]:
    """The peer's process id and port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.plain_files", str(path), stdout=PIPE
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


def _fetch(pid: int, port: int, path: str) -> Cost:
    """Fetch the whole file from the process and forget it."""
    buffer = bytearray(1024 * 1024)
    used_s, wall_s = cpu_s(pid), time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode("ascii"))
        total = 0
        while count := connection.recv_into(buffer):
            if not total:
                assert buffer.startswith(b"HTTP/1.1 200 "), bytes(buffer[:200])
            total += count
    wall_s, used_s = time.perf_counter() - wall_s, cpu_s(pid) - used_s
    assert total > LARGE_BYTES, total
    return Cost(wall_s, used_s)
