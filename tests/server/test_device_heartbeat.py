"""POST heartbeat: what is stored, and what the answer says is waiting."""

from __future__ import annotations

import asyncio

import pytest

from ks_server.db.schema import devices, heartbeats, nonces, raw_messages
from ks_server.device_api.call import Call
from ks_server.device_api.operations import heartbeat as module
from tests.server.client import LINES, TOON, Device, Server, read


@pytest.mark.parametrize("syntax", [TOON, LINES])
async def test_a_heartbeat_is_answered_in_the_syntax_it_came_in(
    server: Server, syntax: str
) -> None:
    device = await server.registered(syntax=syntax)
    answer = await device.call("heartbeat")
    assert answer.response.headers["content-type"].startswith(syntax)
    assert answer.status == 200
    assert {key: answer.message[key] for key in ("S1", "RTO", "PENDING_CMDS", "FW_AVAILABLE")} == {
        "S1": "ok", "RTO": "60", "PENDING_CMDS": "0", "FW_AVAILABLE": "false",
    }  # fmt: skip
    assert "FW2" not in answer.message
    assert "CMD_IDS" not in answer.message


async def test_what_a_heartbeat_says_is_stored_as_it_said_it(
    server: Server, device: Device
) -> None:
    said = {
        "HB1": "label|with%things", "HB2": "123456", "HB3": "48.5", "HB4": "61.0",
        "HB5": "2026-11-20T10:00:00Z", "HB6": "FLAPPING", "HB7": "81", "FW2": "1.10.0",
        "NEW_TOKEN": "nobody knows",
    }  # fmt: skip
    assert (await device.call("heartbeat", **said)).code == "ok"
    known = {name.lower(): text for name, text in said.items() if name != "NEW_TOKEN"}
    (row,) = await server.rows(devices)
    assert {name: row[name] for name in known} == known
    assert row["heartbeat_ms"] == server.clock()
    (row,) = await server.rows(heartbeats)
    assert {name: row[name] for name in known} == known
    raw = await server.rows(raw_messages)
    assert "NEW_TOKEN:nobody knows" in raw[-1]["message"]
    assert "HB1:label%7Cwith%25things" in raw[-1]["message"]
    assert server.events[-1] == ("heartbeat", {"d1": "dev_1", "at_ms": server.clock(), **known})


async def test_a_heartbeat_without_fw2_keeps_the_version_known_before(
    server: Server, device: Device
) -> None:
    await device.call("heartbeat", FW2="1.0.0")
    await device.call("heartbeat")
    assert (await server.rows(devices))[0]["fw2"] == "1.0.0"


async def test_a_label_may_be_used_again_within_the_same_second(device: Device) -> None:
    assert (await device.call("heartbeat", HB1="same")).code == "ok"
    assert (await device.call("heartbeat", HB1="same")).code == "ok"


async def test_the_answer_names_the_commands_that_a_poll_would_deliver(
    server: Server, device: Device
) -> None:
    low = await server.command("RESTART", cmd4="LOW")
    high = await server.command("IDENTIFY", cmd4="HIGH")
    await server.command("IDENTIFY", state="draft")
    await server.command("IDENTIFY", expires_ms=server.clock())
    answer = await device.call("heartbeat")
    assert answer.message["PENDING_CMDS"] == "2"
    assert answer.message["CMD_IDS"] == f"{high},{low}"


async def test_an_update_is_announced_only_when_one_waits(server: Server, device: Device) -> None:
    await server.release("rel-2", "1.2.0")
    answer = await device.call("heartbeat", FW2="1.1.9")
    assert (answer.message["FW_AVAILABLE"], answer.message["FW2"]) == ("true", "1.2.0")
    answer = await device.call("heartbeat", FW2="1.2.0")
    assert answer.message["FW_AVAILABLE"] == "false"
    assert "FW2" not in answer.message


async def test_a_device_can_be_given_its_own_interval(server: Server, device: Device) -> None:
    await server.execute(devices.update().values(rto_s=900))
    assert (await device.call("heartbeat")).message["RTO"] == "900"


async def test_many_heartbeats_at_once_are_all_stored(server: Server, device: Device) -> None:
    answers = await asyncio.gather(*(device.call("heartbeat", HB2=str(n)) for n in range(60)))
    assert {answer.code for answer in answers} == {"ok"}
    assert len(await server.rows(heartbeats)) == 60


async def test_a_replay_among_many_at_once_spoils_only_itself(
    server: Server, device: Device
) -> None:
    messages = [device.build("heartbeat") for _ in range(10)]
    responses = await asyncio.gather(
        *(device.send("heartbeat", message) for message in [*messages, messages[3]])
    )
    codes = sorted(read(response).code for response in responses)
    assert codes == ["NONCE_REUSE"] + ["ok"] * 10
    assert len(await server.rows(heartbeats)) == 10
    assert len(await server.rows(nonces)) == 11


async def test_a_batch_that_the_database_refuses_is_done_one_by_one(
    server: Server, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of a heartbeat that no database takes must not take others with it."""
    real = module._values

    def poisoned(call: Call) -> dict[str, object]:
        values = real(call)
        return values | {"hb2": object()} if values["hb1"] == "poison" else values

    monkeypatch.setattr(module, "_values", poisoned)
    answers = await asyncio.gather(
        *(device.call("heartbeat", HB1="poison" if n == 2 else "good") for n in range(5))
    )
    codes = sorted(answer.code for answer in answers)
    assert codes == ["INTERNAL", "ok", "ok", "ok", "ok"]
    assert len(await server.rows(heartbeats)) == 4
