"""Logs: JSON lines with the request's id, and no way for a secret into them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ks_server import log as log_module
from ks_server.keys import ConfigurationError, write_pem
from ks_server.log import REDACTED, Redactor, configure, get_logger, secrets_of, start_sentry
from ks_server.metrics import Metrics
from ks_server.middleware import RequestMiddleware
from ks_server.settings import FixedSettings

SEED_TEXT = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
PREVIOUS_TEXT = "QTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
PEM = write_pem(b"p" * 32).decode()
SETTINGS = FixedSettings(
    server_private_key=PEM,
    server_previous_private_keys=f"{SEED_TEXT},{PREVIOUS_TEXT}",
    admin_token="admin-token-0123456789",
    download_secret="download-secret-0123456789-0123456789",
    sentry_dsn="https://dsnkey0123@sentry.example/1",
    event_webhook_url="https://hooks.example/services/hooksecret",
    database_url="postgresql+asyncpg://ks:database-password@db.example/ks",
)


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Logging configured onto a text, and put back as it was afterwards."""
    root = logging.getLogger()
    ours = logging.getLogger("ks_server")
    handlers, root_level, our_level = root.handlers[:], root.level, ours.level
    stream = io.StringIO()
    monkeypatch.setattr(log_module.redactor, "_secrets", ())
    configure(SETTINGS, stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(root_level)
    ours.setLevel(our_level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def next_turn() -> None:
    """Access lines are written in the turn of the event loop after the request's."""
    await asyncio.sleep(0)


def test_a_line_is_one_json_object_with_time_level_name_and_facts(output: io.StringIO) -> None:
    get_logger("ks_server.test").info("something_happened", d1="dev_1", count=3, text="a\nb|c")
    (line,) = lines(output)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "something_happened",
        "level": "info",
        "logger": "ks_server.test",
        "d1": "dev_1",
        "count": 3,
        "text": "a\nb|c",
    }


def test_a_level_below_the_configured_one_is_not_written(output: io.StringIO) -> None:
    get_logger("ks_server.test").debug("detail")
    assert output.getvalue() == ""


def test_nothing_is_written_before_logging_is_configured(
    capfd: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    handlers = root.handlers[:]
    root.handlers.clear()
    try:
        get_logger("ks_server.test").error("early")
    finally:
        root.handlers[:] = handlers
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


ALL_SECRETS = [
    PEM,
    PEM.splitlines()[1],
    SEED_TEXT,
    PREVIOUS_TEXT,
    "admin-token-0123456789",
    "download-secret-0123456789-0123456789",
    "https://dsnkey0123@sentry.example/1",
    "https://hooks.example/services/hooksecret",
    "database-password",
]


@pytest.mark.parametrize("secret", ALL_SECRETS)
def test_a_secret_of_the_configuration_never_comes_through(
    output: io.StringIO, secret: str
) -> None:
    log = get_logger("ks_server.test")
    error = ValueError(f"bad {secret} here")
    log.info("plain", detail=f"before {secret} after")
    log.info(f"in the event {secret}")
    log.info("nested", detail={"a": [secret, ("x", {"b": secret})]}, **{"k": {secret: 1}})
    log.info("object", detail=error)
    try:
        raise error
    except ValueError:
        log.exception("raised")
        logging.getLogger("some.library").exception("library %s", secret)
    logging.getLogger("uvicorn.error").error("foreign %s", secret)
    assert len(lines(output)) == 7
    written = output.getvalue()
    for form in (secret, json.dumps(secret)[1:-1]):
        assert form not in written


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("D1:dev_1|OTRT:one-time-token|TS:x", "one-time-token"),
        ("CMD2:APPLY_CONFIG|CMD3:SERVER%3Ax%7CWIFI_PASSWORD%3Ahunter2-wifi|", "hunter2-wifi"),
        ("WIFI_PASSWORD:hunter2-wifi", "hunter2-wifi"),
        ("GET /api/devices/commands?toon=D1%3Adev_1%7CSIG1%3Aabc", "SIG1%3Aabc"),
        ("GET /api/devices/firmware/download?token=abc_DEF-1", "abc_DEF-1"),
        ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
        ("postgresql://user:topsecret@host/db", "topsecret"),
        (write_pem(b"q" * 32).decode(), write_pem(b"q" * 32).decode().splitlines()[1]),
        ("-----BEGIN PRIVATE KEY-----\nMC4CAQ", "MC4CAQ"),
    ],
)
def test_what_looks_like_a_secret_of_the_protocol_is_blacked_out(text: str, secret: str) -> None:
    redacted = Redactor().text(text)
    assert secret not in redacted
    assert REDACTED in redacted


@pytest.mark.parametrize("name", ["OTRT", "otrt", "CMD3", "Authorization", "seed", "password"])
def test_a_field_with_the_name_of_a_secret_is_blacked_out(name: str) -> None:
    event = Redactor()(None, "info", {"event": "x", "detail": {name: "tiny"}, name: ["a", "b"]})
    assert event == {"event": "x", "detail": {name: REDACTED}, name: REDACTED}


def test_raw_bytes_are_told_by_their_number_only() -> None:
    assert Redactor()(None, "info", {"a": b"\x01" * 32}) == {"a": "<32 bytes>"}


