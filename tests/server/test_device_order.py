"""The order of checks of PROTOCOL section 3: what comes first answers, and nothing is written
before SIG1 has been verified."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from ks_agent import signing
from ks_server.db.schema import devices, nonces, raw_messages
from tests.server.client import (
    BASE,
    CRYPTO,
    LINES,
    Device,
    Server,
    kid_of,
    read,
    running_server,
)  # fmt: skip

Start = Callable[..., running_server]
WRONG = signing.b64(bytes(64))


async def post(
    server: Server, path: str, body: bytes, syntax: str = LINES, **headers: str
) -> httpx.Response:
    headers = {"Content-Type": syntax} | headers
    return await server.http.post(BASE + "/api/devices" + path, content=body, headers=headers)


async def test_size_comes_before_the_limit_per_source_and_that_before_syntax(start: Start) -> None:
    async with start(rate_limit_source="1/minute") as server:
        assert read(await post(server, "/heartbeat", b"\xff")).code == "MALFORMED"
        assert read(await post(server, "/heartbeat", b"x" * 20_000)).code == "TOO_LARGE"
        answer = read(await post(server, "/heartbeat", b"\xff"))
        assert (answer.status, answer.code, answer.signed) == (429, "RATE_LIMIT", False)
        assert answer.response.headers["retry-after"] == answer.message["RTY"]
        server.clock.pass_s(60)
        assert read(await post(server, "/heartbeat", b"\xff")).code == "MALFORMED"


async def test_an_unknown_device_is_said_to_be_so_before_its_signature_is_looked_at(
    server: Server, device: Device
) -> None:
    answer = await server.device(d1="dev_9").call("heartbeat", SIG1=WRONG)
    assert (answer.status, answer.code, answer.signed) == (404, "DEVICE_NOT_FOUND", False)


async def test_nothing_is_written_before_sig1_is_verified(server: Server, device: Device) -> None:
    before = await server.fingerprint()
    rows = await server.rows(devices)
    for wrong in ({"SIG1": WRONG}, {"TS": "2001-01-01T00:00:00Z", "SIG1": WRONG}, {"SIG1": ""}):
        answer = await device.call("heartbeat", **wrong)
        assert (answer.status, answer.code, answer.signed) == (403, "SIG_INVALID", False)
    assert await server.fingerprint() == before
    assert await server.rows(devices) == rows


async def test_every_token_of_a_request_is_protected_by_its_signature(
    server: Server, device: Device
) -> None:
    good = device.build("heartbeat", HB3="1.5", HB6="ONLINE", FW2="1.0.0", OTHER="x")
    before = await server.fingerprint()
    other = {"D1": "dev_2", "TS": "2027-01-15T08:00:01.000Z", "KID": "0" * 8, "OP": None,
             "HB2": "61", "HB3": "1.6"}  # fmt: skip
    await server.registered(d1="dev_2", seed=b"2" * 32)
    before = await server.fingerprint()
    for key in good:
        changed = dict(good)
        replacement = other.get(key, good[key] + "x")
        if replacement is None:
            del changed[key]
        else:
            changed[key] = replacement
        if key == "SIG1":
            changed[key] = WRONG
        answer = read(await device.send("heartbeat", changed))
        assert answer.code == "SIG_INVALID", key
    added = dict(good, HB7="1")
    assert read(await device.send("heartbeat", added)).code == "SIG_INVALID"
    assert await server.fingerprint() == before
    assert read(await device.send("heartbeat", good)).code == "ok"


async def test_a_revoked_device_is_told_so_before_its_time_or_nonce_matter(
    server: Server, device: Device
) -> None:
    message = device.build("heartbeat")
    await device.send("heartbeat", message)
    await server.execute(devices.update().values(state="revoked"))
    answer = read(await device.send("heartbeat", message))
    assert (answer.status, answer.code, answer.signed) == (403, "REVOKED", True)
    answer = await device.call("heartbeat", TS="2001-01-01T00:00:00Z")
    assert answer.code == "REVOKED"


@pytest.mark.parametrize("op", ["heartbeat", "register", "firmware/check", "time"])
async def test_a_revoked_device_is_refused_everywhere_else_too(
    server: Server, device: Device, op: str
) -> None:
    await server.execute(devices.update().values(state="revoked"))
    tokens = {"FW2": "1.0.0"} if op == "firmware/check" else {}
    answer = await device.call(op, **tokens)
    assert (answer.code, answer.signed) == ("REVOKED", True)


async def test_the_time_is_checked_before_the_nonce_and_that_before_the_rate_limit(
    start: Start,
) -> None:
    async with start(rate_limit_heartbeats="1/hour") as server:
        device = await server.registered()
        message = device.build("heartbeat")
        assert read(await device.send("heartbeat", message)).code == "ok"
        assert read(await device.send("heartbeat", message)).code == "NONCE_REUSE"
        answer = await device.call("heartbeat")
        assert (answer.status, answer.code, answer.signed) == (429, "RATE_LIMIT", True)
        assert answer.response.headers["retry-after"] == answer.message["RTY"]
        assert 1 <= int(answer.message["RTY"]) <= 3600
        server.clock.pass_s(301)
        assert read(await device.send("heartbeat", message)).code == "TIMESTAMP_INVALID"


async def test_a_request_refused_by_the_rate_limit_has_not_used_its_nonce(start: Start) -> None:
    async with start(rate_limit_heartbeats="1/minute") as server:
        device = await server.registered()
        await device.call("heartbeat")
        message = device.build("heartbeat")
        assert read(await device.send("heartbeat", message)).code == "RATE_LIMIT"
        server.clock.pass_s(60)
        assert read(await device.send("heartbeat", message)).code == "ok"


async def test_replays_do_not_use_up_the_rate_limit_of_the_device(start: Start) -> None:
    async with start(rate_limit_heartbeats="2/hour") as server:
        device = await server.registered()
        message = device.build("heartbeat")
        await device.send("heartbeat", message)
        for _ in range(5):
            assert read(await device.send("heartbeat", message)).code == "NONCE_REUSE"
        assert (await device.call("heartbeat")).code == "ok"


async def test_the_audit_keeps_accepted_requests_only(server: Server, device: Device) -> None:
    await device.call("heartbeat", SIG1=WRONG)
    message = device.build("heartbeat")
    await device.send("heartbeat", message)
    await device.send("heartbeat", message)
    await device.call("heartbeat", TS="2001-01-01T00:00:00Z")
    rows = await server.rows(raw_messages)
    assert [row["op"] for row in rows] == ["register", "heartbeat"]
    await device.call("command-ack", CMD1="nothing", ACK1="OK")
    assert (await server.rows(raw_messages))[-1]["err1"] == "NOT_FOUND"


async def test_an_operation_that_says_no_has_used_the_nonce(server: Server, device: Device) -> None:
    before = len(await server.rows(nonces))
    message = device.build("command-ack", CMD1="nothing", ACK1="OK")
    answer = read(await device.send("command-ack", message))
    assert (answer.status, answer.code, answer.signed) == (404, "NOT_FOUND", True)
    assert len(await server.rows(nonces)) == before + 1
    assert read(await device.send("command-ack", message)).code == "NONCE_REUSE"


async def test_an_internal_error_is_a_signed_message_and_changes_nothing(
    server: Server, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await server.fingerprint()

    def fail(*_arguments: object) -> None:
        raise RuntimeError("planted")

    with monkeypatch.context() as patch:
        patch.setattr("ks_server.audit.row", fail)
        answer = await device.call("commands")
    assert (answer.status, answer.code, answer.signed) == (500, "INTERNAL", True)
    assert "planted" not in str(answer.message)
    assert await server.fingerprint() == before


async def test_the_digest_in_an_answer_is_the_one_of_the_core(device: Device) -> None:
    message = device.build("heartbeat", OTHER="ü|%")
    answer = read(await device.send("heartbeat", message))
    assert answer.message["RQ"] == signing.request_digest(CRYPTO, message)


async def test_a_device_that_trusts_an_older_server_key_is_led_to_the_current_one(
    start: Start,
) -> None:
    old, middle, new = b"1" * 32, b"2" * 32, b"3" * 32
    async with start(server_private_key=signing.b64(old)) as server:
        await server.registered(trusted_seed=old)
    previous = signing.b64(old) + "," + signing.b64(middle)
    async with start(
        server_private_key=signing.b64(new), server_previous_private_keys=previous
    ) as server:
        answer = await server.device(trusted_seed=old).call("heartbeat")
        assert [link["SEQ"] for link in answer.message["LINK"]] == ["2", "3"]
        answer = await server.device(trusted_seed=middle).call("heartbeat")
        assert [link["SEQ"] for link in answer.message["LINK"]] == ["3"]
        answer = await server.device(trusted_seed=new).call("heartbeat")
        assert "LINK" not in answer.message
        answer = await server.device(trusted_seed=old).call("heartbeat", SIG1=WRONG)
        assert "LINK" not in answer.message


async def test_a_device_that_names_no_key_is_answered_with_the_one_it_registered_with(
    start: Start,
) -> None:
    old, new = b"1" * 32, b"3" * 32
    async with start(server_private_key=signing.b64(old)) as server:
        await server.registered(trusted_seed=old, kid=False)
    async with start(
        server_private_key=signing.b64(new),
        server_previous_private_keys=signing.b64(old),
        legacy_key_window_days=30,
    ) as server:
        legacy = server.device(trusted_seed=old, kid=False)
        answer = await legacy.call("heartbeat")
        assert (answer.code, "LINK" in answer.message) == ("ok", False)
        assert (await legacy.call("register")).code == "registered"
        server.clock.pass_s(30 * 86_400)
        legacy.trusted_seed = new
        assert (await legacy.call("heartbeat")).code == "ok"


async def test_a_kid_that_the_server_never_had_gets_the_current_key_without_links(
    server: Server, device: Device
) -> None:
    answer = await device.call("heartbeat", KID=kid_of(b"z" * 32))
    assert (answer.code, "LINK" in answer.message) == ("ok", False)
