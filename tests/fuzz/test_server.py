"""Bytes at every operation of the server, in both syntaxes: a named answer and no traces.

Half of the examples are bytes that no device would send; the other half are signed by a device that
has gone mad, so that they get beyond SIG1.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_agent import lines, schema, signing, tokens
from ks_agent.errors import KsError
from tests.attack.raw import RawAnswer, raw
from tests.attack.requests import OPS, prepare, request
from tests.attack.world import World, opened
from tests.fuzz.mutations import bent, fragments, mutated
from tests.server.client import CRYPTO, Clock, Device
from tests.server.conftest import migrated_database

__all__ = ("migrated_database",)

EXAMPLES = settings.get_profile("fuzz")
SYNTAXES = ("text/toon", "text/plain")


class Errors(logging.Handler):
    """Everything that is logged as an error, tracebacks above all."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(str(record.msg))


class Target:
    """A running server, asked from tests that are no coroutines."""

    def __init__(self, runner: asyncio.Runner, world: World, device: Device, errors: Errors):
        self._runner = runner
        self.looking_on = sqlite3.connect(world.context.settings.data / "server.sqlite3")
        self.world = world
        self.device = device
        self.errors = errors
        self.cmd1 = self.run(prepare(world, device.d1))

    def run(self, work: Any) -> Any:
        return self._runner.run(work)

    def send(self, op: str, data: bytes, syntax: str, pieces: int = 1) -> RawAnswer:
        """The data as the message of this operation, as HTTP carries it there."""
        path = f"/api/devices/{op}"
        if op in tokens.GET:
            query = b"toon=" + quote_from_bytes(data).encode()
            headers = [(b"accept", syntax.encode())]
            return self.ask("GET", path, query, headers, [b""])
        size = len(data) // pieces + 1
        parts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        return self.ask("POST", path, b"", [(b"content-type", syntax.encode())], parts)

    def ask(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        pieces: Sequence[bytes],
    ) -> RawAnswer:
        answer: RawAnswer = self.run(
            raw(self.world.app, method, path, query=query, headers=headers, pieces=pieces)
        )
        return answer

    def version(self) -> int:
        """Another one after each commit of the server's."""
        return int(self.looking_on.execute("PRAGMA data_version").fetchone()[0])

    def check(self, answer: RawAnswer, syntax: str) -> dict[str, Any]:
        """A message with a length in that syntax, of a named code and its status."""
        assert self.errors.records == []
        assert int(answer.headers[b"content-length"]) == len(answer.body)
        if answer.headers[b"content-type"] == b"application/octet-stream":
            return {}
        assert len(answer.body) <= tokens.ANSWER_MAX_BYTES
        assert answer.headers[b"content-type"].startswith(syntax.encode())
        message: dict[str, Any] = signing.parse(answer.body, syntax, tokens.ANSWER_MAX_BYTES, 256)
        code = message.get("ERR1")
        assert code not in ("INTERNAL", "UNAVAILABLE")
        assert answer.status in ({200, 206} if code is None else {schema.STATUS[code], 416})
        assert b"Traceback" not in answer.body
        return message


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copy(migrated_database, folder / "server.sqlite3")
    errors = Errors()
    logging.getLogger().addHandler(errors)
    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
        server = opened(folder, Clock())
        world = runner.run(server.__aenter__())
        stack.callback(lambda: runner.run(server.__aexit__(None, None, None)))
        device = runner.run(world.registered())
        target = Target(runner, world, device, errors)
        stack.callback(target.looking_on.close)
        yield target
    logging.getLogger().removeHandler(errors)


