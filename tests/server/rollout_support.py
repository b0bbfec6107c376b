"""A server with both of its APIs, and a fleet that answers as it is told to."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert

from ks_server.admin import create_admin
from ks_server.db.schema import devices
from ks_server.housekeeping import Housekeeping
from ks_server.repository.devices import ACTIVE
from tests.server.client import Clock, Device, Server, public_text, running_server

TOKEN = "a-token-of-the-administrators"
OLD, NEW = "1.0.0", "1.2.0"
FW1 = "rel-2"
CONTENT = bytes(range(256)) * 40


class Terminal(Device):
    """A device that answers rollouts as it is told to."""

    async def is_told(self, **tokens: Any) -> bool:
        """Whether a heartbeat is answered that an update waits."""
        answer = await self.call("heartbeat", **{"FW2": OLD, **tokens})
        assert answer.code == "ok", answer.message
        return bool(answer.message["FW_AVAILABLE"] == "true")

    async def ask(self, **tokens: Any) -> dict[str, Any]:
        return (await self.call("firmware/check", **{"FW2": OLD, **tokens})).message

    async def is_offered(self, fw1: str = FW1) -> bool:
        """Whether it gets this release; no other."""
        message = await self.ask()
        assert message.get("FW1") in (None, fw1)
        return "FW1" in message

    async def fetch(self, message: dict[str, Any]) -> int:
        """Follow the offer's link; the status."""
        path = message["FW3"].removeprefix("https://ks.example")
        return (await self.http.get(path)).status_code

    async def ack(self, ack1: str, ack2: str | None = None, fw1: str = FW1) -> None:
        tokens = {"FW1": fw1, "FW2": NEW, "ACK1": ack1, "ACK2": ack2}
        assert (await self.call("firmware/ack", **tokens)).code == "ok"

    async def fail(self, ack2: str = "ROLLED_BACK crash") -> None:
        """An attempt that does not end well."""
        assert await self.is_offered()
        await self.ack("ERROR", ack2)

    async def succeed(self) -> None:
        assert await self.is_offered()
        await self.ack("OK", "confirmed")


@dataclass
class Desk:
    """The admin API's rollouts on a server with devices."""

    server: Server
    admin: httpx.AsyncClient
    clock: Clock

    async def call(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        answer = await self.admin.request(method, "/api/admin" + path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, body: Any = None) -> tuple[str, str]:
        """Code and message."""
        answer = await self.admin.request(method, "/api/admin" + path, json=body)
        assert answer.is_error, answer.text
        error = answer.json()["error"]
        return error["code"], str(error["message"]) + str(error.get("fields", ""))

    async def draft(self, fw1: str = FW1, **values: Any) -> int:
        """A rollout to everybody at once, which few devices allow; its number."""
        form = {"fw1": fw1, "phases": [100], "soak_s": 60, **values}
        made = await self.call("POST", "/rollouts", form, status=201)
        assert made["state"] == "draft"
        return int(made["id"])

    async def start(self, fw1: str = FW1, **values: Any) -> int:
        number = await self.draft(fw1, **values)
        assert (await self.step(number, "start"))["state"] == "running"
        return number

    async def step(self, number: int, step: str) -> Any:
        return await self.call("POST", f"/rollouts/{number}/{step}")

    async def view(self, number: int) -> Any:
        return await self.call("GET", f"/rollouts/{number}")

    async def counts(self, number: int) -> dict[str, int]:
        """The states that any device is in."""
        view = await self.view(number)
        return {name: count for name, count in view["counts"].items() if count}

    async def device(self, number: int, d1: str) -> Any:
        page = await self.call("GET", f"/rollouts/{number}/devices?limit=200")
        [found] = [item for item in page["items"] if item["d1"] == d1]
        return found

    def terminal(self, **values: Any) -> Terminal:
        return Terminal(self.server.http, self.clock, **values)

    async def fleet(self, count: int, **values: Any) -> list[Terminal]:
        """Registered devices that have reported to run OLD."""
        fleet = [
            self.terminal(d1=f"dev_{number:04d}", seed=hashlib.sha256(b"%d" % number).digest())
            for number in range(count)
        ]
        await self.server.execute(
            insert(devices).values([self._row(device) | values for device in fleet])
        )
        return fleet

    async def all_offered(self, fleet: list[Terminal]) -> set[str]:
        """D1 of the devices whose check says yes."""
        answers = await asyncio.gather(*(device.is_offered() for device in fleet))
        return {device.d1 for device, yes in zip(fleet, answers, strict=True) if yes}

    async def is_open(self, number: int, d1: str) -> bool:
        """Whether the open phase has the device in it."""
        return bool((await self.device(number, d1))["in_phase"])

    async def add(self, device: Terminal, **values: Any) -> Terminal:
        await self.server.execute(insert(devices).values(self._row(device) | values))
        return device

    def _row(self, device: Device) -> dict[str, Any]:
        return {
            "d1": device.d1, "public_key": public_text(device.seed), "d2": device.d2,
            "state": ACTIVE, "server_seq": 1, "registered_ms": self.clock(),
            "last_seen_ms": self.clock(), "fw2": OLD,
        }  # fmt: skip

    async def clean(self) -> None:
        await Housekeeping(self.server.context).clean()


@asynccontextmanager
async def open_desk(data: Path, clock: Clock, **values: Any) -> AsyncIterator[Desk]:
    """A server without limits on checks, again on the same folder for a restart."""
    defaults = {"admin_token": TOKEN, "rate_limit_firmware_checks": ""}
    async with running_server(data, clock, **defaults | values) as server:
        transport = httpx.ASGITransport(create_admin(server.context), raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://server", headers=headers
        ) as admin:
            yield Desk(server, admin, clock)
