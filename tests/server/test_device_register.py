"""POST register: who may, once and again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from ks_agent import signing
from ks_server.db.schema import devices, nonces, otrts, raw_messages
from tests.server.client import DAY_MS, Device, Server, public_text, running_server

Start = Callable[..., running_server]


async def offer(server: Server, token: str, d1: str | None = None, days: int = 1) -> None:
    await server.insert(
        otrts,
        hash=hashlib.sha256(token.encode()).hexdigest(),
        d1=d1,
        created_ms=server.clock(),
        expires_ms=server.clock() + days * DAY_MS,
    )


async def test_a_whitelisted_device_registers_and_is_told_its_policy_and_interval(
    server: Server,
) -> None:
    device = server.device()
    await server.allow(device)
    answer = await device.call("register", D4="maker", D5="model", M1="north door")
    assert answer.status == 200
    assert answer.signed
    assert answer.message["S1"] == "registered"
    assert answer.message["O1"] == "default"
    assert answer.message["RTO"] == "60"
    (row,) = await server.rows(devices)
    assert (row["d1"], row["d2"], row["d4"], row["m1"]) == (
        "dev_1", "ESP32_TERMINAL", "maker", "north door",
    )  # fmt: skip
    assert row["public_key"] == public_text(device.seed)
    assert server.events == [
        ("device_registered", {"d1": "dev_1", "d2": "ESP32_TERMINAL", "at_ms": server.clock()})
    ]


async def test_the_key_may_come_as_pk1_and_as_base64_of_a_pem(server: Server) -> None:
    device = server.device()
    await server.allow(device)
    der = bytes.fromhex("302a300506032b6570032100") + signing.unb64(public_text(device.seed))
    pem = f"-----BEGIN PUBLIC KEY-----\n{signing.b64(der)}\n-----END PUBLIC KEY-----\n"
    answer = await device.call("register", D3=None, PK1=signing.b64(pem.encode()))
    assert answer.code == "registered"


@pytest.mark.parametrize("syntax", ["text/toon", "text/plain"])
async def test_registering_again_with_the_stored_key_changes_nothing(
    server: Server, syntax: str
) -> None:
    device = await server.registered(syntax=syntax)
    before = await server.rows(devices)
    server.clock.pass_s(1)
    answer = await device.call("register", D5="another model", OTRT="ignored")
    assert answer.code == "registered"
    after = await server.rows(devices)
    assert [row | {"last_seen_ms": 0} for row in after] == [
        row | {"last_seen_ms": 0} for row in before
    ]
    assert len(server.events) == 1


async def test_another_key_under_a_registered_id_is_refused_with_a_signed_answer(
    server: Server, device: Device
) -> None:
    stranger = server.device(seed=b"x" * 32)
    before = await server.fingerprint()
    answer = await stranger.call("register")
    assert (answer.status, answer.code, answer.signed) == (409, "DEVICE_ALREADY_REGISTERED", True)
    assert await server.fingerprint() == before


async def test_a_stranger_is_refused_with_a_signed_answer_that_tells_the_time_and_leaves_no_trace(
    server: Server,
) -> None:
    before = await server.fingerprint()
    answer = await server.device().call("register")
    assert (answer.status, answer.code, answer.signed) == (401, "UNAUTHORIZED", True)
    assert await server.fingerprint() == before


async def test_the_whitelist_wants_the_id_and_the_key(server: Server) -> None:
    await server.allow(server.device(seed=b"k" * 32))
    answer = await server.device(seed=b"x" * 32).call("register")
    assert answer.code == "UNAUTHORIZED"


async def test_a_registration_signed_with_another_key_than_its_own_is_sig_invalid(
    server: Server,
) -> None:
    device = server.device()
    await server.allow(device)
    other = public_text(b"x" * 32)
    answer = await device.call("register", D3=other)
    assert (answer.status, answer.code, answer.signed) == (403, "SIG_INVALID", False)


async def test_two_different_keys_in_one_registration_are_malformed(server: Server) -> None:
    answer = await server.device().call("register", PK1=public_text(b"x" * 32))
    assert answer.code == "MALFORMED"


async def test_in_open_mode_anybody_registers(start: Start) -> None:
    async with start(registration_mode="open") as server:
        assert (await server.device().call("register")).code == "registered"


async def test_a_one_time_token_registers_one_device_once(start: Start) -> None:
    async with start(registration_mode="token") as server:
        await offer(server, "token-1")
        first = server.device()
        assert (await first.call("register", OTRT="token-1")).code == "registered"
        second = server.device(d1="dev_2", seed=b"e" * 32)
        assert (await second.call("register", OTRT="token-1")).code == "UNAUTHORIZED"
        assert (await first.call("register", OTRT="token-1")).code == "registered"
        (row,) = await server.rows(otrts)
        assert (row["used_by"], row["used_ms"]) == ("dev_1", server.clock())


@pytest.mark.parametrize("token", ["token-2", None, ""])
async def test_a_token_that_does_not_fit_is_refused(start: Start, token: str | None) -> None:
    async with start(registration_mode="token") as server:
        await offer(server, "token-1")
        answer = await server.device().call("register", OTRT=token)
        assert answer.code == "UNAUTHORIZED"


async def test_a_token_for_one_device_is_no_good_for_another(start: Start) -> None:
    async with start(registration_mode="token") as server:
        await offer(server, "token-1", d1="dev_9")
        assert (await server.device().call("register", OTRT="token-1")).code == "UNAUTHORIZED"


async def test_an_expired_token_is_refused(start: Start) -> None:
    async with start(registration_mode="token") as server:
        await offer(server, "token-1")
        server.clock.pass_s(86_400)
        assert (await server.device().call("register", OTRT="token-1")).code == "UNAUTHORIZED"


async def test_an_approved_new_key_may_register_once_under_the_same_id(
    server: Server, device: Device
) -> None:
    repaired = server.device(seed=b"n" * 32)
    await server.execute(devices.update().values(reenrol_public_key=public_text(b"n" * 32)))
    assert (await repaired.call("register")).code == "registered"
    assert (await repaired.call("heartbeat")).code == "ok"
    assert (await device.call("heartbeat")).code == "SIG_INVALID"
    assert (await device.call("register")).code == "DEVICE_ALREADY_REGISTERED"


async def test_the_audit_keeps_the_registration_without_its_token(start: Start) -> None:
    async with start(registration_mode="token") as server:
        await offer(server, "token-very-secret")
        await server.device().call("register", OTRT="token-very-secret")
        (row,) = await server.rows(raw_messages)
        assert "OTRT:[redacted]" in row["message"]
        assert "very-secret" not in row["message"]
        assert "|SIG1:" in row["message"]


async def test_a_registration_dated_in_the_future_is_not_good_later(server: Server) -> None:
    device = server.device()
    await server.allow(device)
    server.clock.pass_s(86_400)
    message = device.build("register")
    server.clock.pass_s(-86_400)
    assert b"TIMESTAMP_INVALID" in (await device.send("register", message)).content
    assert len(await server.rows(nonces)) == 1
    server.clock.pass_s(86_400)
    assert b"NONCE_REUSE" in (await device.send("register", message)).content