@settings(EXAMPLES, max_examples=50)
@pytest.mark.parametrize("op", OPS)
@given(data=st.data(), syntax=st.sampled_from(SYNTAXES))
def test_any_bytes_and_near_valid_ones_get_a_named_answer_and_leave_no_trace(
    target: Target, op: str, data: st.DataObject, syntax: str
) -> None:
    message = request(target.device, op, target.cmd1)
    good = signing.compose(message, "text/plain" if op in tokens.GET else syntax)
    body = data.draw(mutated(good) | st.lists(fragments, max_size=10).map(b"".join))
    before = target.version()
    answer = target.check(target.send(op, body, syntax, data.draw(st.integers(1, 3))), syntax)
    if "SIG_SERV" not in answer:
        assert target.version() == before
        return
    # all that may be signed is an answer to the message itself, written in another way
    read = signing.parse(body, "text/plain" if op in tokens.GET else syntax, 65536, 4096)
    read["SIG_NEW"] = message.get("SIG_NEW")  # verified after SIG1, see the rotation's own tests
    assert {key: read[key] for key in message} == message


@settings(EXAMPLES, max_examples=60)
@pytest.mark.parametrize("op", OPS)
@given(data=st.data(), syntax=st.sampled_from(SYNTAXES))
def test_a_device_that_signs_nonsense_gets_a_named_answer(
    target: Target, op: str, data: st.DataObject, syntax: str
) -> None:
    keys = (*schema.REQUESTS[op].required, *schema.REQUESTS[op].optional)
    message = data.draw(bent(request(target.device, op, target.cmd1), keys))
    try:
        signing.sign_message(CRYPTO, target.device.seed, message)
        body = signing.compose(message, "text/plain" if op in tokens.GET else syntax)
    except (KsError, AttributeError):
        return  # what cannot be written down cannot be sent
    target.check(target.send(op, body, syntax), syntax)


paths = st.lists(
    st.sampled_from(["api", "devices", "heartbeat", "firmware", "check", "download", "..", ".", ""])
    | st.text(max_size=6),
    max_size=5,
).map(lambda parts: "/api/devices/" + "/".join(parts))
names = st.sampled_from(
    [b"content-type", b"content-length", b"accept", b"range", b"if-range", b"transfer-encoding",
     b"x-forwarded-for", b"x-request-id", b"host", b"expect", b"zz"]
)  # fmt: skip


@settings(EXAMPLES, max_examples=200)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS"]) | st.text(max_size=5),
    path=paths,
    query=st.binary(max_size=40) | mutated(b"toon=D1:x&token=AAAA"),
    headers=st.lists(st.tuples(names, fragments | st.just(b"bytes=0-")), max_size=4),
    body=st.lists(fragments, max_size=4),
)
def test_any_http_request_under_the_device_api_is_answered_with_a_message(
    target: Target,
    method: str,
    path: str,
    query: bytes,
    headers: list[tuple[bytes, bytes]],
    body: list[bytes],
) -> None:
    answer = target.ask(method, path, query, headers, body or [b""])
    if method == "HEAD":
        assert answer.body == b""
        return
    syntax = answer.headers[b"content-type"].partition(b";")[0].decode()
    assert syntax in SYNTAXES
    message = target.check(answer, syntax)
    assert "ERR1" in message


@settings(EXAMPLES, max_examples=50)
@given(token=st.binary(max_size=300), wanted=fragments | st.just(b"bytes=0-1"))
def test_any_download_token_is_refused(target: Target, token: bytes, wanted: bytes) -> None:
    query = b"token=" + quote_from_bytes(token).encode()
    path = "/api/devices/firmware/download"
    answer = target.ask("GET", path, query, [(b"range", wanted)], [b""])
    assert target.check(answer, "text/plain")["ERR1"] in ("UNAUTHORIZED", "TOO_LARGE")


def test_the_server_lives_on_after_all_this(target: Target) -> None:
    before = target.version()
    device = target.run(target.world.registered(**target.world.names()))
    body = lines.encode(device.build("heartbeat"))
    answer = target.check(target.send("heartbeat", body, "text/plain"), "text/plain")
    assert answer["S1"] == "ok"
    assert target.version() != before, "what the tests above would have seen"
    assert target.errors.records == []
