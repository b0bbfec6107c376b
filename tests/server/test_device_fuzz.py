"""Any bytes at each endpoint: a named error as a message, never a 500, nothing written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ks_agent import lines, schema, signing, toon
from ks_server.settings import Settings
from tests.server.client import CRYPTO, LINES, TOON, Device, Server, read, running_server

OPS = sorted(schema.REQUESTS)
BEFORE_SIG1 = {
    "MALFORMED", "MISSING_TOKEN", "TOO_LARGE", "DEVICE_NOT_FOUND", "SIG_INVALID", "NOT_FOUND",
    "METHOD_NOT_ALLOWED", "UNAUTHORIZED",
}  # fmt: skip

KNOWN = "D1 D2 D3 TS NONCE SIG1 KID OP HB1 HB2 ACK1 CMD1 CMD JID EVENT LOG SEQ_MIN FW2 X"
PLAIN: dict[str, dict[str, Any]] = {
    "command-ack": {"CMD1": "c", "ACK1": "OK"},
    "firmware/check": {"FW2": "1.0.0"},
    "firmware/download": {"FW1": "f"},
    "firmware/ack": {"FW1": "f", "FW2": "1", "ACK1": "OK"},
    "logs": {"LOG1": "l", "LOG2": "INFO"},
    "events": {"JID": "0" * 16, "EVENT": []},
    "rotate-key": {"D3": signing.b64(b"x" * 32), "SIG_NEW": "x"},
}
NO_LIMITS: dict[str, Any] = {
    name: "" for name in Settings.model_fields if name.startswith("rate_limit_")
}

keys = st.one_of(
    st.sampled_from(KNOWN.split()), st.text(alphabet="ABC_019[].a", min_size=1, max_size=8)
)
values = st.one_of(
    st.sampled_from(["dev_1", "heartbeat", "2027-01-15T08:00:00.000Z", "n" * 16, "-1", "1e9", ""]),
    st.text(max_size=40),
)
tokens = st.dictionaries(keys, values, max_size=12)
extra = st.dictionaries(
    st.sampled_from(["HB1", "HB3", "FW2", "ACK2", "LOG3", "LOG1", "SEQ_MIN", "ZZ", "M1"]), values
)
row = st.dictionaries(st.sampled_from(["A1", "SEQ", "LOG3", "UP"]), values, min_size=1)
rows = st.dictionaries(st.sampled_from(["EVENT", "LOG", "ROWS"]), st.lists(row, max_size=4))
fuzz = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Loop:
    """A server that outlives the many examples of one test."""

    def __init__(self, runner: asyncio.Runner, server: Server, device: Device) -> None:
        self.runner = runner
        self.server = server
        self.device = device
        self.before = runner.run(server.fingerprint())

    def request(self, method: str, path: str, **values: Any) -> Any:
        return read(self.runner.run(self.server.http.request(method, path, **values)))

    def send(self, op: str, body: bytes, syntax: str) -> Any:
        url = f"/api/devices/{op}"
        if schema.REQUESTS[op].method == "GET":
            return self.request("GET", url, params={"toon": body}, headers={"Accept": syntax})
        return self.request("POST", url, content=body, headers={"Content-Type": syntax})

    def untouched(self) -> bool:
        return self.runner.run(self.server.fingerprint()) == self.before


@pytest.fixture
def loop(data_folder: Path) -> Iterator[Loop]:
    with asyncio.Runner() as runner:
        opened = running_server(data_folder, **NO_LIMITS)
        server = runner.run(opened.__aenter__())
        device = runner.run(server.registered())
        yield Loop(runner, server, device)
        runner.run(opened.__aexit__(None, None, None))


def test_any_bytes_are_refused_by_name_and_leave_the_database_alone(loop: Loop) -> None:
    @fuzz
    @given(
        st.sampled_from(OPS),
        st.binary(max_size=300),
        st.sampled_from([TOON, LINES, "application/json", ""]),
    )
    def check(op: str, body: bytes, syntax: str) -> None:
        answer = loop.send(op, body, syntax)
        assert answer.code in BEFORE_SIG1
        assert answer.status == schema.STATUS[answer.code]

    check()
    assert loop.untouched()


def test_any_tokens_are_refused_by_name_and_leave_the_database_alone(loop: Loop) -> None:
    @fuzz
    @given(st.sampled_from(OPS), tokens, st.booleans())
    def check(op: str, message: dict[str, str], native: bool) -> None:
        if native:
            body, syntax = toon.encode(message, lambda *_: "text"), TOON
        else:
            body, syntax = lines.encode(message), LINES
        answer = loop.send(op, body, syntax)
        assert answer.code in BEFORE_SIG1
        assert answer.status == schema.STATUS[answer.code]

    check()
    assert loop.untouched()


def test_any_tokens_in_a_signed_request_never_end_in_an_internal_error(loop: Loop) -> None:
    """The device itself may be the attacker: what it signs is stored or refused, never a crash."""

    @fuzz
    @given(st.sampled_from(OPS), extra, rows)
    def check(op: str, texts: dict[str, str], lists: dict[str, Any]) -> None:
        message = loop.device.build(op, **(PLAIN.get(op, {}) | texts | lists))
        answer = read(loop.runner.run(loop.device.send(op, message)))
        assert answer.code not in ("INTERNAL", "UNAVAILABLE"), answer.message
        assert answer.status == schema.STATUS.get(answer.code, 200)
        if answer.signed:
            loop.device.check(op, message, answer.message)

    check()


def test_any_path_and_method_is_answered_with_a_message(loop: Loop) -> None:
    methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"]

    @fuzz
    @given(st.sampled_from(methods), st.text(alphabet="abc/%._-~0ü", max_size=20))
    def check(method: str, path: str) -> None:
        answer = loop.request(method, "/api/devices/" + path)
        assert answer.code in BEFORE_SIG1

    check()
    assert loop.untouched()


def test_any_query_at_a_download_is_refused_by_name(loop: Loop) -> None:
    @fuzz
    @given(st.binary(max_size=80), st.binary(max_size=80))
    def check(token: bytes, range_header: bytes) -> None:
        answer = loop.request(
            "GET",
            "/api/devices/firmware/download",
            params={"token": token},
            headers={b"Range": range_header.replace(b"\n", b"").replace(b"\r", b"")},
        )
        assert answer.code in BEFORE_SIG1

    check()
    assert loop.untouched()


def test_every_single_flipped_bit_of_a_request_is_noticed(loop: Loop) -> None:
    message = loop.device.build("heartbeat")
    body = lines.encode(message)
    codes = set()
    for position in range(len(body)):
        changed = bytearray(body)
        changed[position] ^= 1 << (position % 8)
        codes.add(loop.send("heartbeat", bytes(changed), LINES).code)
    assert codes <= BEFORE_SIG1
    assert loop.untouched()
    signing.verify_message(CRYPTO, CRYPTO.public_key(loop.device.seed), message, "SIG1")
    assert loop.send("heartbeat", body, LINES).code == "ok"
