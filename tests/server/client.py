"""A terminal as far as the server can tell, for tests: signs what it sends, checks what it gets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import func, insert, select

from ks_agent import lines, schema, signing, timetext, tokens
from ks_server.context import Context, open_context
from ks_server.crypto import NaclCrypto
from ks_server.db.base import metadata
from ks_server.db.schema import commands, releases, whitelist
from ks_server.device_api import device_app
from ks_server.hooks import EVENTS, Hooks
from ks_server.settings import DAY_MS, FixedSettings

CRYPTO = NaclCrypto()
NOW_MS = 1_800_000_000_000
SERVER_SEED = b"s" * 32
TOON = "text/toon"
LINES = "text/plain"
BASE = "http://server.test"

_counter = itertools.count()


def public_text(seed: bytes) -> str:
    return str(signing.b64(CRYPTO.public_key(seed)))


def kid_of(seed: bytes) -> str:
    return str(signing.key_id(CRYPTO, CRYPTO.public_key(seed)))


def decode(body: bytes, syntax: str) -> dict[str, Any]:
    message: dict[str, Any] = signing.parse(body, syntax, tokens.ANSWER_MAX_BYTES)
    return message


@dataclass
class Clock:
    """The time of everything in a test, moved by hand."""

    ms: int = NOW_MS

    def __call__(self) -> int:
        return self.ms

    def pass_s(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@dataclass
class Answer:
    """What came back; `message` is decoded in the syntax that its Content-Type names."""

    response: httpx.Response
    message: dict[str, Any]

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def code(self) -> str:
        """ERR1, or S1 of an answer that says yes."""
        return str(self.message.get("ERR1") or self.message.get("S1"))

    @property
    def signed(self) -> bool:
        return "SIG_SERV" in self.message


def read(response: httpx.Response) -> Answer:
    syntax = response.headers["content-type"].partition(";")[0]
    assert len(response.content) <= tokens.ANSWER_MAX_BYTES
    assert int(response.headers["content-length"]) == len(response.content)
    assert "transfer-encoding" not in response.headers
    return Answer(response, decode(response.content, syntax))


@dataclass
class Device:
    """Has a key, and counts its nonces so that failures repeat."""

    http: httpx.AsyncClient
    clock: Clock
    d1: str = "dev_1"
    seed: bytes = b"d" * 32
    syntax: str = TOON
    trusted_seed: bytes = SERVER_SEED
    kid: bool = True
    d2: str = "ESP32_TERMINAL"
    base: str = BASE

    def build(self, op: str, **tokens: Any) -> dict[str, Any]:
        """A complete, signed request; a token given as None is left out."""
        message: dict[str, Any] = {
            "D1": self.d1,
            "TS": timetext.format_ms(self.clock()),
            "NONCE": f"nonce_{next(_counter):012d}",
            "OP": op,
        }
        if self.kid:
            message["KID"] = kid_of(self.trusted_seed)
        if op == "register":
            message["D2"] = self.d2
            message["D3"] = public_text(self.seed)
        if op == "heartbeat":
            message |= {"HB1": "hb", "HB2": "60"}
        message |= tokens
        message = {key: value for key, value in message.items() if value is not None}
        if "SIG1" not in message:
            signing.sign_message(CRYPTO, self.seed, message)
        return message

    async def send(self, op: str, message: dict[str, Any]) -> httpx.Response:
        """Send a message as it is."""
        url = f"{self.base}/api/devices/{op}"
        if schema.REQUESTS[op].method == "GET":
            query = {"toon": lines.encode(message).decode("utf-8")}
            return await self.http.get(url, params=query, headers={"Accept": self.syntax})
        body = signing.compose(message, self.syntax)
        return await self.http.post(url, content=body, headers={"Content-Type": self.syntax})

    async def call(self, op: str, **tokens: Any) -> Answer:
        """Send a request and check that a signed answer is the answer to it."""
        message = self.build(op, **tokens)
        answer = read(await self.send(op, message))
        if answer.signed:
            self.check(op, message, answer.message)
        return answer

    def check(self, op: str, message: dict[str, Any], answer: dict[str, Any]) -> None:
        """Signature and binding of PROTOCOL section 2; follows links."""
        trusted = CRYPTO.public_key(self.trusted_seed)
        for link in answer.get("LINK", ()):
            text = signing.link_text(int(link["SEQ"]), link["KEY"])
            signing.verify_text(CRYPTO, trusted, text, link["SIG"])
            trusted = signing.unb64(link["KEY"], 32)
        signing.verify_message(CRYPTO, trusted, answer, "SIG_SERV")
        assert answer["D1"] == message["D1"]
        assert answer["NONCE"] == message["NONCE"]
        assert answer["OP"] == op
        assert answer["RQ"] == signing.request_digest(CRYPTO, message)
        timetext.parse_ms(answer["TS"])
        for row in answer.get("CMD", ()):
            signing.verify_command(CRYPTO, trusted, row)
        if "FW_SIG" in answer:
            signing.verify_release(CRYPTO, trusted, answer)


@dataclass
class Server:
    """A running server without sockets, and what is needed to look inside."""

    context: Context
    http: httpx.AsyncClient
    clock: Clock
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def device(self, **values: Any) -> Device:
        return Device(self.http, self.clock, **values)

    async def registered(self, **values: Any) -> Device:
        """A device on the whitelist that has registered."""
        device = self.device(**values)
        await self.allow(device)
        answer = await device.call("register")
        assert answer.code == "registered", answer.message
        return device

    async def allow(self, device: Device) -> None:
        await self.insert(
            whitelist, d1=device.d1, public_key=public_text(device.seed), created_ms=self.clock()
        )

    async def insert(self, table: Any, **values: Any) -> None:
        await self.execute(insert(table).values(**values))

    async def execute(self, statement: Any) -> None:
        await self.context.writer.run(lambda connection: connection.execute(statement))

    async def rows(self, table: Any) -> list[dict[str, Any]]:
        async with self.context.engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(select(table))).mappings()]

    async def fingerprint(self) -> dict[str, int]:
        """How many rows each table holds."""
        counts = {}
        async with self.context.engine.connect() as connection:
            for name, table in metadata.tables.items():
                query = select(func.count()).select_from(table)
                counts[name] = int((await connection.execute(query)).scalar_one())
        return counts

    async def command(self, cmd2: str, d1: str = "dev_1", **values: Any) -> str:
        """Queue a command; its id."""
        cmd1 = f"{signing.command_prefix(CRYPTO, d1)}-{next(_counter):08d}"
        expires_ms = values.pop("expires_ms", self.clock() + 7 * DAY_MS)
        defaults = {
            "cmd1": cmd1,
            "d1": d1,
            "cmd2": cmd2,
            "cmd4": "NORMAL",
            "cmd5": timetext.format_ms(expires_ms),
            "ts": timetext.format_ms(self.clock()),
            "expires_ms": expires_ms,
            "created_ms": self.clock(),
            "state": "queued",
        }
        await self.insert(commands, **defaults | values)
        return cmd1

    async def release(self, fw1: str, fw2: str, content: bytes = b"bundle", **values: Any) -> None:
        """Publish a release whose bundle has this content."""
        folder = self.context.settings.firmware_folder
        folder.mkdir(exist_ok=True)
        (folder / fw1).write_bytes(content)
        defaults = {
            "fw1": fw1,
            "fw2": fw2,
            "fw4": signing.sha256_hex(CRYPTO, content),
            "fw5": len(content),
            "types": "ESP32_TERMINAL,ESP32_READER",
            "counter": 1,
            "built_ms": self.clock(),
            "expires_ms": self.clock() + DAY_MS,
            "state": "published",
            "path": f"{folder.name}/{fw1}",
            "manifest": "",
            "created_ms": self.clock(),
        }
        await self.insert(releases, **defaults | values)


def settings_in(data: Path, **values: Any) -> FixedSettings:
    """Settings for a test; the source limit is off unless a test is about it."""
    defaults = {
        "data": data,
        "server_private_key": signing.b64(SERVER_SEED),
        "public_url": "https://ks.example",
        "rate_limit_source": "",
    }
    return FixedSettings(**defaults | values)


class running_server:  # noqa: N801 - used like a function
    """`async with running_server(folder, registration_mode="open") as server`."""

    def __init__(self, data: Path, clock: Clock | None = None, **values: Any) -> None:
        self._settings = settings_in(data, **values)
        self._clock = clock or Clock()

    async def __aenter__(self) -> Server:
        hooks = Hooks(self._settings)
        self._opened = open_context(self._settings, hooks=hooks, now_ms=self._clock)
        context = await self._opened.__aenter__()
        transport = httpx.ASGITransport(device_app(context))
        self._http = httpx.AsyncClient(transport=transport, base_url=BASE)
        server = Server(context, self._http, self._clock)
        for name in EVENTS:
            hooks.on(name, lambda name, fields: server.events.append((name, dict(fields))))
        return server

    async def __aexit__(self, *error: Any) -> None:
        await self._http.aclose()
        await self._opened.__aexit__(*error)


__all__ = ("DAY_MS", "Answer", "Clock", "Device", "Server", "read", "running_server")
