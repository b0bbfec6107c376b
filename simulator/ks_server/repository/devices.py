"""Devices as a request meets them: found in batches, so that a crowd costs few statements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import signing

from .. import nonces
from ..db.bulk import Among
from ..db.runner import Runner
from ..db.schema import devices

ACTIVE: Final = "active"
REVOKED: Final = "revoked"

_BATCH_MAX: Final = 256
_REMEMBERED_MAX: Final = 50_000

_columns: Final = (
    devices.c.d1,
    devices.c.public_key,
    devices.c.previous_public_key,
    devices.c.reenrol_public_key,
    devices.c.d2,
    devices.c.state,
    devices.c.server_seq,
    devices.c.o1,
    devices.c.rto_s,
    devices.c.fw2,
    devices.c.kid,
    devices.c.site,
    devices.c.d5,
)
_find: Final = Among(
    select(*_columns).where(devices.c.d1.in_(bindparam("ids", expanding=True))), "ids"
)


class Device(NamedTuple):
    """A registered device. Keys are base64 of the raw key."""

    d1: str
    public_key: str
    previous_public_key: str | None
    reenrol_public_key: str | None
    d2: str
    state: str
    server_seq: int
    o1: str
    rto_s: int | None
    fw2: str | None
    kid: str | None
    site: str | None = None
    d5: str | None = None

    @property
    def public(self) -> bytes:
        """The raw key that its requests are signed with."""
        return bytes(signing.unb64(self.public_key, 32))


class DeviceChanged(Exception):
    """The device is not, or no longer, what it was remembered as."""


class Found(NamedTuple):
    """What is known of a request's D1 and NONCE at the time of asking."""

    device: Device | None
    nonce_used: bool


_Question = tuple[tuple[str, str], "asyncio.Future[Found]"]


class DeviceReader:
    """Answers many `find` calls with two statements. Works inside `running()`.

    With `remembers`, active devices are kept in memory, the last found of them. What is remembered
    may be old: it is good for verifying SIG1 when the transaction then makes sure of it.
    """

    def __init__(self, runner: Runner, remembers: bool = False) -> None:
        self._runner = runner
        self._queue: asyncio.Queue[_Question | None] = asyncio.Queue()
        self._remembered: dict[str, Device] = {}
        self._remembered_max = _REMEMBERED_MAX if remembers else 0

    async def find(self, d1: str, nonce: str) -> Found:
        """Raises sqlalchemy.exc.SQLAlchemyError when the database fails."""
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(((d1, nonce), answer))
        return await answer

    def remembered(self, d1: str) -> Device | None:
        """The active device as it was found last, without asking the database."""
        return self._remembered.get(d1)

    def forget(self, d1: str) -> None:
        """Let the next request of the device ask the database."""
        self._remembered.pop(d1, None)

    def _remember(self, found: Sequence[Found]) -> None:
        for device, _ in found:
            if device is None:
                continue
            self._remembered.pop(device.d1, None)
            if device.state == ACTIVE and self._remembered_max:
                self._remembered[device.d1] = device
        while len(self._remembered) > self._remembered_max:
            del self._remembered[next(iter(self._remembered))]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer questions until the block ends, and those asked before then."""
        task = asyncio.create_task(self._serve(), name="device-reader")
        try:
            yield
        finally:
            self._queue.put_nowait(None)
            await task

    async def _serve(self) -> None:
        stopping = False
        while not stopping:
            question = await self._queue.get()
            questions: list[_Question] = []
            while question is not None:
                questions.append(question)
                if len(questions) == _BATCH_MAX or self._queue.empty():
                    break
                question = self._queue.get_nowait()
            stopping = question is None
            if questions:
                await self._answer(questions)

    async def _answer(self, questions: list[_Question]) -> None:
        pairs = [pair for pair, _ in questions]
        try:
            found = await self._runner.run(lambda connection: find_all(connection, pairs))
        except Exception as error:  # the reader must outlive anything: everybody waits for it
            for _, answer in questions:
                if not answer.done():
                    answer.set_exception(error)
            return
        self._remember(found)
        for (_, answer), one in zip(questions, found, strict=True):
            if not answer.done():
                answer.set_result(one)


async def find_all(
    connection: AsyncConnection, pairs: Sequence[tuple[str, str]]
) -> Sequence[Found]:
    """For each (D1, NONCE), in order."""
    rows = await _find.fetch(connection, list({d1 for d1, _ in pairs}))
    known = {row[0]: Device._make(row) for row in rows}
    uses = [nonces.use_of(d1, nonce) for d1, nonce in pairs]
    used = await nonces.used(connection, uses)
    return [Found(known.get(d1), use in used) for (d1, _), use in zip(pairs, uses, strict=True)]


async def find_one(connection: AsyncConnection, d1: str) -> Device | None:
    """The device as the transaction sees it."""
    rows = await _find.fetch(connection, [d1])
    return Device._make(rows[0]) if rows else None
