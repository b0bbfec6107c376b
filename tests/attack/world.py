"""The real server and the real agent, joined by a wire that is in the attacker's hands.

The server is `create_app` on a clock of the test's, without sockets.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx

from ks_server.app import Application, create_app
from ks_server.db.base import metadata
from ks_server.settings import FixedSettings
from ks_simulator.application import Release
from tests.attack.terminal import (
    ADMIN_SEEDS,
    RELEASE_SEED,
    Terminal,
)
from tests.server.client import BASE, Clock, Server, public_text, settings_in

ADMIN_TOKEN = "a-token-of-the-administrators"
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
