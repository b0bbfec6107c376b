"""Two at once where only one may be: whoever comes second finds it done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ks_agent import signing, timetext
from ks_agent.tokens import kind_of
from ks_server.db.punch_schema import punches
from ks_server.db.schema import commands, devices
from tests.attack.conftest import Start
from tests.attack.requests import OPS, prepare, request, rotation
from tests.attack.terminal import ADMIN_SEEDS
from tests.attack.world import World
from tests.server.client import CRYPTO, DAY_MS, Device, read

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def both(device: Device, op: str, *messages: dict[str, Any]) -> list[str]:
    """The codes of requests sent at the same time, sorted."""
    answers = await asyncio.gather(*(device.send(op, message) for message in messages))
    return sorted(read(answer).code for answer in answers)


async def test_of_two_new_keys_at_once_one_becomes_the_devices(
    shared: World, device: Device
) -> None:
    await shared.command("ROTATE_DEVICE_KEY", d1=device.d1)
    seeds = (b"1" * 32, b"2" * 32, b"3" * 32)
    codes = await both(device, "rotate-key", *(rotation(device, seed) for seed in seeds))
    assert codes == ["SIG_INVALID", "SIG_INVALID", "ok"]
    beats = [
        read(await device.send("heartbeat", device.build("heartbeat"))).code
        for device.seed in (*seeds, device.seed)
    ]
    assert sorted(beats) == ["SIG_INVALID"] * 3 + ["ok"]


async def test_of_two_strangers_at_once_one_gets_the_id(start: Start) -> None:
    async with start(registration_mode="open") as world:
        crowd = [world.device(d1="dev-wanted", seed=bytes([n]) * 32) for n in range(1, 7)]
        answers = await asyncio.gather(*(one.call("register") for one in crowd))
        codes = sorted(answer.code for answer in answers)
        assert codes == ["DEVICE_ALREADY_REGISTERED"] * 5 + ["registered"]
        assert len(await world.rows(devices)) == 1


async def test_of_two_results_of_a_command_at_once_the_first_one_stays(
    shared: World, device: Device
) -> None:
    cmd1 = await shared.command("IDENTIFY", d1=device.d1)
    results = [device.build("command-ack", CMD1=cmd1, ACK1=one) for one in ("OK", "ERROR", "OK")]
    assert await both(device, "command-ack", *results) == ["ok"] * 3
    stored = [row["ack1"] for row in await shared.rows(commands) if row["cmd1"] == cmd1]
    again = device.build("command-ack", CMD1=cmd1, ACK1="ERROR" if stored == ["OK"] else "OK")
    assert read(await device.send("command-ack", again)).code == "ok"
    assert [row["ack1"] for row in await shared.rows(commands) if row["cmd1"] == cmd1] == stored


async def test_a_punch_that_comes_twice_at_once_is_stored_once(
    shared: World, device: Device
) -> None:
    messages = [request(device, "events", "c1") for _ in range(4)]
    assert await both(device, "events", *messages) == ["ok"] * 4
    stored = [row["seq"] for row in await shared.rows(punches) if row["d1"] == device.d1]
    assert stored == [1, 2]


async def test_two_administrators_at_once_queue_a_draft_and_one_alone_does_not(
    shared: World, device: Device
) -> None:
    form = {"name": "REVOKE", "expires": timetext.format_ms(shared.clock() + DAY_MS)}
    draft = await shared.admin("POST", f"/devices/{device.d1}/commands", form)
    path = f"/commands/{draft['cmd1']}/signatures"

    def sign(seed: bytes) -> Any:
        signature = signing.sign_text(CRYPTO, seed, draft["sign_text"])
        return shared.admin("POST", path, {"signature": signature})

    first = await asyncio.gather(*(sign(ADMIN_SEEDS[0]) for _ in range(5)))
    assert sorted(one.get("state", "refused") for one in first) == ["draft"] + ["refused"] * 4
    second = await asyncio.gather(*(sign(ADMIN_SEEDS[1]) for _ in range(5)))
    assert sorted(one.get("state", "refused") for one in second) == ["queued"] + ["refused"] * 4


@pytest.mark.parametrize("op", OPS)
async def test_what_no_database_can_store_never_gets_there(
    shared: World, device: Device, op: str
) -> None:
    """U+0000 is text for us and for SQLite, and an error for PostgreSQL."""
    cmd1 = await prepare(shared, device.d1)
    message = request(device, op, cmd1)
    refused = ("MALFORMED", "NOT_FOUND", "SIG_INVALID", "DEVICE_NOT_FOUND")
    for key, value in message.items():
        if kind_of(key) != "text" or key in ("SIG1", "D1", "NONCE", "OP"):
            continue
        bent = request(device, op, cmd1) | {"ZZ": "\x00"}
        if isinstance(value, str):
            bent[key] = value + "\x00"
        else:
            bent[key] = [{field: text + "\x00" if kind_of(field) == "text" else text
                          for field, text in row.items()} for row in value]  # fmt: skip
        signing.sign_message(CRYPTO, device.seed, bent)
        response = await device.send(op, bent)
        if response.headers["content-type"].startswith("text/"):
            answer = read(response)
            assert "ERR1" not in answer.message or answer.code in refused, (key, answer.message)
    contents = await shared.contents()
    stored = [
        (table, column)
        for table, rows in contents.items()
        for row in rows
        for column, text in row.items()
        if isinstance(text, str) and "\x00" in text
    ]
    assert stored == []
