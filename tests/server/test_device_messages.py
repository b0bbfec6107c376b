"""Everything under /api/devices is a message: paths, methods, sizes, syntaxes, tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ks_agent import lines, schema, signing, tokens, toon
from tests.server.client import (
    BASE,
    LINES,
    TOON,
    Device,
    Server,
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
