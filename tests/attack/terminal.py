"""The real agent with the simulator's ports in memory; stage 0 picks its slot."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import stage0

from ks_agent.agent import Agent
from ks_agent.effects import Response
from ks_agent.errors import PeerError
from ks_agent.ports import Ports
from ks_driver.build import built_ms
from ks_driver.inflate import Inflater
from ks_simulator.application import DAY_MS, Release, build
from ks_simulator.keys import TrustedKey, trusted_keys
from ks_simulator.memory import MemoryFs, MemoryVault
from ks_simulator.provision import provision
from tests.attack.wire import Wire, always
from tests.server.client import BASE, CRYPTO, SERVER_SEED, Clock

RELEASE_SEED = b"r" * 32
ADMIN_SEEDS = (b"a" * 32, b"b" * 32)
STRANGER_SEED = b"x" * 32
ROUND_TRIP_MS = 40


class _Ticks:
    def __init__(self, clock: Clock, build_ms: int) -> None:
        self._clock = clock
        self._start_ms = clock.ms
        self.build_ms = build_ms

    def ticks_ms(self) -> int:
        return self._clock.ms - self._start_ms


@dataclass
class WrongClock(Clock):
    """A server's clock that is wrong by `wrong_ms`; time itself, `ms`, goes on as ever."""

    wrong_ms: int = 0

    def __call__(self) -> int:
        return self.ms + self.wrong_ms


class _Rng:
    """Not random, so that a failure repeats."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.count = 0

    def is_ready(self) -> bool:
        return True

    def random_bytes(self, count: int) -> bytes:
        self.count += 1
        seed = f"{self._name}/{self.count}".encode()
        return hashlib.shake_256(seed).digest(count)


class _Partition:
    stage0 = 1
    images = None

    def __init__(self, running: str) -> None:
        self.running = running


class _Board:
    name: str | None = None

    def __init__(self) -> None:
        self.shown: list[tuple[str, dict[str, Any]]] = []

    def temperature_c(self) -> str:
        return "41.5"

    def memory_used_bytes(self) -> int:
        return 98_304

    def memory_free_bytes(self) -> int | None:
        return None

    def reader_ok(self) -> bool:
        return True

    def inflate(self, file: Any, window_bits: int) -> Any:
        return Inflater(file, window_bits)

    def unload(self, names: Any) -> None:
        """Code is shared: nothing to let go."""

    def show(self, event: str, detail: dict[str, Any]) -> None:
        self.shown.append((event, dict(detail)))


def application(version: str = "1.0.0", counter: int = 1, **values: Any) -> Release:
    """A signed release of a small application."""
    files = {
        "main.py": f"version = {version!r}\n".encode(),
        "empty.py": b"",
        "lib/x.py": b"#" * 999,
    }
    seed = values.pop("seed", RELEASE_SEED)
    built = {"built_ms": Clock().ms - 100 * DAY_MS, "expires_ms": Clock().ms + 300 * DAY_MS}
    return build(files, version=version, counter=counter, **built | values).signed(seed)


def trust(servers: Sequence[bytes] = (SERVER_SEED,)) -> list[TrustedKey]:
    """What the factory pins; of the server's keys only the newest is kept by a terminal."""
    return trusted_keys(servers, [RELEASE_SEED], ADMIN_SEEDS)


