"""Heartbeats of devices that the server remembers: nothing that changed meanwhile is missed.

A heartbeat with FW2 from a device found before is judged by memory until the transaction, which
makes sure of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import delete, update

from ks_server.db.schema import devices, heartbeats, nonces
from ks_server.repository.devices import DeviceReader
from tests.server.client import Clock, Device, Server, public_text, read, running_server

NEW_SEED = b"n" * 32


async def beat(device: Device, **tokens: str) -> str:
    return (await device.call("heartbeat", FW2="1.0.0", **tokens)).code


@pytest.fixture
async def known(server: Server, device: Device) -> Device:
    """A device that the server remembers."""
    assert await beat(device) == "ok"
    assert server.context.devices.remembered(device.d1) is not None
    return device


async def change(server: Server, **values: object) -> None:
    """As another process of the same database would."""
    async with server.context.engine.begin() as connection:
        await connection.execute(update(devices).values(**values))


async def test_a_remembered_device_is_not_looked_up_again(
    server: Server, known: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find(*_arguments: object) -> None:
        raise AssertionError("asked the database")

    monkeypatch.setattr(DeviceReader, "find", find)
    assert await beat(known) == "ok"
    assert len(await server.rows(heartbeats)) == 2


async def test_a_revocation_is_obeyed_by_the_next_heartbeat(server: Server, known: Device) -> None:
    await change(server, state="revoked")
    answer = await known.call("heartbeat", FW2="1.0.0")
    assert (answer.code, answer.signed) == ("REVOKED", True)
    assert len(await server.rows(heartbeats)) == 1
    await change(server, state="active")
    assert await beat(known) == "ok"


@pytest.mark.parametrize("state", ["active", "revoked"])
async def test_a_revocation_comes_before_the_rate_limit_and_the_nonce(
    start: Callable[..., running_server], state: str
) -> None:
    async with start(rate_limit_heartbeats="2/hour") as server:
        device = await server.registered()
        messages = [device.build("heartbeat", FW2="1.0.0") for _ in range(3)]
        for message in messages[:2]:
            assert read(await device.send("heartbeat", message)).code == "ok"
        await change(server, state=state)
        expected = ["REVOKED"] * 2 if state == "revoked" else ["RATE_LIMIT", "NONCE_REUSE"]
        codes = [read(await device.send("heartbeat", m)).code for m in (messages[2], messages[0])]
        assert codes == expected


async def test_a_new_key_is_obeyed_by_the_next_heartbeat(server: Server, known: Device) -> None:
    await change(server, public_key=public_text(NEW_SEED))
    assert await beat(known) == "SIG_INVALID"
    assert await beat(server.device(seed=NEW_SEED)) == "ok"
    assert await beat(known) == "SIG_INVALID"


async def test_a_device_that_is_gone_is_not_found(server: Server, known: Device) -> None:
    async with server.context.engine.begin() as connection:
        await connection.execute(delete(devices))
    assert await beat(known) == "DEVICE_NOT_FOUND"
    assert len(await server.rows(heartbeats)) == 1


async def test_another_interval_is_told_in_the_next_answer(server: Server, known: Device) -> None:
    for seconds, told in ((120, "120"), (None, "60")):
        await change(server, rto_s=seconds)
        assert (await known.call("heartbeat", FW2="1.0.0")).message["RTO"] == told


async def test_a_changed_device_among_others_is_the_only_one_judged_again(
    server: Server, known: Device
) -> None:
    others = [await server.registered(d1=f"other_{n}", seed=bytes([n]) * 32) for n in range(1, 6)]
    assert [await beat(other) for other in others] == ["ok"] * 5
    async with server.context.engine.begin() as connection:
        await connection.execute(
            update(devices).where(devices.c.d1 == known.d1).values(state="revoked")
        )
    codes = await asyncio.gather(*(beat(device) for device in (*others, known)))
    assert codes == ["ok"] * 5 + ["REVOKED"]
    assert len(await server.rows(heartbeats)) == 11


async def test_a_repeated_request_among_new_ones_is_the_only_one_refused(
    server: Server, known: Device
) -> None:
    said = known.build("heartbeat", FW2="1.0.0")
    assert read(await known.send("heartbeat", said)).code == "ok"
    fresh = [known.build("heartbeat", FW2="1.0.0") for _ in range(4)]
    answers = await asyncio.gather(*(known.send("heartbeat", each) for each in (*fresh, said)))
    assert [read(answer).code for answer in answers] == ["ok"] * 4 + ["NONCE_REUSE"]
    assert len(await server.rows(heartbeats)) == 6


async def test_a_repeated_request_does_not_use_up_the_limit(known: Device) -> None:
    said = known.build("heartbeat", FW2="1.0.0")
    assert read(await known.send("heartbeat", said)).code == "ok"
    for _ in range(120):
        answer = read(await known.send("heartbeat", said))
        assert (answer.code, answer.signed) == ("NONCE_REUSE", True)
    assert await beat(known) == "ok"


async def test_a_crowd_gets_as_many_as_the_limit_says_and_stores_no_more(
    server: Server, known: Device
) -> None:
    used = len(await server.rows(nonces))
    codes = await asyncio.gather(*(beat(known) for _ in range(120)))
    assert (codes.count("ok"), codes.count("RATE_LIMIT")) == (99, 21)
    assert len(await server.rows(heartbeats)) == 100
    assert len(await server.rows(nonces)) == used + 99


async def test_a_request_from_another_time_is_refused_as_ever(
    server: Server, known: Device, clock: Clock
) -> None:
    old = known.build("heartbeat", FW2="1.0.0")
    clock.pass_s(301)
    assert read(await known.send("heartbeat", old)).code == "TIMESTAMP_INVALID"
    clock.pass_s(400)
    early = known.build("heartbeat", FW2="1.0.0")
    clock.pass_s(-400)
    for _ in range(2):
        assert read(await known.send("heartbeat", early)).code == "TIMESTAMP_INVALID"
    clock.pass_s(400)
    assert read(await known.send("heartbeat", early)).code == "NONCE_REUSE"
    assert len(await server.rows(heartbeats)) == 1


async def test_only_so_many_devices_are_remembered(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = server.context.devices
    monkeypatch.setattr(reader, "_remembered_max", 2)
    crowd = [await server.registered(d1=f"dev_{n}", seed=bytes([n]) * 32) for n in range(1, 5)]
    assert [await beat(device) for device in crowd] == ["ok"] * 4
    kept = [reader.remembered(device.d1) is not None for device in crowd]
    assert kept == [False, False, True, True]
    assert [await beat(device) for device in crowd] == ["ok"] * 4
