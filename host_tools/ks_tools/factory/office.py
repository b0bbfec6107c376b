"""How a unit gets in at the server: by its admin API now, or by a file that is imported later.

whitelist.jsonl has one JSON object a line: `d1`, `public_key`, `note`, and where they apply
`otrt_hash` (SHA-256 of the unit's token, hex) with `otrt_expires` (Unix ms), and `re_enrol`: the id
is registered already and gets this new key. `ks whitelist import FILE` takes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from ks_simulator.admin import AdminApi, AdminError

from .batch import Batch
from .errors import Interrupted, StationFailed, UnitFailed
from .steps import DONE, number
from .store import Store, Unit, now_ms

FILE: Final = "whitelist.jsonl"
TOKEN_BYTES: Final = 24
HEARTBEAT_POLL_S: Final = 0.5
HOUR_MS: Final = 3_600_000

T = TypeVar("T")


@dataclass(frozen=True)
class Token:
    """OTRT; the record keeps its hash alone."""

    text: str = field(repr=False)
    expires_ms: int

    @property
    def hash(self) -> str:
        """How the server stores it: SHA-256, hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class Office(Protocol):
    """All of it may be repeated."""

    def token(self, unit: Unit) -> Token | None:
        """A one-time token bound to the unit's id; None where none is asked for."""

    def admit(self, unit: Unit) -> dict[str, Any]:
        """Let the unit register with its key. What is worth recording of it."""

    def heard_of(self, unit: Unit, limit_s: float, stop: threading.Event) -> bool:
        """Whether it heartbeats within the time."""


class OnlineOffice:
    """The server's admin API. Raises StationFailed where it does not answer."""

    def __init__(self, batch: Batch, admin_token: str) -> None:
        self._server = batch.server.admin_url or batch.server.url
        self._batch = batch
        self._token = admin_token

    def token(self, unit: Unit) -> Token | None:
        if not self._batch.server.tokens:
            return None
        d1, hours = _d1(unit), self._batch.server.token_hours

        async def work(api: AdminApi) -> Token:
            if unit.otrt_hash:
                await api.delete_token(unit.otrt_hash)  # of an earlier try
            return Token(await api.make_token(d1, hours), now_ms() + hours * HOUR_MS)

        return self._ask(work)

    def admit(self, unit: Unit) -> dict[str, Any]:
        d1, key = _d1(unit), str(unit.public_key)

        async def work(api: AdminApi) -> dict[str, Any]:
            device = await api.device(d1)
            is_another = device is not None and device["public_key"] != key
            if is_another and unit.generation == 0:
                raise UnitFailed(f"{d1} is registered at the server with another key")
            if is_another:
                await api.re_enrol(d1, key)
            await api.whitelist(d1, key, f"factory {unit.station} {unit.serial}")
            return {"server": self._server, "re_enrolled": is_another}

        return self._ask(work)

    def heard_of(self, unit: Unit, limit_s: float, stop: threading.Event) -> bool:
        d1, key = _d1(unit), unit.public_key

        async def listen(api: AdminApi) -> bool:
            end = time.monotonic() + limit_s
            while time.monotonic() < end:
                device = await api.device(d1)
                if device is not None and device["public_key"] == key:
                    heard = str(device["last_heartbeat"] or "")
                    if heard >= str(device["registered"]):  # times of one form
                        return True
                if stop.is_set():
                    raise Interrupted("interrupted")
                await asyncio.sleep(HEARTBEAT_POLL_S)
            return False

        return self._ask(listen)

    def _ask(self, work: Callable[[AdminApi], Awaitable[T]]) -> T:
        async def asked() -> T:
            async with AdminApi.connect(self._server, self._token) as api:
                return await work(api)

        try:
            return asyncio.run(asked())
        except AdminError as error:
            raise StationFailed(str(error)) from None


class OfflineOffice:
    """The file: written anew, whole, for every unit that comes to it."""

    def __init__(self, batch: Batch, store: Store) -> None:
        self._batch = batch
        self._store = store
        self._lock = threading.Lock()

    def token(self, unit: Unit) -> Token | None:
        if not self._batch.server.tokens:
            return None
        expires_ms = now_ms() + self._batch.server.token_hours * HOUR_MS
        return Token(secrets.token_urlsafe(TOKEN_BYTES), expires_ms)

    def admit(self, unit: Unit) -> dict[str, Any]:
        with self._lock:
            units = [each for each in self._store.units() if is_admitted(each)]
            kept = [each for each in units if (each.mac, each.chip) != (unit.mac, unit.chip)]
            write_whitelist(self._batch.folder / FILE, [*kept, unit])
        return {"file": FILE}

    def heard_of(self, unit: Unit, limit_s: float, stop: threading.Event) -> bool:
        return True  # nobody here can know


def is_admitted(unit: Unit) -> bool:
    """Whether its record says that it may register."""
    return unit.public_key is not None and (
        unit.state == DONE or number(unit.step) >= number("whitelisted")
    )


def write_whitelist(path: Path, units: list[Unit]) -> None:
    """The file for these units, by id; old or new, never half of it."""
    lines = []
    for unit in sorted(units, key=_d1):
        entry: dict[str, Any] = {"d1": unit.d1, "public_key": unit.public_key}
        entry["note"] = f"factory {unit.station} {unit.serial}"
        if unit.otrt_hash:
            entry["otrt_hash"] = unit.otrt_hash
            entry["otrt_expires"] = unit.otrt_expires_ms
        if unit.generation:
            entry["re_enrol"] = True
        lines.append(json.dumps(entry, sort_keys=True) + "\n")
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _d1(unit: Unit) -> str:
    assert unit.d1 is not None
    return unit.d1
