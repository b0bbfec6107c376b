"""GET commands and POST command-ack."""

from __future__ import annotations

import pytest

from ks_agent import signing, tokens
from ks_agent.errors import BadSignature
from ks_server.db.schema import commands, devices
from tests.server.client import CRYPTO, LINES, TOON, Device, Server


@pytest.mark.parametrize("syntax", [TOON, LINES])
async def test_a_poll_delivers_signed_commands_most_urgent_first(
    server: Server, syntax: str
) -> None:
    device = await server.registered(syntax=syntax)
    low = await server.command("RESTART", cmd4="LOW")
    normal = await server.command("FETCH_LOGS", cmd3="LEVEL:INFO|SINCE:2026-11-20T10%3A00")
    high = await server.command("IDENTIFY", cmd4="HIGH")
    answer = await device.call("commands")
    assert [row["CMD1"] for row in answer.message["CMD"]] == [high, normal, low]
    row = answer.message["CMD"][1]
    assert row["CMD3"] == "LEVEL:INFO|SINCE:2026-11-20T10%3A00"
    assert set(row) == {"CMD1", "CMD2", "CMD3", "CMD4", "CMD5", "TS", "SIG_SERV"}
    with pytest.raises(BadSignature):
        signing.verify_command(CRYPTO, CRYPTO.public_key(b"s" * 32), row | {"CMD4": "HIGH"})


async def test_without_commands_the_answer_says_so(device: Device) -> None:
    answer = await device.call("commands")
    assert answer.message["S1"] == "no_commands"
    assert "CMD" not in answer.message


async def test_a_command_is_delivered_again_until_it_is_acknowledged(
    server: Server, device: Device
) -> None:
    cmd1 = await server.command("IDENTIFY")
    for count in (1, 2):
        answer = await device.call("commands")
        assert [row["CMD1"] for row in answer.message["CMD"]] == [cmd1]
        (row,) = await server.rows(commands)
        assert (row["state"], row["deliveries"]) == ("delivered", count)
    answer = await device.call("command-ack", CMD1=cmd1, ACK1="OK", ACK2="blinked", ACK3="12")
    assert answer.message["S1"] == "ok"
    assert (await device.call("commands")).code == "no_commands"
    (row,) = await server.rows(commands)
    assert (row["state"], row["ack1"], row["ack2"], row["ack3"]) == ("done", "OK", "blinked", "12")
    assert server.events[-1] == (
        "command_acknowledged",
        {"d1": "dev_1", "cmd1": cmd1, "cmd2": "IDENTIFY", "at_ms": server.clock(),
         "ack1": "OK", "ack2": "blinked", "ack3": "12"},
    )  # fmt: skip


async def test_a_repeated_acknowledgement_is_accepted_and_changes_nothing(
    server: Server, device: Device
) -> None:
    cmd1 = await server.command("IDENTIFY")
    await device.call("command-ack", CMD1=cmd1, ACK1="OK")
    answer = await device.call("command-ack", CMD1=cmd1, ACK1="ERROR")
    assert answer.code == "ok"
    assert (await server.rows(commands))[0]["ack1"] == "OK"
    assert [name for name, _ in server.events].count("command_acknowledged") == 1


async def test_a_partial_acknowledgement_may_be_followed_by_the_final_one(
    server: Server, device: Device
) -> None:
    cmd1 = await server.command("WIPE")
    await device.call("command-ack", CMD1=cmd1, ACK1="PARTIAL")
    await device.call("command-ack", CMD1=cmd1, ACK1="OK")
    assert (await server.rows(commands))[0]["ack1"] == "OK"


async def test_the_command_of_another_device_is_neither_delivered_nor_acknowledged(
    server: Server, device: Device
) -> None:
    await server.registered(d1="dev_2", seed=b"2" * 32)
    cmd1 = await server.command("IDENTIFY", d1="dev_2")
    assert (await device.call("commands")).code == "no_commands"
    answer = await device.call("command-ack", CMD1=cmd1, ACK1="OK")
    assert (answer.status, answer.code, answer.signed) == (404, "NOT_FOUND", True)
    assert (await server.rows(commands))[0]["state"] == "queued"


async def test_a_draft_is_neither_delivered_nor_acknowledged(
    server: Server, device: Device
) -> None:
    cmd1 = await server.command("WIPE", state="draft")
    assert (await device.call("commands")).code == "no_commands"
    assert (await device.call("command-ack", CMD1=cmd1, ACK1="OK")).code == "NOT_FOUND"


async def test_an_expired_command_is_not_delivered(server: Server, device: Device) -> None:
    await server.command("IDENTIFY", expires_ms=server.clock() + 5_000)
    server.clock.pass_s(5)
    assert (await device.call("commands")).code == "no_commands"


async def test_a_result_that_is_none_is_malformed(server: Server, device: Device) -> None:
    cmd1 = await server.command("IDENTIFY")
    answer = await device.call("command-ack", CMD1=cmd1, ACK1="FINE")
    assert (answer.code, answer.signed) == ("MALFORMED", False)


async def test_at_most_eight_commands_are_delivered_and_announced(
    server: Server, device: Device
) -> None:
    ids = [await server.command("IDENTIFY") for _ in range(11)]
    answer = await device.call("heartbeat")
    assert answer.message["PENDING_CMDS"] == "8"
    assert answer.message["CMD_IDS"] == ",".join(ids[:8])
    answer = await device.call("commands")
    assert [row["CMD1"] for row in answer.message["CMD"]] == ids[:8]


@pytest.mark.parametrize("syntax", [TOON, LINES])
async def test_an_answer_stays_within_its_limit_however_long_the_payloads(
    server: Server, syntax: str
) -> None:
    device = await server.registered(syntax=syntax)
    payload = "WIFI_PASSWORD:" + "%25" * 900
    for _ in range(8):
        await server.command("APPLY_CONFIG", cmd3=payload)
    answer = await device.call("commands")
    assert len(answer.response.content) <= tokens.ANSWER_MAX_BYTES
    assert len(answer.message["CMD"]) >= 1


async def test_a_revoked_device_is_given_wipe_and_revoke_only_and_may_acknowledge_them(
    server: Server, device: Device
) -> None:
    await server.command("IDENTIFY", cmd4="HIGH")
    wipe = await server.command("WIPE", sig_admin_a="A", sig_admin_b="B")
    await server.execute(devices.update().values(state="revoked"))
    answer = await device.call("commands")
    assert [(row["CMD1"], row["SIG_ADMIN_A"]) for row in answer.message["CMD"]] == [(wipe, "A")]
    assert (await device.call("command-ack", CMD1=wipe, ACK1="OK")).code == "ok"
    assert (await device.call("commands")).code == "no_commands"


async def test_too_many_polls_are_refused(server: Server, device: Device) -> None:
    for _ in range(120):
        assert (await device.call("commands")).code == "no_commands"
    assert (await device.call("commands")).code == "RATE_LIMIT"
    server.clock.pass_s(3600)
    assert (await device.call("commands")).code == "no_commands"


async def test_a_command_that_fits_no_answer_does_not_keep_the_others_back(
    server: Server, device: Device
) -> None:
    await server.command("APPLY_CONFIG", cmd3="SITE:" + '"' * 4000, cmd4="HIGH")
    waiting = await server.command("IDENTIFY")
    answer = await device.call("commands")
    assert [row["CMD1"] for row in answer.message["CMD"]] == [waiting]
