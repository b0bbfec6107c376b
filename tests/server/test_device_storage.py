"""What stands under the device API: writer, limits, migrations, audit, cleaning."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent.message import canonical
from ks_server import audit
from ks_server.db.base import metadata  # fmt: skip
from ks_server.db.engine import open_engine
from ks_server.db.migrate import upgrade
from ks_server.db.schema import heartbeats, log_rows, log_uploads, otrts, raw_messages, whitelist
from ks_server.housekeeping import Housekeeping
from ks_server.limits import Limits, Windows
from ks_server.writer import Unavailable
from tests.server.client import Clock, Device, Server, read, running_server, settings_in

Start = Callable[..., running_server]


def entry(d1: str) -> Any:
    return insert(whitelist).values(d1=d1, public_key="k", created_ms=0)


async def store(connection: AsyncConnection, d1: str) -> str:
    await connection.execute(entry(d1))
    return d1


async def test_work_that_fails_leaves_the_rest_of_its_group_alone(server: Server) -> None:
    for submit in (server.context.writer.run, server.context.writer.request):
        name = submit.__name__
        names = [f"{name}-1", f"{name}-2", f"{name}-1", f"{name}-3"]
        results = await asyncio.gather(
            *(submit(partial(store, d1=n)) for n in names), return_exceptions=True
        )
        assert [str(result) for result in results[:2]] == names[:2]
        assert isinstance(results[2], IntegrityError)
        assert results[3] == names[3]
    assert len(await server.rows(whitelist)) == 6


async def test_a_group_shares_one_transaction(server: Server) -> None:
    before = server.context.metrics.render().decode()
    assert "ks_writer_batch_jobs_count 0.0" in before

    await asyncio.gather(
        *(server.context.writer.request(partial(store, d1=str(n))) for n in range(20))
    )
    after = server.context.metrics.render().decode()
    assert "ks_writer_batch_jobs_sum 20.0" in after
    count = next(line for line in after.splitlines() if line.startswith("ks_writer_batch_jobs_co"))
    assert float(count.split()[1]) <= 3


async def test_what_was_awaited_is_in_the_database_file_for_others_to_see(
    server: Server, data_folder: Path
) -> None:
    engine = open_engine(f"sqlite:///{data_folder / 'server.sqlite3'}")
    await server.context.writer.request(lambda connection: connection.execute(entry("one")))
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM whitelist"))).scalar() == 1
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar() == 2
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
        assert (await connection.execute(text("PRAGMA foreign_keys"))).scalar() == 1
    await engine.dispose()


async def test_stopping_finishes_what_is_queued_and_takes_nothing_more(start: Start) -> None:
    async with start() as server:
        tasks = [
            asyncio.create_task(server.context.writer.request(partial(store, d1=str(n))))
            for n in range(10)
        ]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    with pytest.raises(Unavailable):
        await server.context.writer.run(lambda c: c.execute(entry("late")))
    async with start() as server:
        assert len(await server.rows(whitelist)) == 10


async def test_a_full_queue_is_unavailable_and_the_nonce_is_not_used(start: Start) -> None:
    async with start(writer_queue_max=2) as server:
        device = await server.registered()
        messages = [device.build("heartbeat") for _ in range(8)]
        responses = await asyncio.gather(*(device.send("heartbeat", m) for m in messages))
        answers = [read(response) for response in responses]
        codes = {answer.code for answer in answers}
        assert codes == {"ok", "UNAVAILABLE"}
        for message, answer in zip(messages, answers, strict=True):
            device.check("heartbeat", message, answer.message)
            if answer.code == "UNAVAILABLE":
                assert answer.status == 503
                assert answer.response.headers["retry-after"] == answer.message["RTY"]
                assert read(await device.send("heartbeat", message)).code == "ok"


async def test_a_database_that_fails_is_unavailable(
    server: Server, device: Device, data_folder: Path
) -> None:
    engine = open_engine(f"sqlite:///{data_folder / 'server.sqlite3'}")
    async with engine.connect() as plain:
        connection = await plain.execution_options(writes=True)
        async with connection.begin():
            await connection.execute(text("DROP TABLE heartbeats"))
    await engine.dispose()
    answer = await device.call("heartbeat")
    assert (answer.status, answer.code, answer.signed) == (503, "UNAVAILABLE", True)


async def test_the_migrations_make_the_declared_tables(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'fresh.sqlite3'}")
    await upgrade(engine)
    await upgrade(engine)

    def differences(connection: Connection) -> list[Any]:
        found: list[Any] = compare_metadata(MigrationContext.configure(connection), metadata)
        return found

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_history_is_forgotten_after_its_retention(start: Start) -> None:
    async with start(audit_retention_days=10, log_retention_days=5) as server:
        device = await server.registered()
        await device.call("heartbeat")
        await device.call("logs", LOG1="up", LOG2="INFO", LOG=[{"LOG3": "x"}])
        await server.insert(otrts, hash="h", created_ms=0, expires_ms=server.clock())
        cleaning = Housekeeping(server.context)
        server.clock.pass_s(5 * 86_400)
        await cleaning.clean()
        assert len(await server.rows(log_rows)) == 1
        server.clock.pass_s(1)
        await cleaning.clean()
        assert await server.rows(log_uploads) == []
        assert await server.rows(log_rows) == []
        assert len(await server.rows(raw_messages)) == 3
        server.clock.pass_s(5 * 86_400)
        await cleaning.clean()
        assert await server.rows(raw_messages) == []
        assert await server.rows(heartbeats) == []
        assert await server.rows(otrts) == []
        assert (await device.call("heartbeat")).code == "ok"


def test_secrets_are_taken_out_of_what_the_audit_keeps() -> None:
    payload = "SITE:north|WIFI_PASSWORD:hunter2hunter2"
    message: dict[str, Any] = {
        "D1": "dev_1", "OTRT": "one-time-secret", "CMD3": payload, "SIG1": "sig",
        "CMD": [{"CMD1": "c", "CMD3": payload}], "WIFI_PASSWORD": "hunter2hunter2", "M1": "kept",
    }  # fmt: skip
    row = audit.row("register", message, canonical(message), 0)
    assert "hunter2" not in row["message"]
    assert "one-time-secret" not in row["message"]
    assert "SITE:north" in row["message"]
    assert "M1:kept" in row["message"]
    assert audit.redact_payload("no payload at all") == audit.REDACTED
    assert audit.redact_payload("") == ""


def test_a_window_ends_with_its_time_and_not_later_when_the_clock_goes_back() -> None:
    clock = Clock()
    windows = Windows(clock)
    assert [windows.incr("key", 60) for _ in range(3)] == [1, 2, 3]
    clock.pass_s(59.999)
    assert windows.incr("key", 60) == 4
    clock.pass_s(0.001)
    assert windows.get("key") == 0
    assert windows.incr("key", 60) == 1
    clock.pass_s(-86_400)
    assert windows.incr("key", 60) == 1


def test_the_number_of_windows_is_bounded() -> None:
    clock = Clock()
    windows = Windows(clock, max_keys=100)
    for number in range(250):
        windows.incr(f"key-{number}", 60)
    assert windows.reset() <= 100
    for number in range(100):
        windows.incr(f"old-{number}", 60)
    clock.pass_s(61)
    windows.incr("new", 60)
    assert windows.reset() == 1


def test_a_limit_says_how_long_to_wait(tmp_path: Path) -> None:
    clock = Clock()
    limits = Limits(settings_in(tmp_path, rate_limit_heartbeats="2/minute"), clock)
    assert [limits.hit("heartbeat", "a") for _ in range(2)] == [0, 0]
    assert limits.hit("heartbeat", "b") == 0
    clock.pass_s(20)
    assert 40 <= limits.hit("heartbeat", "a") <= 41
    clock.pass_s(40)
    assert limits.hit("heartbeat", "a") == 0


@pytest.mark.parametrize(
    ("op", "limit"), [("firmware/check", 10), ("logs", 20), ("register", 120), ("heartbeat", 100)]
)
async def test_each_operation_has_the_limit_of_the_protocol(
    server: Server, device: Device, op: str, limit: int
) -> None:
    tokens = {"firmware/check": {"FW2": "1.0.0"}, "logs": {"LOG1": "l", "LOG2": "INFO"}}.get(op, {})
    answers = [await device.call(op, **tokens) for _ in range(limit)]
    assert "RATE_LIMIT" not in {answer.code for answer in answers}
    answer = await device.call(op, **tokens)
    assert (answer.status, answer.code, answer.signed) == (429, "RATE_LIMIT", True)


async def test_first_registrations_are_limited_for_each_key_apart(server: Server) -> None:
    stranger = server.device(seed=b"x" * 32)
    codes = [(await stranger.call("register")).code for _ in range(11)]
    assert codes == ["UNAUTHORIZED"] * 10 + ["RATE_LIMIT"]
    device = server.device()
    await server.allow(device)
    assert (await device.call("register")).code == "registered"
