"""The order of checks of PROTOCOL section 3: what comes first answers, and nothing is written
before SIG1 has been verified."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ks_agent import lines, schema, signing, tokens, toon
from ks_server.db.schema import devices, nonces, raw_messages
from tests.server.client import (
    BASE,
    CRYPTO,
    LINES,
    TOON,
    Device,
    Server,
    kid_of,
    public_text,
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


@pytest.mark.parametrize("syntax", [TOON, LINES])
@pytest.mark.parametrize("path", ["", "/", "/nothing", "/heartbeat/", "/heartbeat/x", "/../admin"])
async def test_unknown_paths_answer_with_a_message(server: Server, path: str, syntax: str) -> None:
    answer = read(await post(server, path, b"D1:x", syntax))
    assert (answer.status, answer.code) == (404, "NOT_FOUND")
    assert answer.response.headers["content-type"].startswith(syntax)


@pytest.mark.parametrize("op", sorted(schema.REQUESTS))
async def test_wrong_methods_answer_with_a_message(server: Server, op: str) -> None:
    right = schema.REQUESTS[op].method
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        if method == right:
            continue
        answer = read(await server.http.request(method, f"/api/devices/{op}"))
        assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
        assert answer.response.headers["allow"] == right


async def test_a_head_request_gets_the_status_and_no_body(server: Server) -> None:
    response = await server.http.head("/api/devices/heartbeat")
    assert (response.status_code, response.content) == (405, b"")


@pytest.mark.parametrize(("op", "limit"), [("heartbeat", 16), ("logs", 64), ("events", 64)])
async def test_a_body_over_the_limit_is_too_large_with_and_without_content_length(
    server: Server, op: str, limit: int
) -> None:
    body = b"D1:" + b"x" * (limit * 1024)
    answer = read(await post(server, "/" + op, body))
    assert (answer.status, answer.code) == (413, "TOO_LARGE")

    async def pieces() -> Any:
        for start in range(0, len(body), 4096):
            yield body[start : start + 4096]

    response = await server.http.post(f"/api/devices/{op}", content=pieces())
    assert (response.status_code, read(response).code) == (413, "TOO_LARGE")


async def test_a_query_over_the_limit_is_too_large(server: Server) -> None:
    answer = read(await server.http.get("/api/devices/commands?toon=" + "x" * 17_000))
    assert (answer.status, answer.code) == (413, "TOO_LARGE")
    answer = read(await server.http.get("/api/devices/commands?toon=" + "%41" * 17_000))
    assert answer.code == "TOO_LARGE"


async def test_size_comes_before_the_limit_per_source_and_that_before_syntax(start: Start) -> None:
    async with start(rate_limit_source="1/minute") as server:
        assert read(await post(server, "/heartbeat", b"\xff")).code == "MALFORMED"
        assert read(await post(server, "/heartbeat", b"x" * 20_000)).code == "TOO_LARGE"
        answer = read(await post(server, "/heartbeat", b"\xff"))
        assert (answer.status, answer.code, answer.signed) == (429, "RATE_LIMIT", False)
        assert answer.response.headers["retry-after"] == answer.message["RTY"]
        server.clock.pass_s(60)
        assert read(await post(server, "/heartbeat", b"\xff")).code == "MALFORMED"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"D1", b"D1:a|D1:b", b"D1:a||TS:b", b"d1:a", b"D1:%zz", b"D1:%41", b"D1:\xc0\xaf",
        b"CMD[0].CMD1:x", b"CMD_COUNT:1|CMD[1].CMD1:x", b"SIGX:a", b"X_COUNT:0|X:a", b"D1:a\r\n",
    ],
)  # fmt: skip
async def test_what_is_no_token_line_is_malformed(server: Server, body: bytes) -> None:
    answer = read(await post(server, "/heartbeat", body))
    assert (answer.status, answer.code, answer.signed) == (400, "MALFORMED", False)


@pytest.mark.parametrize(
    "body",
    [b"[2]: a,b", b"D1: a\nD1: b", b"a:\n  b: c", b"D1: null", b"SIGX: a", b"X_COUNT: 1"],
)
async def test_what_is_no_toon_message_is_malformed(server: Server, body: bytes) -> None:
    answer = read(await post(server, "/heartbeat", body, TOON))
    assert (answer.status, answer.code, answer.signed) == (400, "MALFORMED", False)


async def test_missing_tokens_are_listed(server: Server) -> None:
    answer = read(await post(server, "/heartbeat", b"D1:dev_1|HB2:1"))
    assert (answer.status, answer.code) == (400, "MISSING_TOKEN")
    assert answer.message["ERR3"] == "TS,NONCE,SIG1,HB1"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("D1", "a/b"), ("D1", ""), ("D1", "x" * 65), ("NONCE", "short"), ("NONCE", "x" * 15 + "."),
        ("TS", "yesterday"), ("TS", "2026-02-30T00:00:00Z"), ("HB2", "1_0"), ("HB2", "1.5"),
        ("HB3", "inf"), ("KID", "XYZ"), ("OP", "register"),
    ],
)  # fmt: skip
async def test_a_token_of_the_wrong_form_is_malformed(
    server: Server, device: Device, key: str, value: str
) -> None:
    answer = await device.call("heartbeat", **{key: value})
    assert (answer.status, answer.code, answer.signed) == (400, "MALFORMED", False)


@pytest.mark.parametrize("key", ["D1", "TS", "NONCE", "SIG1", "HB1"])
async def test_a_list_where_a_value_belongs_is_malformed(
    server: Server, device: Device, key: str
) -> None:
    message = device.build("heartbeat")
    message[key] = [{"A": "b"}]
    assert read(await device.send("heartbeat", message)).code == "MALFORMED"


async def test_a_token_of_another_endpoint_needs_op(device: Device) -> None:
    answer = await device.call("heartbeat", OP=None, ACK1="OK")
    assert answer.code == "MALFORMED"
    assert (await device.call("heartbeat", ACK1="OK")).code == "ok"


@pytest.mark.parametrize("op", ["events", "rotate-key", "time"])
async def test_some_operations_require_op(device: Device, op: str) -> None:
    tokens: dict[str, Any] = {
        "events": {"JID": "0" * 16, "EVENT": []},
        "rotate-key": {"D3": public_text(b"n" * 32), "SIG_NEW": WRONG},
    }.get(op, {})
    answer = await device.call(op, OP=None, **tokens)
    assert answer.code == "MISSING_TOKEN"
    assert answer.message["ERR3"] == "OP"


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


async def test_get_takes_its_message_from_the_query_and_its_syntax_from_accept(
    server: Server, device: Device
) -> None:
    for accept, expected in (
        ("text/toon", TOON), ("text/plain", LINES), ("*/*", LINES), ("text/html, text/toon", TOON),
    ):  # fmt: skip
        message = device.build("commands")
        query = {"toon": lines.encode(message).decode()}
        response = await server.http.get(
            "/api/devices/commands", params=query, headers={"Accept": accept}
        )
        assert response.headers["content-type"].startswith(expected)
        assert read(response).code == "no_commands"


async def test_a_query_that_holds_two_messages_is_malformed(server: Server, device: Device) -> None:
    text = lines.encode(device.build("commands")).decode()
    response = await server.http.get(
        "/api/devices/commands", params=[("toon", text), ("toon", text)]
    )
    assert read(response).code == "MALFORMED"


async def test_an_unknown_content_type_is_read_as_token_lines(
    server: Server, device: Device
) -> None:
    for content_type in ("application/json", "", "text/plain; charset=utf-8"):
        body = lines.encode(device.build("heartbeat")) + b"\n"
        answer = read(await post(server, "/heartbeat", body, content_type))
        assert answer.code == "ok"
        assert answer.response.headers["content-type"].startswith(LINES)
    body = toon.encode(device.build("heartbeat"), tokens.kind_of)
    answer = read(await post(server, "/heartbeat", body, "Text/TOON; charset=utf-8"))
    assert answer.code == "ok"


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