class Terminal:
    """The agent on ports in memory. `boot` gives it power, `run` lets it live."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        clock: Clock,
        d1: str,
        seed: bytes,
        trusted: Sequence[TrustedKey] = (),
        **factory: str,
    ) -> None:
        self.wire = Wire(http)
        self.clock = clock
        self.d1 = d1
        self.seed = seed
        self.fs = MemoryFs()
        self.vault = MemoryVault()
        self.vault.set("key", seed)
        provision(self.fs, d1, BASE, list(trusted) or trust(), application(), **factory)
        self.rng = _Rng(d1)
        self.board = _Board()
        self.restarts: list[str] = []
        self.slept_ms = 0

    def boot(self) -> None:
        """Power on: what runs is what stage 0 chooses; a running life is cut off."""
        slot = stage0.choose(self.fs, hashlib.sha256)
        self.board = _Board()
        ports = Ports(
            _Ticks(self.clock, built_ms(self.fs, slot)),
            self.rng,
            self.fs,
            self.vault,
            _Partition(slot),
            CRYPTO,
            self.board,
        )
        self.slot = slot
        self.agent = Agent(ports)
        self._life = self.agent.run()
        self._result: Response | None = None
        self._failure: Exception | None = None

    async def step(self) -> str | None:
        """One effect: its kind, or None at the end of the life."""
        result, failure = self._result, self._failure
        self._result = self._failure = None
        try:
            effect = self._life.throw(failure) if failure else self._life.send(result)
        except StopIteration:
            return None
        if effect.kind == "sleep":
            self.clock.ms += effect.ms
            self.slept_ms = effect.ms
        elif effect.kind == "restart":
            self.restarts.append(effect.reason)
            self._life.close()
            self.boot()
        else:
            self.clock.ms += ROUND_TRIP_MS
            try:
                self._result = await self.wire.carry(effect)
            except Exception as error:
                self._failure = error
        return str(effect.kind)

    async def run(self, until: Callable[[], bool], limit: int = 200) -> None:
        """Live until the condition holds; an AssertionError when it does not come to that."""
        for _ in range(limit):
            if until():
                return
            if await self.step() is None:
                assert until(), "dormant"
                return
        raise AssertionError(f"it never happened: {self.board.shown[-12:]}")

    async def cycle(self) -> None:
        """Until the terminal goes to sleep again."""
        while await self.step() not in ("sleep", None):
            pass

    async def call(
        self, op: str, fields: dict[str, Any] | None = None, seal: Any = None
    ) -> dict[str, Any]:
        """One exchange of this terminal's, with what it believes or raises."""
        exchange = self.agent.exchange.call(op, fields or {}, None, seal)
        result: Response | None = None
        failure: Exception | None = None
        while True:
            try:
                effect = exchange.throw(failure) if failure else exchange.send(result)
            except StopIteration as end:
                answer: dict[str, Any] = end.value
                return answer
            result = failure = None
            self.clock.ms += ROUND_TRIP_MS
            try:
                result = await self.wire.carry(effect)
            except OSError as error:
                failure = error

    async def ask_again(
        self, op: str, fields: dict[str, Any], seal: Any, answers: Iterable[Response]
    ) -> AsyncIterator[PeerError | None]:
        """The very same request for each of the answers: what the terminal made of it."""
        moment, drawn = self.clock.ms, self.rng.count
        for answer in answers:
            self.clock.ms, self.rng.count = moment, drawn
            self.wire.meddle = always(answer)
            try:
                await self.call(op, fields, seal)
                yield None
            except PeerError as error:
                yield error
        self.wire.meddle = None

    def events(self) -> list[str]:
        """What the board has shown since the last boot."""
        return [event for event, _ in self.board.shown]

    def details(self, event: str) -> list[dict[str, Any]]:
        return [detail for name, detail in self.board.shown if name == event]

    def acknowledged(self) -> dict[str, str]:
        """CMD1 -> ACK1 and ACK2 of every command that this boot has acknowledged."""
        shown = self.details("acknowledged")
        return {one["CMD1"]: f"{one['ACK1']} {one['ACK2']}".strip() for one in shown}

    @property
    def state(self) -> str:
        return str(self.agent.identity.state)

    def flash(self) -> dict[str, bytes]:
        """Every file by its path."""
        found: dict[str, bytes] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            for name in self.fs.listdir(folder):
                path = f"{folder}/{name}" if folder else name
                if self.fs.is_dir(path):
                    folders.append(path)
                else:
                    with self.fs.open(path, "rb") as file:
                        found[path] = file.read()
        return found
