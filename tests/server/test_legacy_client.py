"""A client of the deployed KS Attendance system must just work.

`LegacyClient` is written from the description of those clients alone and shares no code with this
project: token lines over text/plain, whole seconds, no OP, KID, HB7, ACK3 or ACK4, one pinned
server key, commands verified over CMD1-CMD5 and TS, downloads from FW3 without a signature.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from ks_server.context import system_now_ms
from ks_server.db.schema import whitelist
from ks_server.run import running
from tests.server.client import SERVER_SEED, Clock, Server, settings_in

UNSIGNED = ("SIG1", "SIG_SERV", "FW_SIG")


def escape(text: str) -> str:
    return text.replace("%", "%25").replace("|", "%7C").replace("\n", "%0A").replace("\r", "%0D")


def unescape(text: str) -> str:
    return urllib.parse.unquote(text)


def line(tokens: dict[str, str]) -> str:
    return "|".join(f"{key}:{escape(tokens[key])}" for key in sorted(tokens))


@dataclass
class LegacyClient:
    """One terminal of the older kind."""

    base: str
    d1: str
    pinned: VerifyKey
    key: SigningKey = field(default_factory=SigningKey.generate)
    installed: str = "1.0.0"
    done: list[str] = field(default_factory=list)

    def request(self, method: str, path: str, tokens: dict[str, str]) -> dict[str, str]:
        tokens = dict(tokens)
        tokens["D1"] = self.d1
        tokens["TS"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        tokens["NONCE"] = secrets.token_hex(16)
        signature = self.key.sign(line(tokens).encode()).signature
        tokens["SIG1"] = base64.b64encode(signature).decode()
        url = f"{self.base}/api/devices/{path}"
        body = None
        if method == "GET":
            url += "?" + urllib.parse.urlencode({"toon": line(tokens)})
        else:
            body = (line(tokens) + "\n").encode()
        request = urllib.request.Request(url, body, {"Content-Type": "text/plain"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            answer = error.read()
        return self.read(answer.decode(), tokens["NONCE"])

    def read(self, text: str, nonce: str) -> dict[str, str]:
        """Each answer is a line; one with SIG_SERV must be signed by the pinned key."""
        answer = {}
        for token in text.rstrip("\n").split("|"):
            key, _, value = token.partition(":")
            answer[key] = unescape(value)
        signed = line({key: value for key, value in answer.items() if key not in UNSIGNED})
        self.pinned.verify(signed.encode(), base64.b64decode(answer["SIG_SERV"]))
        assert answer["NONCE"] == nonce
        return answer

    def start(self, **extra: str) -> dict[str, str]:
        """Register, as at each start."""
        public = base64.b64encode(bytes(self.key.verify_key)).decode()
        tokens = {"D2": "FINGERPRINT_TERMINAL", "D3": public, "D4": "KS", "D5": "FT-1"}
        return self.request("POST", "register", tokens | extra)

    def heartbeat(self, label: str) -> dict[str, str]:
        tokens = {"HB1": label, "HB2": "3600", "HB3": "48.5", "HB4": "51.2", "HB6": "ONLINE"}
        return self.request("POST", "heartbeat", tokens)

    def poll(self) -> list[dict[str, str]]:
        """The commands, each verified over CMD1 to CMD5 and TS alone."""
        answer = self.request("GET", "commands", {})
        if answer.get("S1") == "no_commands":
            return []
        commands = []
        for index in range(int(answer["CMD_COUNT"])):
            prefix = f"CMD[{index}]."
            row = {k.removeprefix(prefix): v for k, v in answer.items() if k.startswith(prefix)}
            wanted = ("CMD1", "CMD2", "CMD3", "CMD4", "CMD5", "TS")
            signed = line({key: row[key] for key in wanted if key in row})
            self.pinned.verify(signed.encode(), base64.b64decode(row["SIG_SERV"]))
            commands.append(row)
        return commands

    def acknowledge(self, command: dict[str, str]) -> dict[str, str]:
        self.done.append(command["CMD1"])
        return self.request("POST", "command-ack", {"CMD1": command["CMD1"], "ACK1": "OK"})

    def check(self) -> dict[str, str]:
        return self.request("POST", "firmware/check", {"FW2": self.installed})

    def download(self, answer: dict[str, str]) -> bytes:
        """By FW3 as it is, without signing anything."""
        with urllib.request.urlopen(answer["FW3"], timeout=10) as response:
            bundle: bytes = response.read()
            signature = response.headers["X-Firmware-Signature"]
        assert hashlib.sha256(bundle).hexdigest() == answer["FW4"]
        assert str(len(bundle)) == answer["FW5"]
        signed = line({key: answer[key] for key in ("FW1", "FW2", "FW4", "FW5")})
        for text in (answer["FW_SIG"], signature):
            self.pinned.verify(signed.encode(), base64.b64decode(text))
        return bundle


@dataclass
class Site:
    """A server on a socket, and a way to look inside."""

    base: str
    server: Server

    def client(self, d1: str = "legacy-7", **values: Any) -> LegacyClient:
        pinned = SigningKey(SERVER_SEED).verify_key
        return LegacyClient(self.base, d1, values.pop("pinned", pinned), **values)

    async def allow(self, client: LegacyClient) -> None:
        public = base64.b64encode(bytes(client.key.verify_key)).decode()
        await self.server.insert(whitelist, d1=client.d1, public_key=public, created_ms=0)


@asynccontextmanager
async def serving(data: Path, **values: Any) -> AsyncIterator[Site]:
    """The whole application under uvicorn, on a free port."""
    settings = settings_in(data, port=0, public_url="", **values)
    async with running(settings) as listening, httpx.AsyncClient() as http:
        yield Site(listening.url, Server(listening.context, http, Clock(system_now_ms())))


@pytest.fixture
async def site(data_folder: Path) -> AsyncIterator[Site]:
    async with serving(data_folder) as site:
        yield site


async def test_a_day_in_the_life_of_a_legacy_terminal(site: Site) -> None:
    client = site.client()
    await site.allow(client)
    do = asyncio.to_thread

    answer = await do(client.start)
    assert (answer["S1"], answer["O1"]) == ("registered", "default")
    assert int(answer["RTO"]) > 0
    # the same label twice within a second
    for _ in range(2):
        answer = await do(client.heartbeat, "HB-2026")
        assert (answer["S1"], answer["PENDING_CMDS"]) == ("ok", "0")

    cmd1 = await site.server.command(
        "FETCH_LOGS", d1=client.d1, cmd3="LEVEL:INFO|SINCE:2026-11-20T10:00:00Z", cmd4="HIGH"
    )
    answer = await do(client.heartbeat, "HB-2026")
    assert (answer["PENDING_CMDS"], answer["CMD_IDS"]) == ("1", cmd1)
    (command,) = await do(client.poll)
    assert command["CMD3"] == "LEVEL:INFO|SINCE:2026-11-20T10:00:00Z"
    logs = {"LOG1": "up-1", "LOG2": "INFO", "LOG3": "all well", "CMD1": cmd1}
    assert (await do(client.request, "POST", "logs", logs))["LOG1"] == "up-1"
    assert (await do(client.acknowledge, command))["S1"] == "ok"
    assert (await do(client.acknowledge, command))["S1"] == "ok"
    assert await do(client.poll) == []

    assert (await do(client.check))["S1"] == "no_update"
    bundle = secrets.token_bytes(200_000)
    await site.server.release("rel-2", "1.1.0", bundle, types="FINGERPRINT_TERMINAL")
    answer = await do(client.check)
    assert (answer["S1"], answer["FW2"]) == ("update_available", "1.1.0")
    assert await do(client.download, answer) == bundle
    done = {"FW1": "rel-2", "FW2": "1.1.0", "ACK1": "OK", "ACK2": "installed"}
    assert (await do(client.request, "POST", "firmware/ack", done))["S1"] == "ok"
    client.installed = "1.1.0"

    # the next start registers again
    assert (await do(client.start, OTRT="long used up"))["S1"] == "registered"
    assert (await do(client.check))["S1"] == "no_update"


async def test_a_legacy_terminal_can_read_a_refusal(site: Site) -> None:
    client = site.client("legacy-8")
    answer = await asyncio.to_thread(client.start)
    assert answer["ERR1"] == "UNAUTHORIZED"
    assert answer["ERR2"]


async def test_a_legacy_terminal_keeps_its_pinned_key_when_the_server_changes_its_own(
    data_folder: Path,
) -> None:
    old = SigningKey.generate()
    new = SigningKey.generate()
    old_text, new_text = (base64.b64encode(bytes(key)).decode() for key in (old, new))
    async with serving(data_folder, server_private_key=old_text) as site:
        client = site.client(pinned=old.verify_key)
        await site.allow(client)
        await asyncio.to_thread(client.start)
    async with serving(
        data_folder,
        server_private_key=new_text,
        server_previous_private_keys=old_text,
        legacy_key_window_days=1,
    ) as site:
        client.base = site.base
        assert (await asyncio.to_thread(client.start))["S1"] == "registered"
        assert (await asyncio.to_thread(client.heartbeat, "HB"))["S1"] == "ok"
        await site.server.command("IDENTIFY", d1=client.d1)
        assert len(await asyncio.to_thread(client.poll)) == 1
    async with serving(
        data_folder,
        server_private_key=new_text,
        server_previous_private_keys=old_text,
        legacy_key_window_days=0,
    ) as site:
        client.base = site.base
        with pytest.raises(BadSignatureError):
            await asyncio.to_thread(client.heartbeat, "HB")


async def test_errors_before_the_application_are_messages_too(site: Site) -> None:
    """Over a real socket: a long body with the connection kept, and no body at all."""

    def talk() -> list[tuple[int, str]]:
        found = []
        for path, body in (("heartbeat", b"x" * 100_000), ("heartbeat", b""), ("nothing", b"x")):
            request = urllib.request.Request(f"{site.base}/api/devices/{path}", body)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=10)
            error = caught.value
            found.append((error.code, error.read().decode()))
            assert error.headers["Content-Length"]
            error.close()
        return found

    found = await asyncio.to_thread(talk)
    assert [status for status, _ in found] == [413, 400, 404]
    assert all(text.startswith("ERR1:") for _, text in found), json.dumps(found)
