"""HTTP as nobody should write it: everything under /api/devices is answered with a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
import pytest_asyncio

from ks_agent import lines, signing, tokens
from ks_server import run
from tests.attack.raw import RawAnswer, raw
from tests.attack.requests import OPS
from tests.attack.world import World, world_settings
from tests.server.client import Clock, Device

pytestmark = pytest.mark.asyncio(loop_scope="session")

HEARTBEAT = "/api/devices/heartbeat"
COMMANDS = "/api/devices/commands"
TOON = (b"content-type", b"text/toon")


def code_of(answer: RawAnswer) -> str:
    """ERR1 or S1 of the answer, which is a message with a length whatever it says."""
    assert int(answer.headers[b"content-length"]) == len(answer.body) <= tokens.ANSWER_MAX_BYTES
    syntax = answer.headers[b"content-type"].partition(b";")[0].decode()
    message = signing.parse(answer.body, syntax, tokens.ANSWER_MAX_BYTES)
    return str(message.get("ERR1") or message.get("S1"))


@pytest.mark.parametrize(
    "path",
    ["/api/devices", "/api/devices/", "/api/devices//heartbeat", "/api/devices/heartbeat/",
     "/api/devices/HEARTBEAT", "/api/devices/../admin/devices", "/api/devices/heartbeat/../time",
     "/api/devices/./heartbeat", "/api/devices/heartbeat;x=1", "/api/devices/heartbeat\x00",
     "/api/devices/firmware", "/api/devices/firmware//check", "/api/devices/\udcff",
     "/api/devices/" + "x" * 5000, "/api/devices/unknown"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_a_path_that_is_none_is_not_found_whatever_the_method(
    shared: World, method: str, path: str
) -> None:
    answer = await raw(shared.app, method, path, headers=[TOON])
    assert (answer.status, code_of(answer)) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "G\u00cbT", "get"]
)
async def test_another_method_is_refused_and_the_right_one_named(
    shared: World, device: Device, method: str
) -> None:
    for op in OPS:
        answer = await raw(shared.app, method, f"/api/devices/{op}", pieces=[b"D1:x"])
        assert (answer.status, code_of(answer)) == (405, "METHOD_NOT_ALLOWED"), op
        assert answer.headers[b"allow"] in (b"GET", b"POST")


async def test_a_head_request_has_the_headers_and_no_body(shared: World) -> None:
    for op in OPS:
        answer = await raw(shared.app, "HEAD", f"/api/devices/{op}")
        assert (answer.status, answer.body) == (405, b"")
        assert int(answer.headers[b"content-length"]) > 0


async def test_a_request_may_come_in_pieces_and_without_its_length(
    shared: World, device: Device
) -> None:
    body = signing.compose(device.build("heartbeat"), "text/toon")
    pieces = [body[at : at + 1] for at in range(len(body))]
    answer = await raw(shared.app, "POST", HEARTBEAT, headers=[TOON], pieces=pieces)
    assert code_of(answer) == "ok"


@pytest.mark.parametrize("length", [b"0", b"1", b"-1", b"+5", b"x", b"", b"1e3", b"9" * 5000])
async def test_a_length_that_lies_is_not_believed(
    shared: World, device: Device, length: bytes
) -> None:
    body = signing.compose(device.build("heartbeat"), "text/toon")
    headers = [TOON, (b"content-length", length)]
    answer = await raw(shared.app, "POST", HEARTBEAT, headers=headers, pieces=[body])
    assert code_of(answer) == ("TOO_LARGE" if length == b"9" * 5000 else "ok")


@pytest.mark.parametrize("op", OPS)
async def test_a_body_beyond_its_limit_is_too_large_however_it_comes(
    shared: World, op: str
) -> None:
    path = f"/api/devices/{op}"
    if op in tokens.GET:
        query = b"toon=" + b"D1:" + b"x" * 16384
        answer = await raw(shared.app, "GET", path, query=query)
        assert (answer.status, code_of(answer)) == (413, "TOO_LARGE")
        answer = await raw(shared.app, "GET", path, query=b"&" * 60_000)
        assert (answer.status, code_of(answer)) == (413, "TOO_LARGE")
        return
    limit = (64 if op in ("events", "logs") else 16) * 1024
    whole = [b"x" * (limit + 1)]
    for pieces in (whole, [b"x" * 1024] * (limit // 1024) + [b"x"], [b""] * 50 + whole):
        answer = await raw(shared.app, "POST", path, headers=[TOON], pieces=pieces)
        assert (answer.status, code_of(answer)) == (413, "TOO_LARGE")
    declared = [TOON, (b"content-length", b"%d" % (limit + 1))]
    answer = await raw(shared.app, "POST", path, headers=declared, pieces=[b"D1: x"])
    assert (answer.status, code_of(answer)) == (413, "TOO_LARGE")


def crowded(op: str) -> dict[str, bytes]:
    """Bodies that fit, of too many tokens, rows or characters."""
    key = {"logs": "LOG", "events": "EVENT"}.get(op, "ZZ")
    field = {"logs": "LOG3", "events": "E1"}.get(op, "A")
    return {
        "tokens": b"|".join(b"Z%d:1" % number for number in range(3100 if key != "ZZ" else 129)),
        "rows": b"|".join(b"%s[%d].%s:1" % (key.encode(), number, field.encode())
                          for number in range(257)) + b"|%s_COUNT:257" % key.encode(),
        "value": b"Z:" + b"x" * 4097,
        "value of two bytes each": b"Z:" + "\u00e4".encode() * 2049,
        "count": b"Z_COUNT:9999",
        "count of many digits": b"Z_COUNT:" + b"9" * 4000,
        "index of many digits": b"Z[" + b"9" * 4000 + b"].A:1|Z_COUNT:1",
    }  # fmt: skip


@pytest.mark.parametrize("op", ["heartbeat", "logs", "events"])
async def test_a_message_of_too_much_is_malformed(shared: World, op: str) -> None:
    path = f"/api/devices/{op}"
    for what, body in crowded(op).items():
        answer = await raw(shared.app, "POST", path, pieces=[body])
        assert (answer.status, code_of(answer)) == (400, "MALFORMED"), what
    many = 129 if op == "heartbeat" else 3100
    documents = (
        b"\n".join(b"Z%d: 1" % number for number in range(many)),
        b"ZZ[300]{A}:\n" + b"  1\n" * 300,
        b"ZZ[1]{" + b",".join(b"A%d" % n for n in range(many)) + b"}:\n  1",
        b"Z: " + b"x" * 4097,
        b"ZZ[999999999999]{A}:\n",
        b" " * 10_000 + b"A: 1",
        b"A:\n" + b"".join(b" " * (2 * n) + b"B:\n" for n in range(1, 100)),
        b'A: "' + b"\\" * 9_999,
        b"#" * 12_000,
        b"\n" * 12_000,
    )
    for document in documents:
        answer = await raw(shared.app, "POST", path, headers=[TOON], pieces=[document])
        assert answer.status == 400, document[:40]
        assert code_of(answer) in ("MALFORMED", "MISSING_TOKEN"), document[:40]


async def test_a_message_twice_in_a_query_is_malformed(shared: World, device: Device) -> None:
    good = quote_from_bytes(lines.encode(device.build("commands"))).encode()
    for query in (b"toon=%s&toon=%s", b"toon=%s&toon=", b"toon=&toon=%s", b"&toon=%s&a=b&toon=x"):
        text = query.replace(b"%s", good)
        answer = await raw(shared.app, "GET", COMMANDS, query=text)
        assert (answer.status, code_of(answer)) == (400, "MALFORMED"), query
    answer = await raw(shared.app, "GET", COMMANDS, query=b"a=b&toon=" + good + b"&=&c")
    assert code_of(answer) == "no_commands"


async def test_the_message_of_a_get_is_in_its_query_and_nowhere_else(
    shared: World, device: Device
) -> None:
    good = quote_from_bytes(lines.encode(device.build("commands"))).encode()
    for query, pieces in ((b"", [good]), (b"TOON=" + good, [b""]), (good, [b""])):
        answer = await raw(shared.app, "GET", COMMANDS, query=query, pieces=pieces)
        assert (answer.status, code_of(answer)) == (400, "MALFORMED")
    post = signing.compose(device.build("heartbeat"), "text/plain")
    answer = await raw(shared.app, "POST", HEARTBEAT, query=b"toon=" + post)
    assert (answer.status, code_of(answer)) == (400, "MALFORMED")


async def test_a_message_is_read_in_the_syntax_of_its_type_and_in_no_other(
    shared: World, device: Device
) -> None:
    """The same signature is good in both, so the bytes must mean one thing only."""
    types = {
        b"text/toon": "text/toon", b"TEXT/TOON": "text/toon", b"text/toon;charset=x": "text/toon",
        b" text/toon ": "text/toon", b"text/plain": "text/plain", b"": "text/plain",
        b"text/toon2": "text/plain", b"application/toon": "text/plain",
        b"text/plain, text/toon": "text/plain", b"text/toon, text/plain": "text/plain",
        b"multipart/form-data; boundary=text/toon": "text/plain",
        b"application/x-www-form-urlencoded": "text/plain", b"\xff\xfe": "text/plain",
    }  # fmt: skip
    for kind, syntax in types.items():
        message = device.build("heartbeat")
        for sent in ("text/toon", "text/plain"):
            body = signing.compose(message, sent)
            headers = [(b"content-type", kind)]
            answer = await raw(shared.app, "POST", HEARTBEAT, headers=headers, pieces=[body])
            assert answer.headers[b"content-type"].startswith(syntax.encode())
            code = code_of(answer)
            if sent == syntax:
                assert code in ("ok", "NONCE_REUSE"), kind
            else:
                assert code in ("MALFORMED", "MISSING_TOKEN"), kind


@pytest.mark.parametrize(
    "bend",
    ["A:%41", "A:%7c", "A:%2", "A:%", "A:%zz", "A:%25 |", "A:1|A:1", "A[0].B:1", "A_COUNT:1",
     "A[0].B:1|A_COUNT:2", "A[1].B:1|A_COUNT:1", "A[00].B:1|A_COUNT:1", "A[0].B:1|A_COUNT:01",
     "A[0].B:1|A_COUNT:1|A:x", "a:1", "A B:1", "A", ":1", "A:\t", "A:\x7f", "A:1\n\n", "\n", "|",
     "A:\u0000", "A[0]:1|A_COUNT:1", "A[0].B.C:1|A_COUNT:1", "A[-1].B:1|A_COUNT:1"],
)  # fmt: skip
async def test_a_line_with_two_readings_is_malformed(
    shared: World, device: Device, bend: str
) -> None:
    good = lines.encode(device.build("heartbeat")).decode()
    for text in (f"{good}|{bend}", f"{bend}|{good}"):
        answer = await raw(shared.app, "POST", HEARTBEAT, pieces=[text.encode()])
        assert (answer.status, code_of(answer)) == (400, "MALFORMED"), text


@pytest.mark.parametrize(
    "data", [b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\xe2\x82", b"\x80"]
)
async def test_ill_formed_utf8_is_malformed_in_body_and_query(
    shared: World, device: Device, data: bytes
) -> None:
    good = lines.encode(device.build("heartbeat"))
    document = signing.compose(device.build("heartbeat"), "text/toon")
    for headers, body in (([], good + b"|Z:" + data), ([TOON], document + b"\nZ: " + data)):
        answer = await raw(shared.app, "POST", HEARTBEAT, headers=headers, pieces=[body])
        assert (answer.status, code_of(answer)) == (400, "MALFORMED")
    quoted = b"".join(b"%%%02X" % byte for byte in data)
    for query in (data, quoted):
        line = quote_from_bytes(lines.encode(device.build("commands"))).encode() + b"|Z:" + query
        answer = await raw(shared.app, "GET", COMMANDS, query=b"toon=" + line)
        assert (answer.status, code_of(answer)) == (400, "MALFORMED")


async def test_an_address_in_a_header_is_nobodys_unless_a_proxy_of_ours_wrote_it(
    start: Any,
) -> None:
    """Otherwise the limit per address would be no limit."""
    async with start(rate_limit_source="5/minute") as world:
        for number in range(8):
            headers = [(b"x-forwarded-for", b"198.51.100.%d" % number)]
            answer = await raw(world.app, "GET", "/api/devices/x", headers=headers)
        assert code_of(answer) == "RATE_LIMIT"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def port(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """A server with sockets, as it is deployed."""
    settings = world_settings(tmp_path_factory.mktemp("socket"), host="127.0.0.1", port=0)
    async with run.running(settings, now_ms=Clock()) as listening:
        yield listening.port


async def exchange(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


HEAD = b"POST /api/devices/heartbeat HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = b"GET /api/devices/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nA:123",
     HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
     HEAD + b"Content-Length: -5\r\n\r\n", HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
     HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", HEAD + b"X" * 70_000 + b": y\r\n\r\n",
     b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\n", b"\xff" * 100],
)  # fmt: skip
async def test_a_request_that_http_itself_forbids_reaches_no_operation(
    port: int, data: bytes
) -> None:
    answer = await exchange(port, data)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")), answer
    assert answer.count(b"HTTP/1.1") <= 1
    assert b"Traceback" not in answer


async def test_a_path_on_the_socket_is_not_tidied_up_into_another(port: int) -> None:
    for path in (b"/api/devices/../admin/devices", b"/api/devices/%2e%2e/admin/devices",
                 b"//api/devices/time", b"/api/devices/time%00", b"/api/devices/time%2f",
                 b"/api/devices/%ff", b"/API/devices/time"):  # fmt: skip
        head = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await exchange(port, head)
        assert answer.startswith(b"HTTP/1.1 404 "), path


async def test_a_header_of_a_hundred_kilobytes_is_cut_off(port: int) -> None:
    head = HEAD + b"X-Long: " + b"y" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n"
    answer = await exchange(port, head)
    assert answer == b"" or b" 400 " in answer[:16] or b" 431 " in answer[:16]
