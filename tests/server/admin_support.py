"""An admin API in memory: one server with an empty database, spoken to without sockets."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert, select
from support import packed_last

from ks_agent import bundle, signing, timetext, tokens, toon
from ks_server.admin import create_admin
from ks_server.context import Context, open_context
from ks_server.crypto import NaclCrypto
from ks_server.db.schema import admin_actions, devices
from ks_server.settings import DAY_MS, FixedSettings
from tests.server.shared import put_empty_database

CRYPTO = NaclCrypto()
NOW_MS = 1_800_000_000_000
TOKEN = "a-token-of-the-administrators"

SERVER_SEED = b"s" * 32
RELEASE_SEED = b"r" * 32
ADMIN_SEEDS = (b"a" * 32, b"b" * 32, b"c" * 32)


def public_text(seed: bytes) -> str:
    return str(signing.b64(CRYPTO.public_key(seed)))


DEVICE_KEY = public_text(b"d" * 32)


def admin_settings(data: Path, **values: Any) -> FixedSettings:
    defaults = {
        "data": data,
        "server_private_key": base64.b64encode(SERVER_SEED).decode(),
        "admin_token": TOKEN,
        "admin_public_keys": ",".join(public_text(seed) for seed in ADMIN_SEEDS),
        "release_public_keys": public_text(RELEASE_SEED),
    }
    return FixedSettings(**{**defaults, **values})


@dataclass
class Admin:
    """The API, the server behind it, and its clock."""

    client: httpx.AsyncClient
    context: Context
    clock: dict[str, int]
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def call(
        self, method: str, path: str, body: Any = None, *, status: int = 200, **options: Any
    ) -> Any:
        """The JSON of the answer, which must have this status."""
        if body is not None:
            options["json"] = body
        answer = await self.client.request(method, "/api/admin" + path, **options)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def refused(
        self, method: str, path: str, body: Any = None, *, status: int, code: str, **options: Any
    ) -> str:
        """The message of a refusal with this status and code."""
        error = (await self.call(method, path, body, status=status, **options))["error"]
        assert error["code"] == code
        return str(error["message"]) + str(error.get("fields", ""))

    async def all_items(self, path: str, limit: int) -> list[Any]:
        """Every item of a list, by following its pages."""
        items: list[Any] = []
        after: str | None = None
        while True:
            position = {"after": after} if after else {}
            url = httpx.URL(path).copy_merge_params({"limit": limit, **position})
            page = await self.call("GET", str(url))
            assert len(page["items"]) <= limit
            items += page["items"]
            after = page["next"]
            if after is None:
                return items

    async def add_device(self, d1: str, **values: Any) -> None:
        row = {
            "d1": d1,
            "public_key": DEVICE_KEY,
            "d2": "ESP32_TERMINAL",
            "state": "active",
            "server_seq": 1,
            "registered_ms": self.clock["ms"],
            "last_seen_ms": self.clock["ms"],
            **values,
        }
        async with self.context.engine.begin() as connection:
            await connection.execute(insert(devices).values(**row))

    async def actions(self) -> list[tuple[str, str]]:
        """What has been recorded: (action, subject), the oldest first."""
        query = select(admin_actions.c.action, admin_actions.c.subject)
        async with self.context.engine.connect() as connection:
            rows = await connection.execute(query.order_by(admin_actions.c.id))
            return [(row.action, row.subject) for row in rows]


@asynccontextmanager
async def open_admin(data: Path, **values: Any) -> AsyncIterator[Admin]:
    """An admin API on a fresh data folder."""
    clock = {"ms": NOW_MS}
    if "database_url" not in values:
        put_empty_database(data)
    async with open_context(admin_settings(data, **values), now_ms=lambda: clock["ms"]) as context:
        transport = httpx.ASGITransport(create_admin(context), raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://server", headers=headers
        ) as client:
            admin = Admin(client, context, clock)
            context.hooks.on(
                "device_revoked", lambda name, fields: admin.events.append((name, dict(fields)))
            )
            yield admin


def after(days: float = 0, minutes: float = 0) -> str:
    """A time that long after the clock's start."""
    return str(timetext.format_ms(int(NOW_MS + days * DAY_MS + minutes * 60_000)))


def make_bundle(
    *,
    seed: bytes = RELEASE_SEED,
    files: dict[str, bytes] | None = None,
    contents: dict[str, bytes] | None = None,
    **values: Any,
) -> bytes:
    """A bundle; `contents` are the bytes really put in when they differ from what is declared."""
    files = files if files is not None else {"main.py": b"print()\n" * 300, "empty.py": b""}
    message: dict[str, Any] = {
        "KIND": "application",
        "FW1": "app-1.1.0",
        "FW2": "1.1.0",
        "COUNTER": "2",
        "BUILT": after(-1),
        "EXPIRES": after(300),
        "TYPES": "ESP32_TERMINAL,ESP32_READER",
        "FILE": [
            {
                "PATH": path,
                "SHA256": hashlib.sha256(data).hexdigest(),
                "SIZE": str(len(data)),
            }
            for path, data in sorted(files.items())
        ],
        **values,
    }
    manifest: bytes = packed_last(toon.encode(message, tokens.kind_of))
    signature = signing.sign_text(CRYPTO, seed, signing.manifest_text(CRYPTO, manifest))
    head: bytes = bundle.make_head(manifest, signature)
    return (
        head
        + manifest
        + b"".join(data for _, data in sorted((files if contents is None else contents).items()))
    )
