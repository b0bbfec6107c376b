"""Anything as the world of a terminal: it goes on living, believes nobody unsigned, recovers.

The signatures here are hashes (fake_ports.QuickCrypto), so that a life takes a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fake_ports import CRYPTO
from fakes import ADMIN_SEEDS, RELEASE_SEED, SERVER_SEED, Terminal, ready
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_agent import bundle, command_forms, life, signing, toon
from ks_agent.effects import CERTIFICATE_DATE, Response
from ks_agent.errors import Malformed
from ks_agent.store import as_text
from tests.fuzz.mutations import bent, fragments, mutated

EXAMPLES = settings.get_profile("fuzz")
URL = "http://server/api/devices/firmware/download?token=x"
FILES = {"lib/a.py": b"A" * 700, "main.py": b"print()\n"}
EXCHANGES = 10

Handle = Callable[[Any], Response]

failures = st.sampled_from(
    [OSError(), OSError("x"), OSError(CERTIFICATE_DATE), OSError(110, "timed out"),
     TimeoutError(), ConnectionResetError(104, "reset"), PermissionError(1, "no")]
)  # fmt: skip
content_types = st.sampled_from(
    ["text/toon", "text/plain", "TEXT/TOON", "text/toon; charset=utf-8", "", "a/b", "\udcff"]
)
junk = st.binary(max_size=60) | st.lists(fragments, max_size=10).map(b"".join)
unsigned = st.fixed_dictionaries(
    {},
    optional={
        "ERR1": st.sampled_from(["REVOKED", "DEVICE_NOT_FOUND", "TIMESTAMP_INVALID", "x"]),
        "RTY": st.sampled_from(["0", "-1", "999999999999999", "x", ""]),
        "S1": st.just("ok"),
        "TS": st.just("2031-01-01T00:00:00.000Z"),
    },
)  # fmt: skip


ranges_answered = st.fixed_dictionaries(
    {},
    optional={
        "content-range": st.sampled_from(
            ["bytes 0-127/2000", "bytes 128-900/2000", "bytes 0-0/1", "bytes */9", "x", "bytes", ""]
        ),
        "content-length": st.sampled_from(["0", "128", "2000", "x"]),
        "etag": st.sampled_from(['"a"', '"b"', 'W/"a"', "", "x", '"' + "a" * 200 + '"']),
    },
)


def release(now: str) -> tuple[dict[str, str], bytes]:
    """A good update: its offer and its bundle."""
    manifest = {
        "KIND": "application",
        "FW1": "rel-2",
        "FW2": "1.1.0",
        "COUNTER": "1",
        "BUILT": now,
        "EXPIRES": "2099-01-01T00:00:00.000Z",
        "TYPES": "ESP32_TERMINAL",
        "FILE": [
            {"PATH": path, "SHA256": signing.sha256_hex(CRYPTO, data), "SIZE": str(len(data))}
            for path, data in FILES.items()
        ],
    }
    encoded = toon.encode(manifest, as_text)
    signature = signing.sign_text(CRYPTO, RELEASE_SEED, signing.manifest_text(CRYPTO, encoded))
    data = bundle.make_head(encoded, signature) + encoded + b"".join(FILES.values())
    offer = {"FW1": "rel-2", "FW2": "1.1.0", "FW3": URL, "FW5": str(len(data))}
    offer["FW4"] = signing.sha256_hex(CRYPTO, data)
    offer["FW_SIG"] = signing.sign_release(CRYPTO, SERVER_SEED, offer)
    return offer, bytes(data)


def busy() -> Any:
    """A registered terminal that is offered commands of every kind, and an update."""
    terminal: Any = ready()
    server = terminal.server
    for number, name in enumerate(command_forms.COMMAND_NAMES):
        payload = {
            "APPLY_CONFIG": "SITE:x|LOG_LEVEL:INFO",
            "TRUST_KEY": f"KEY:{signing.b64(CRYPTO.public_key(b'k' * 32))}|ROLE:server",
            "DISTRUST_KEY": f"KEY:{signing.b64(CRYPTO.public_key(ADMIN_SEEDS[0]))}|ROLE:admin",
            "FETCH_LOGS": "LEVEL:DEBUG",
        }.get(name, "")
        server.command(name, number, payload)
    offer, data = release("2026-01-01T00:00:00.000Z")
    server.content[URL] = data
    server.answers["firmware/check"] = dict(offer, S1="update_available")
    server.answers["heartbeat"] = {
        "S1": "ok", "RTO": "60", "PENDING_CMDS": "8", "FW_AVAILABLE": "true", "FW2": "1.1.0",
    }  # fmt: skip
    return terminal


def live(terminal: Any, handle: Handle, exchanges: int) -> None:
    """So many exchanges through `handle`; whatever escapes from the agent fails the test."""
    honest: Handle = terminal.server.handle
    asked = [0]

    def ask(effect: Any) -> Response:
        asked[0] += 1
        assert effect.kind in ("fetch", "download")
        assert effect.method in ("GET", "POST")
        assert isinstance(effect.url, str)
        return handle(effect)

    terminal.server.handle = ask
    try:
        for _ in range(exchanges * 4):
            if asked[0] >= exchanges or terminal.step() is None:
                break
            assert terminal.agent.identity.state in life.STATES
            assert 0 <= getattr(terminal, "slept_ms", 0) <= 3_601_000
    except BaseException:
        terminal.life.close()
        raise
    terminal.server.handle = honest


def recovers(terminal: Any) -> None:
    """In an honest world again it heartbeats before long."""
    server = terminal.server
    server.bend = server.bend_signed = None
    server.answers.clear()
    server.commands = []
    before = terminal.beats()
    boots = len(terminal.restarts)
    terminal.run(lambda: terminal.beats() > (before if len(terminal.restarts) == boots else 0))
    terminal.life.close()


def pour(data: st.DataObject, effect: Any, content: bytes) -> Response:
    """A download of these bytes in pieces, and one status or another."""
    status = data.draw(st.sampled_from([200, 206, 200, 206, 302, 404, 500]))
    if effect.kind == "fetch":
        return Response(status, {}, content)
    if status in (200, 206):
        effect.begin(status, data.draw(ranges_answered))
    place = 0
    while status in (200, 206) and place < len(content):
        size = data.draw(st.sampled_from([1, 100, 2048]))
        effect.sink(memoryview(content)[place : place + size])
        place += size
    return Response(status, {}, b"")


@settings(EXAMPLES, max_examples=50)
@given(data=st.data())
def test_a_terminal_survives_any_answer_and_believes_nothing_unsigned(data: st.DataObject) -> None:
    terminal = busy()
    honest: Handle = terminal.server.handle
    known = set(terminal.fs.files), dict(terminal.vault.values)
    trust = terminal.agent.trust.keys("server"), terminal.agent.trust.keys("admin")

    def anything(effect: Any) -> Response:
        kind = data.draw(st.sampled_from(["junk", "unsigned", "near", "failure", "stale"]))
        headers = {"content-type": data.draw(content_types)}
        status = data.draw(st.integers(100, 599))
        body: bytes
        if effect.url == URL:
            return pour(data, effect, data.draw(junk))
        if kind == "failure":
            raise data.draw(failures)
        if kind == "junk":
            return Response(status, headers, data.draw(junk))
        if kind == "unsigned":
            body = signing.compose(data.draw(unsigned), "text/toon")
            return Response(status, {"content-type": "text/toon"}, body)
        response = honest(effect)
        if kind == "stale":
            previous, recorded.body = recorded.body, response.body
            return Response(200, response.headers, previous)
        body = data.draw(mutated(response.body).filter(lambda body: is_other(body, response)))
        return Response(response.status, response.headers, body)

    recorded = Response(200, {}, b"")
    live(terminal, anything, EXCHANGES)
    assert terminal.agent.identity.state == "ACTIVE"
    assert terminal.vault.values == known[1]
    assert (terminal.agent.trust.keys("server"), terminal.agent.trust.keys("admin")) == trust
    assert set(terminal.fs.files) == known[0]
    assert "command" not in terminal.board.counts
    assert terminal.restarts == []
    recovers(terminal)


def is_other(body: bytes, response: Response) -> bool:
    """Whether the changed bytes are another message: a blank more in TOON is not."""
    try:
        message = signing.parse(body, "text/toon", 65536, 4096)
    except Malformed:
        return True
    original = signing.parse(response.body, "text/toon", 65536, 4096)
    return any(message.get(key) != value for key, value in original.items())


@settings(EXAMPLES, max_examples=50)
@given(data=st.data())
def test_a_terminal_survives_any_answer_that_its_own_server_signs(data: st.DataObject) -> None:
    """A server that has gone mad, or whose key was stolen, cannot break it for good."""
    terminal = busy()
    server = terminal.server
    honest: Handle = server.handle
    shelf = list(server.commands)

    def mad(effect: Any) -> Response:
        if effect.url == URL:
            content = server.content[URL]
            return pour(data, effect, data.draw(st.just(content) | mutated(content) | junk))
        rows: list[Any] = data.draw(st.lists(st.sampled_from(shelf), max_size=3))
        changed: bool = data.draw(st.booleans())
        if rows and changed:
            row = data.draw(bent(rows[0], ["CMD1", "CMD2", "CMD3", "CMD5", "TS"]))
            row = {key: text for key, text in row.items() if isinstance(text, str)}
            signing.sign_command(CRYPTO, SERVER_SEED, row)
            rows = [row, *rows[1:]]
        server.answers["commands"] = {"CMD": rows}
        try:
            return honest(effect)
        except (TypeError, AttributeError):  # an answer that cannot even be written
            raise OSError("no answer") from None

    def bend(answer: dict[str, Any]) -> None:
        if data.draw(st.booleans()):
            changed = data.draw(bent(answer))
            answer.clear()
            answer.update(changed)

    server.bend = bend
    server.commands = []
    live(terminal, mad, EXCHANGES)
    assert [len(terminal.agent.trust.keys(role)) for role in ("release", "admin")] == [1, 2]
    assert terminal.agent.identity.state in ("UNREGISTERED", "ACTIVE", "REVOKED")
    recovers(terminal)


@settings(EXAMPLES, max_examples=40)
@given(data=st.data())
def test_a_download_of_anything_leaves_the_running_release_or_is_the_release(
    data: st.DataObject,
) -> None:
    terminal = busy()
    server = terminal.server
    server.commands = []
    server.answers["heartbeat"] = dict(server.answers["heartbeat"], PENDING_CMDS="0")
    honest: Handle = server.handle
    content = server.content[URL]

    def download(effect: Any) -> Response:
        if effect.url != URL:
            return honest(effect)
        ranges = dict(effect.headers).get("Range")
        part = content
        if ranges:
            first, last = ranges.removeprefix("bytes=").split("-")
            part = content[int(first) : int(last) + 1]
        if data.draw(st.integers(0, 4)):
            if effect.kind == "fetch":
                return Response(206, {}, part)
            headers = {}
            if ranges:
                end = int(first) + len(part) - 1
                headers["content-range"] = f"bytes {first}-{end}/{len(content)}"
            effect.begin(206 if ranges else 200, headers)
            effect.sink(part)
            return Response(206 if ranges else 200, headers, b"")
        if data.draw(st.booleans()):
            raise data.draw(failures)
        return pour(data, effect, data.draw(mutated(part) | junk))

    live(terminal, download, 14)
    if terminal.restarts:
        assert terminal.restarts[0] == "update"
        assert {path: terminal.fs.files["slot_b/" + path] for path in FILES} == FILES
    else:
        assert "data/state/boot.toon" not in terminal.fs.files
    recovers(terminal)


@settings(EXAMPLES, max_examples=40)
@given(data=st.data())
def test_a_new_terminal_registers_once_the_world_is_sane_whatever_it_was_before(
    data: st.DataObject,
) -> None:
    terminal: Any = Terminal()

    def anything(effect: Any) -> Response:
        if data.draw(st.booleans()):
            raise data.draw(failures)
        return Response(
            data.draw(st.integers(100, 599)),
            {"content-type": data.draw(content_types)},
            data.draw(junk),
        )

    live(terminal, anything, 6)
    assert terminal.agent.identity.state == "UNREGISTERED"
    key = terminal.vault.get("key")
    recovers(terminal)
    assert terminal.agent.identity.state == "ACTIVE"
    assert terminal.vault.get("key") == key
