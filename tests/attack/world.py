"""The real server and the real agent, joined by a wire that is in the attacker's hands.

The server is `create_app` on a clock of the test's, without sockets. The terminal is the agent with
the simulator's ports in memory; stage 0 picks its slot. Between them stands `Wire.meddle`.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx
import stage0

from ks_agent import lines, signing
from ks_agent.agent import Agent
from ks_agent.effects import Response
from ks_agent.errors import PeerError
from ks_agent.ports import Ports
from ks_driver.build import built_ms
from ks_server.app import Application, create_app
from ks_server.db.schema import metadata
from ks_server.settings import FixedSettings
from ks_simulator.application import DAY_MS, Release, build
from ks_simulator.keys import TrustedKey, trusted_keys
from ks_simulator.memory import MemoryFs, MemoryVault
from ks_simulator.provision import provision
from tests.server.client import BASE, CRYPTO, SERVER_SEED, Clock, Server, public_text, settings_in

RELEASE_SEED = b"r" * 32
ADMIN_SEEDS = (b"a" * 32, b"b" * 32)
STRANGER_SEED = b"x" * 32
ADMIN_TOKEN = "a-token-of-the-administrators"
ROUND_TRIP_MS = 40
UNLIMITED = (
    "heartbeats",
    "firmware_checks",
    "command_polls",
    "log_uploads",
    "event_batches",
    "registrations",
    "repeated_registrations",
    "acknowledgements",
    "downloads",
    "rotations",
    "time",
)

_names = itertools.count(1)

Forward = Callable[[Any], Awaitable[Response]]
Meddle = Callable[[Any, Forward], Awaitable[Response]]


def world_settings(data: Path, **values: Any) -> FixedSettings:
    """Settings with every role's keys and no rate limits; a test that is about one sets it."""
    defaults = {f"rate_limit_{name}": "" for name in UNLIMITED} | {
        "admin_token": ADMIN_TOKEN,
        "admin_public_keys": ",".join(public_text(seed) for seed in ADMIN_SEEDS),
        "release_public_keys": public_text(RELEASE_SEED),
        "public_url": BASE,
    }
    return settings_in(data, **defaults | values)