def test_ordinary_facts_are_left_alone() -> None:
    event = {"event": "registered", "d1": "dev_1", "ms": 1.5, "ok": True, "none": None}
    assert Redactor()(None, "info", dict(event)) == event


def test_a_text_too_short_to_be_a_secret_does_not_black_out_others() -> None:
    redactor = Redactor()
    redactor.add(["abc"])
    assert redactor.text("abcdef") == "abcdef"


def test_every_secret_setting_is_known_to_the_redactor() -> None:
    known = secrets_of(SETTINGS)
    for name, value in SETTINGS:
        if hasattr(value, "get_secret_value"):
            assert value.get_secret_value() in known, name


def test_a_secret_of_several_words_is_blacked_out_to_its_end() -> None:
    for text in (
        "refused D1:dev_1|WIFI_PASSWORD:correct horse, 'battery' staple|SITE:north",
        "CMD3:WIFI_PASSWORD%3Acorrect horse%7Cx staple|CMD4:LOW",
    ):
        clean = Redactor().text(text)
        assert not any(word in clean for word in ("correct", "horse", "battery", "staple"))
        assert "|SITE:north" in clean or "|CMD4:LOW" in clean


def test_sentry_is_not_imported_unless_it_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentry_sdk", None)
    start_sentry(FixedSettings())
    with pytest.raises(ConfigurationError, match="sentry-sdk is not installed"):
        start_sentry(SETTINGS)


def client_of(
    handler: Any, settings: FixedSettings, peer: str = "192.0.2.9"
) -> tuple[httpx.AsyncClient, Metrics]:
    metrics = Metrics()
    app = RequestMiddleware(
        Starlette(routes=[Route("/{path:path}", handler)]), metrics, settings.proxy_networks
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://test"), metrics


async def tell(request: Request) -> PlainTextResponse:
    get_logger("ks_server.test").info("inside")
    return PlainTextResponse(f"{request.state.source} {request.state.request_id}")


async def test_the_access_line_has_the_path_but_never_the_query(output: io.StringIO) -> None:
    client, _metrics = client_of(tell, FixedSettings())
    async with client:
        answer = await client.get("/api/devices/commands?toon=D1:dev_1|OTRT:tok-secret-1")
    await next_turn()
    inside, access = lines(output)
    assert access["path"] == "/api/devices/commands"
    assert (access["method"], access["status"], access["source"]) == ("GET", 200, "192.0.2.9")
    assert "tok-secret-1" not in output.getvalue()
    assert "toon" not in output.getvalue()
    assert answer.headers["x-request-id"] == access["request_id"] == inside["request_id"]


async def test_the_id_of_a_request_ends_with_it(output: io.StringIO) -> None:
    client, _metrics = client_of(tell, FixedSettings())
    async with client:
        await client.get("/a")
    get_logger("ks_server.test").info("after")
    assert "request_id" not in lines(output)[-1]


async def test_each_request_has_an_id_of_its_own(output: io.StringIO) -> None:
    client, _metrics = client_of(tell, FixedSettings())
    async with client:
        ids = {(await client.get("/a")).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("peer", "forwarded", "source"),
    [
        ("192.0.2.9", "198.51.100.1", "192.0.2.9"),  # a stranger may not choose its address
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.7, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.7, nonsense", "10.0.0.1"),
        ("10.0.0.1", "nonsense, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ],
)
async def test_the_source_is_found_behind_trusted_proxies_only(
    peer: str, forwarded: str, source: str
) -> None:
    client, _metrics = client_of(tell, FixedSettings(trusted_proxies="10.0.0.0/8"), peer)
    async with client:
        answer = await client.get("/a", headers={"X-Forwarded-For": forwarded})
    assert answer.text.split()[0] == source


@pytest.mark.parametrize(
    ("peer", "sent", "kept"),
    [
        ("10.0.0.1", "abc-1", True),
        ("192.0.2.9", "abc-1", False),
        ("10.0.0.1", 'a"b', False),
        ("10.0.0.1", "a" * 65, False),
    ],
)
async def test_only_a_trusted_proxy_may_choose_the_requests_id(
    peer: str, sent: str, kept: bool
) -> None:
    client, _metrics = client_of(tell, FixedSettings(trusted_proxies="10.0.0.0/8"), peer)
    async with client:
        answer = await client.get("/a", headers={"X-Request-ID": sent})
    assert (answer.headers["x-request-id"] == sent) is kept


async def test_requests_are_counted_by_area_and_status_never_by_path() -> None:
    client, metrics = client_of(tell, FixedSettings())
    async with client:
        for path in ("/api/devices/x", "/api/admin/y", "/healthz", "/elsewhere"):
            await client.get(path)
    text = metrics.render().decode()
    for area in ("devices", "admin", "health", "other"):
        assert f'ks_http_requests_total{{area="{area}",status="200"}} 1.0' in text
    assert "elsewhere" not in text
    assert "ks_http_requests_in_flight 0.0" in text


async def test_a_crash_is_counted_and_logged_as_500(output: io.StringIO) -> None:
    async def crash(request: Request) -> PlainTextResponse:
        raise RuntimeError("no")

    client, metrics = client_of(crash, FixedSettings())
    async with client:
        assert (await client.get("/a")).status_code == 500
    await next_turn()
    assert lines(output)[-1]["status"] == 500
    assert 'ks_http_requests_total{area="other",status="500"} 1.0' in metrics.render().decode()
