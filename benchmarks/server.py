"""Signed heartbeats per second and core that the server accepts durably.

A real server process (uvicorn, SQLite on disk with WAL and synchronous=FULL, its usual log level
and rate limits on) gets finished requests over open connections. Counted is the CPU time of the
whole server process, so the figure is for one core whatever else the machine does. Afterwards the
server is killed, and what it accepted must be in the database.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from ks_agent import signing, tokens
from ks_agent.message import canonical
from ks_simulator.keys import RoleKeys, key_id, public_text
from ks_simulator.server import ServerFailed, ServerProcess, server_settings

from . import peer
from .figure import Figure, Unavailable
from .load import Answer, Load, post
from .process import cpu_s
from .samples import CRYPTO, Message, heartbeat, seed_of, signed

DEVICES = 1000
CONNECTIONS = 64
ROUNDS = 5
WINDOW_REQUESTS = 1500
CHECKED_ANSWERS = 25
# On a disk: the folder for temporary files may be in memory.
FOLDER = Path(__file__).resolve().parents[1] / ".cache"
LIMITS = {
    "RATE_LIMIT_SOURCE": "100000000/minute",
    "RATE_LIMIT_HEARTBEATS": "1000000/hour",
    "RATE_LIMIT_REGISTRATIONS": "1000000/hour",
    "RATE_LIMIT_REPEATED_REGISTRATIONS": "1000000/hour",
}


def measure() -> Iterator[Figure]:
    """As a share of what PyNaCl alone does: the verification and the signature it takes."""
    try:
        windows = uvloop.run(_measure())
    except ServerFailed as error:
        raise Unavailable(f"the server did not start: {error}") from None
    yield Figure.compared(
        "server/heartbeats",
        statistics.median(window.heartbeats_per_cpu_s for window in windows),
        "heartbeats/s per core",
        peer.NAME,
        statistics.median(window.share for window in windows),
    )


@dataclass(frozen=True)
class Window:
    """One round: the server's rate between two measurements of the peer."""

    heartbeats_per_cpu_s: float
    peer_per_cpu_s: float

    @property
    def share(self) -> float:
        return self.heartbeats_per_cpu_s / self.peer_per_cpu_s


async def _measure() -> list[Window]:
    keys = RoleKeys.make()
    async with _server(keys) as (server, data):
        kid = key_id(CRYPTO.public_key(keys.server))
        async with Load("127.0.0.1", server.port, CONNECTIONS) as load:
            await _register(load, server, kid)
            await _window(load, server, keys, kid)  # warms up
            windows = [await _window(load, server, keys, kid) for _ in range(ROUNDS)]
        await server.kill()
        _check_stored(data, (ROUNDS + 1) * WINDOW_REQUESTS)
    return windows


@asynccontextmanager
async def _server(keys: RoleKeys) -> AsyncIterator[tuple[ServerProcess, Path]]:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-server-", dir=FOLDER) as folder:
        data = Path(folder)
        settings = server_settings(data, keys, REGISTRATION_MODE="open", **LIMITS)
        server = ServerProcess(settings)
        async with server.running():
            yield server, data


async def _register(load: Load, server: ServerProcess, kid: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    requests = []
    for d1 in _ids():
        form = {"D2": "ESP32_TERMINAL", "D3": public_text(seed_of(d1))}
        requests.append(_http(server, signed("register", d1, now_ms, kid, **form)))
    for answer in await load.send(requests):
        assert answer.status == 200, answer


async def _window(load: Load, server: ServerProcess, keys: RoleKeys, kid: str) -> Window:
    now_ms = time.time_ns() // 1_000_000
    ids = _ids()
    messages = [heartbeat(ids[n % DEVICES], now_ms, kid, n) for n in range(WINDOW_REQUESTS)]
    requests = [_http(server, message) for message in messages]
    alone = peer.SignatureRate(canonical(messages[0]), b"a" * 220)
    before = alone.measure()
    used_s = cpu_s(server.pid)
    answers = await load.send(requests)
    used_s = cpu_s(server.pid) - used_s
    after = alone.measure()
    _check_answers(messages, answers, CRYPTO.public_key(keys.server))
    return Window(len(answers) / used_s, (before + after) / 2)


def _ids() -> list[str]:
    return [f"bench-{number:05d}" for number in range(DEVICES)]


def _http(server: ServerProcess, message: Message) -> bytes:
    body = bytes(signing.compose(message, signing.TOON))
    path = f"/api/devices/{message['OP']}"
    return post(path, f"127.0.0.1:{server.port}", signing.TOON, body)


def _check_answers(messages: Sequence[Message], answers: Sequence[Answer], public: bytes) -> None:
    """Every heartbeat accepted; of some, whether the answer is signed and bound."""
    assert len(answers) == len(messages)
    for answer in answers:
        assert answer.status == 200, answer
        assert b"S1: ok" in answer.body, answer
    step = max(1, len(messages) // CHECKED_ANSWERS)
    for message, answer in zip(messages[::step], answers[::step], strict=True):
        found = signing.parse(answer.body, signing.TOON, tokens.ANSWER_MAX_BYTES)
        signing.verify_message(CRYPTO, public, found, "SIG_SERV")
        assert found["RQ"] == signing.request_digest(CRYPTO, message)


def _check_stored(data: Path, accepted: int) -> None:
    connection = sqlite3.connect(data / "server.sqlite3")
    try:
        for table in ("heartbeats", "raw_messages WHERE op = 'heartbeat'"):
            stored = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            assert stored == accepted, f"{stored} of {accepted} in {table}"
    finally:
        connection.close()
