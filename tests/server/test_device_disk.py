"""A disk that is full or broken: what was not stored is never answered as if it were."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from ks_server import nonces as nonces_module
from ks_server.db.schema import log_rows, raw_messages, whitelist
from ks_server.health import Health
from ks_server.housekeeping import Housekeeping
from ks_server.writer import Unavailable
from tests.server.client import Device, Server

BIG = "x" * 200_000


async def small(connection: AsyncConnection, d1: str) -> str:
    await connection.execute(insert(whitelist).values(d1=d1, public_key="k", created_ms=0))
    return d1


async def too_big(connection: AsyncConnection) -> None:
    """SQLite gives up the whole transaction, not only the statement, when the disk is full."""
    pages = (await connection.execute(text("PRAGMA page_count"))).scalar()
    await connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    try:
        await connection.execute(
            insert(raw_messages).values(d1="d", op="o", received_ms=0, message=BIG)
        )
    finally:
        await connection.execute(text("PRAGMA max_page_count = 1000000"))


async def stored(server: Server) -> set[str]:
    async with server.context.engine.connect() as connection:
        return set((await connection.execute(select(whitelist.c.d1))).scalars())


@pytest.mark.parametrize("kind", ["request", "run"])
async def test_what_a_full_disk_took_back_is_not_answered_as_stored(
    server: Server, kind: str
) -> None:
    submit: Callable[..., Any] = getattr(server.context.writer, kind)
    works = [partial(small, d1="before"), too_big, partial(small, d1="after")]
    results = await asyncio.gather(*(submit(work) for work in works), return_exceptions=True)
    answered = {result for result in results if isinstance(result, str)}
    assert answered <= await stored(server)
    assert isinstance(results[1], Exception)
    assert isinstance(results[0], Unavailable)
    assert await submit(partial(small, d1="later")) == "later"
    assert "later" in await stored(server)


async def commit_fails(connection: AsyncConnection) -> str:
    await connection.execute(text("PRAGMA defer_foreign_keys = ON"))
    await connection.execute(insert(log_rows).values(upload_id=99, position=0))
    return "never"


@pytest.mark.parametrize("kind", ["request", "run"])
async def test_after_a_commit_that_failed_the_next_one_stores_its_own_work_only(
    server: Server, kind: str
) -> None:
    submit: Callable[..., Any] = getattr(server.context.writer, kind)
    works = [partial(small, d1="before"), commit_fails]
    results = await asyncio.gather(*(submit(work) for work in works), return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]
    assert await submit(partial(small, d1="later")) == "later"
    assert await stored(server) == {"later"}
    assert await server.rows(log_rows) == []


@pytest.mark.parametrize("kind", ["request", "run"])
async def test_what_the_database_says_of_a_failure_repeats_no_parameter(
    server: Server, kind: str
) -> None:
    submit: Callable[..., Any] = getattr(server.context.writer, kind)
    await submit(partial(small, d1="somebodys-secret"))
    with pytest.raises(IntegrityError) as failure:
        await submit(partial(small, d1="somebodys-secret"))
    assert "somebodys-secret" not in str(failure.value)


async def test_cleaning_goes_on_after_a_round_that_failed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[str] = []
    twice = asyncio.Event()

    async def clean(self: Housekeeping) -> None:
        rounds.append("tried")
        if len(rounds) == 2:
            twice.set()
        raise OperationalError("DELETE", None, Exception("disk I/O error"))

    monkeypatch.setattr("ks_server.housekeeping.PERIOD_S", 0)
    monkeypatch.setattr(Housekeeping, "clean", clean)
    async with Housekeeping(server.context).running():
        await asyncio.wait_for(twice.wait(), 10)


async def test_a_mark_that_cannot_be_written_to_its_file_takes_nothing_back(
    server: Server, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(nonces_module, "_replace", full)
    server.clock.pass_s(60)
    assert (await device.call("heartbeat")).code == "ok"
    assert (await device.call("heartbeat")).code == "ok"


async def test_the_writer_outlives_whatever_goes_wrong_in_a_transaction(
    server: Server, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: object, connection: AsyncConnection) -> int:
        raise RuntimeError("nobody thought of this")

    with monkeypatch.context() as patch:
        patch.setattr(nonces_module.Fence, "write", broken)
        answer = await asyncio.wait_for(device.call("heartbeat"), 10)
        assert (answer.status, answer.code, answer.signed) == (503, "UNAVAILABLE", True)
    assert (await asyncio.wait_for(device.call("heartbeat"), 10)).code == "ok"


async def test_the_reader_outlives_whatever_goes_wrong_in_a_look_up(
    server: Server, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("nobody thought of this")

    with monkeypatch.context() as patch:
        patch.setattr("ks_server.repository.devices.find_all", broken)
        answer = await asyncio.wait_for(device.call("commands"), 10)
        assert (answer.status, answer.code) == (500, "INTERNAL")
    assert (await asyncio.wait_for(device.call("commands"), 10)).status == 200


async def test_a_server_whose_last_transaction_failed_is_not_ready(
    server: Server, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = Health(server.context)
    request = Request({"type": "http"})
    assert (await health.ready(request)).status_code == 200

    async def broken(self: object, connection: AsyncConnection) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(nonces_module.Fence, "write", broken)
        assert (await device.call("heartbeat")).code == "UNAVAILABLE"
        refused = await health.ready(request)
        assert refused.status_code == 503
        assert b'"writer":"failing"' in refused.body
    assert (await device.call("heartbeat")).code == "ok"
    assert (await health.ready(request)).status_code == 200