@dataclass
class World(Server):
    """A running server, with the administrator's API beside the devices'."""

    app: Application = field(kw_only=True)

    admin_headers: ClassVar = {"Authorization": f"Bearer {ADMIN_TOKEN}"}

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        """The administrator's answer: its JSON, `error` included."""
        url = f"{BASE}/api/admin{path}"
        answer = await self.http.request(method, url, json=body, headers=self.admin_headers)
        return answer.json() if answer.content else None

    async def publish(self, release: Release) -> None:
        """Upload a bundle, sign it with the server's key, publish it."""
        url = f"{BASE}/api/admin/releases"
        data = release.assemble()
        answer = await self.http.post(url, content=data, headers=self.admin_headers)
        assert answer.status_code == 201, answer.text
        for step in ("sign", "publish"):
            url = f"{BASE}/api/admin/releases/{release.token('FW1')}/{step}"
            answer = await self.http.post(url, headers=self.admin_headers)
            assert answer.status_code == 200, answer.text

    def names(self) -> dict[str, Any]:
        """An id and a key that no device of this server has yet."""
        number = next(_names)
        return {"d1": f"dev-{number}", "seed": hashlib.sha256(b"%d" % number).digest()}

    async def terminal(self, **values: Any) -> Terminal:
        """A new provisioned terminal that the server expects; not booted yet."""
        names = self.names()
        await self.allow(self.device(**names))
        return Terminal(self.http, self.clock, **names | values)

    async def living(self, **values: Any) -> Terminal:
        """A new registered terminal after its first heartbeat."""
        terminal = await self.terminal(**values)
        terminal.boot()
        await terminal.run(lambda: "heartbeat" in terminal.events())
        return terminal

    async def contents(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table, but for the mark of the clock."""
        tables = [table for name, table in metadata.tables.items() if name != "fence"]
        return {table.name: await self.rows(table) for table in tables}


class opened:  # noqa: N801 - used like a function
    """`async with opened(folder, clock) as world`; the same folder again is a restart."""

    def __init__(self, data: Path, clock: Clock, **values: Any) -> None:
        self._settings = world_settings(data, **values)
        self._clock = clock

    async def __aenter__(self) -> World:
        app = create_app(self._settings, now_ms=self._clock)
        self._running = app.running()
        context = await self._running.__aenter__()
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)
        return World(context, self._http, self._clock, app=app)

    async def __aexit__(self, *error: Any) -> None:
        await self._http.aclose()
        await self._running.__aexit__(*error)


class Wire:
    """Carries what the terminal asks. `meddle(effect, forward)` answers instead, if it is set."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.meddle: Meddle | None = None
        self.asked: list[Any] = []
        self.answered: list[Response] = []

    async def carry(self, effect: Any) -> Response:
        self.asked.append(effect)
        meddle = self.meddle
        response = await (self.forward(effect) if meddle is None else meddle(effect, self.forward))
        self.answered.append(response)
        return response

    async def forward(self, effect: Any) -> Response:
        """What an honest network does, and the driver's limits with it."""
        answer = await self._http.request(
            effect.method, effect.url, headers=effect.headers, content=effect.body
        )
        if len(answer.content) > effect.max_bytes:
            raise OSError("the answer is too long")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return deliver(effect, answer.status_code, headers, answer.content)


def deliver(effect: Any, status: int, headers: dict[str, str], body: bytes) -> Response:
    """The Response to an effect; a download's body goes to its sink in pieces."""
    if effect.kind == "fetch":
        return Response(status, headers, body)
    if status in (200, 206):
        for start in range(0, len(body), 700):
            effect.sink(memoryview(body)[start : start + 700])
    return Response(status, headers, b"")


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

    def random_bytes(self, count: int) -> bytes:
        self.count += 1
        seed = f"{self._name}/{self.count}".encode()
        return hashlib.shake_256(seed).digest(count)


class _Partition:
    def __init__(self, running: str) -> None:
        self.running = running


class _Board:
    def __init__(self) -> None:
        self.shown: list[tuple[str, dict[str, Any]]] = []

    def temperature_c(self) -> str:
        return "41.5"

    def memory_used_bytes(self) -> int:
        return 98_304

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


def op_of(effect: Any) -> str:
    """The operation that a fetch calls; "" for a bundle's range."""
    path = str(effect.url).partition("?")[0].partition("/api/devices/")[2]
    return "" if "token=" in effect.url else path


def message_of(effect: Any) -> dict[str, Any]:
    """The request in a fetch."""
    if effect.body is not None:
        message: dict[str, Any] = signing.parse(effect.body, "text/toon", 65536, 4096)
        return message
    query = httpx.URL(effect.url).params["toon"]
    asked: dict[str, Any] = lines.decode(query.encode(), 16384)
    return asked


def answer_of(response: Response) -> dict[str, Any]:
    """The answer in a response."""
    message: dict[str, Any] = signing.parse(response.body, "text/toon", 65536, 4096)
    return message


def as_response(message: dict[str, Any], status: int = 200) -> Response:
    """A TOON answer, signed or not."""
    body = signing.compose(message, "text/toon")
    return Response(status, {"content-type": "text/toon"}, body)


def always(response: Response) -> Meddle:
    """Answer everything with this."""

    async def meddle(effect: Any, forward: Forward) -> Response:
        return response

    return meddle


def only(op: str, change: Callable[[Response], Response | Awaitable[Response]]) -> Meddle:
    """Meddle with the answers to one operation and let all others through."""

    async def meddle(effect: Any, forward: Forward) -> Response:
        response = await forward(effect)
        if op_of(effect) != op:
            return response
        changed = change(response)
        return changed if isinstance(changed, Response) else await changed

    return meddle


@dataclass
class RawAnswer:
    """An answer as it left the application."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def raw(
    app: Any,
    method: str,
    path: str,
    *,
    query: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    pieces: Sequence[bytes] = (b"",),
    source: str = "192.0.2.7",
) -> RawAnswer:
    """One ASGI request, with nothing between the test and the application that tidies it up."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "client": (source, 40000),
        "server": ("server.test", 80),
    }
    waiting = list(pieces)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    async def send(event: Any) -> None:
        sent.append(event)

    await app(scope, receive, send)
    body = io.BytesIO()
    for event in sent[1:]:
        body.write(event.get("body", b""))
    return RawAnswer(sent[0]["status"], dict(sent[0]["headers"]), body.getvalue())
