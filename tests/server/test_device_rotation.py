"""POST rotate-key: a new key only while a command is open, and the answer may get lost."""

from __future__ import annotations

from typing import Any

import pytest

from ks_agent import signing
from ks_server.db.schema import devices
from tests.server.client import CRYPTO, Device, Server, public_text, read

NEW = b"n" * 32


def request(device: Device, new: bytes = NEW, by: bytes | None = None, **tokens: Any) -> Any:
    """A rotate-key request; `by` signs SIG_NEW in place of the new key."""
    message = device.build("rotate-key", D3=public_text(new), **tokens)
    signing.sign_message(CRYPTO, by or new, message, "SIG_NEW")
    return message


async def rotate(device: Device, message: Any) -> str:
    return read(await device.send("rotate-key", message)).code


async def key_of(server: Server) -> str:
    return str((await server.rows(devices))[0]["public_key"])


async def test_while_a_command_is_open_the_key_is_replaced(server: Server, device: Device) -> None:
    await server.command("ROTATE_DEVICE_KEY")
    message = request(device)
    answer = read(await device.send("rotate-key", message))
    device.check("rotate-key", message, answer.message)
    assert answer.code == "ok"
    assert await key_of(server) == public_text(NEW)
    assert (await device.call("heartbeat")).code == "SIG_INVALID"
    device.seed = NEW
    assert (await device.call("heartbeat")).code == "ok"


@pytest.mark.parametrize(
    "values", [{"state": "draft"}, {"state": "done"}, {"cmd2": "IDENTIFY"}, {"d1": "dev_2"}]
)
async def test_without_an_open_command_of_its_own_a_device_keeps_its_key(
    server: Server, device: Device, values: dict[str, str]
) -> None:
    await server.registered(d1="dev_2", seed=b"2" * 32)
    await server.command(**({"cmd2": "ROTATE_DEVICE_KEY"} | values))
    answer = read(await device.send("rotate-key", request(device)))
    assert (answer.status, answer.code, answer.signed) == (401, "UNAUTHORIZED", True)
    assert await key_of(server) == public_text(device.seed)


async def test_an_expired_command_opens_nothing(server: Server, device: Device) -> None:
    await server.command("ROTATE_DEVICE_KEY", expires_ms=server.clock() + 1000)
    server.clock.pass_s(1)
    assert await rotate(device, request(device)) == "UNAUTHORIZED"


async def test_the_new_key_must_have_signed_the_request(server: Server, device: Device) -> None:
    await server.command("ROTATE_DEVICE_KEY")
    answer = read(await device.send("rotate-key", request(device, by=b"x" * 32)))
    assert (answer.code, answer.signed) == ("SIG_INVALID", True)
    assert await key_of(server) == public_text(device.seed)


async def test_the_old_key_must_have_signed_the_request(server: Server, device: Device) -> None:
    await server.command("ROTATE_DEVICE_KEY")
    stranger = server.device(seed=NEW)
    answer = read(await stranger.send("rotate-key", request(stranger)))
    assert (answer.code, answer.signed) == ("SIG_INVALID", False)


async def test_a_repetition_after_a_lost_answer_is_accepted_and_changes_nothing(
    server: Server, device: Device
) -> None:
    cmd1 = await server.command("ROTATE_DEVICE_KEY")
    assert await rotate(device, request(device)) == "ok"
    assert await rotate(device, request(device)) == "ok"
    renewed = server.device(seed=NEW)
    assert (await renewed.call("command-ack", CMD1=cmd1, ACK1="OK")).code == "ok"
    assert await rotate(device, request(device)) == "ok"
    assert await key_of(server) == public_text(NEW)


async def test_the_old_key_is_good_for_nothing_but_that_repetition(
    server: Server, device: Device
) -> None:
    await server.command("ROTATE_DEVICE_KEY")
    await rotate(device, request(device))
    for op in ("heartbeat", "commands", "time"):
        answer = await device.call(op)
        assert (answer.code, answer.signed) == ("SIG_INVALID", False)
    assert await rotate(device, request(device, new=b"z" * 32)) == "SIG_INVALID"
    assert await rotate(device, request(device, by=b"x" * 32)) == "SIG_INVALID"
    assert await key_of(server) == public_text(NEW)
