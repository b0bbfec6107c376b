"""Firmware: check, download by signature or token, byte ranges, acknowledgement."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ks_agent import lines, signing
from ks_server import firmware_files
from ks_server.db.schema import devices, firmware_acks, releases
from ks_server.firmware_files import BadToken, Unsatisfiable, parse_range
from tests.server.client import CRYPTO, LINES, TOON, Device, Server, read

CONTENT = bytes(range(256)) * 800
URL = "/api/devices/firmware/download"


@pytest.fixture
async def ready(server: Server, device: Device) -> Device:
    """A device for which release rel-2, version 1.2.0, waits."""
    await server.release("rel-2", "1.2.0", CONTENT)
    return device


async def link(device: Device) -> str:
    answer = await device.call("firmware/check", FW2="1.0.0")
    return str(answer.message["FW3"])


async def fetch(server: Server, url: str, **headers: str) -> httpx.Response:
    """Follow FW3 without signing, at the test's server instead of PUBLIC_URL."""
    path = url.removeprefix("https://ks.example")
    return await server.http.get(
        path, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


@pytest.mark.parametrize("syntax", [TOON, LINES])
async def test_a_check_tells_of_the_newest_release_with_its_signature(
    server: Server, syntax: str
) -> None:
    device = await server.registered(syntax=syntax)
    await server.release("rel-2", "1.2.0")
    await server.release("rel-10", "1.10.0", CONTENT)
    await server.release("rel-9", "1.9.0")
    answer = await device.call("firmware/check", FW2="1.0.0")
    message = answer.message
    assert message["S1"] == "update_available"
    assert (message["FW1"], message["FW2"], message["O1"]) == ("rel-10", "1.10.0", "default")
    assert message["FW4"] == hashlib.sha256(CONTENT).hexdigest()
    assert message["FW5"] == str(len(CONTENT))
    signing.verify_release(CRYPTO, CRYPTO.public_key(b"s" * 32), message)
    start, _, token = message["FW3"].partition("?token=")
    assert start == "https://ks.example" + URL
    assert token
    assert not token.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
    assert (await server.rows(devices))[0]["fw2"] == "1.0.0"


@pytest.mark.parametrize(
    "values",
    [
        {"fw2": "1.0.0"}, {"fw2": "0.9.9"}, {"fw2": "1.0.0-rc.1"}, {"state": "draft"},
        {"state": "signed"}, {"state": "revoked"}, {"types": "RPI_TERMINAL"}, {"expires_ms": 1},
        {"types": "ESP32_TERMINAL_2"},
    ],
)  # fmt: skip
async def test_a_release_that_is_not_for_this_device_is_not_offered(
    server: Server, device: Device, values: dict[str, Any]
) -> None:
    fw2 = values.pop("fw2", "1.2.0")
    await server.release("rel-2", fw2, **values)
    answer = await device.call("firmware/check", FW2="1.0.0")
    assert (answer.message["S1"], answer.message["RTO"]) == ("no_update", "3600")
    assert "FW1" not in answer.message


async def test_a_version_that_is_none_is_malformed(device: Device) -> None:
    answer = await device.call("firmware/check", FW2="one")
    assert (answer.code, answer.signed) == ("MALFORMED", False)


async def test_the_link_is_never_made_from_the_host_header(server: Server, ready: Device) -> None:
    message = ready.build("firmware/check", FW2="1.0.0")
    body = signing.compose(message, TOON)
    response = await server.http.post(
        "/api/devices/firmware/check",
        content=body,
        headers={"Content-Type": TOON, "Host": "evil.example", "X-Forwarded-Host": "evil.example"},
    )
    assert b"evil.example" not in response.content


async def test_a_bundle_comes_whole_by_a_signed_request(ready: Device) -> None:
    response = await ready.send("firmware/download", ready.build("firmware/download", FW1="rel-2"))
    assert response.status_code == 200
    assert response.content == CONTENT
    assert response.headers["content-length"] == str(len(CONTENT))
    assert response.headers["x-firmware-checksum"] == hashlib.sha256(CONTENT).hexdigest()
    assert response.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    signed = {
        "FW1": "rel-2",
        "FW2": "1.2.0",
        "FW4": hashlib.sha256(CONTENT).hexdigest(),
        "FW5": str(len(CONTENT)),
        "FW_SIG": response.headers["x-firmware-signature"],
    }
    signing.verify_release(CRYPTO, CRYPTO.public_key(b"s" * 32), signed)


async def test_a_bundle_comes_by_the_link_alone(server: Server, ready: Device) -> None:
    response = await fetch(server, await link(ready))
    assert (response.status_code, response.content) == (200, CONTENT)
    assert "x-firmware-signature" in response.headers


@pytest.mark.parametrize(
    ("wanted", "first", "end"),
    [
        ("bytes=0-127", 0, 128),
        ("bytes=128-", 128, len(CONTENT)),
        ("bytes=-10", len(CONTENT) - 10, len(CONTENT)),
        ("bytes=70000-999999999", 70_000, len(CONTENT)),
        (f"bytes={len(CONTENT) - 1}-", len(CONTENT) - 1, len(CONTENT)),
    ],
)
async def test_a_single_range_is_heeded(
    server: Server, ready: Device, wanted: str, first: int, end: int
) -> None:
    response = await fetch(server, await link(ready), range=wanted)
    assert response.status_code == 206
    assert response.content == CONTENT[first:end]
    assert response.headers["content-length"] == str(end - first)
    assert response.headers["content-range"] == f"bytes {first}-{end - 1}/{len(CONTENT)}"


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "lines=0-1", "bytes=5-2", "bytes=x", "-"])
async def test_a_range_that_is_none_is_ignored(server: Server, ready: Device, wanted: str) -> None:
    response = await fetch(server, await link(ready), range=wanted)
    assert (response.status_code, len(response.content)) == (200, len(CONTENT))


async def test_a_range_outside_the_bundle_is_416_with_its_size(
    server: Server, ready: Device
) -> None:
    wanted = f"bytes={len(CONTENT)}-"
    response = await fetch(server, await link(ready), range=wanted)
    assert (response.status_code, read(response).code) == (416, "MALFORMED")
    assert response.headers["content-range"] == f"bytes */{len(CONTENT)}"
    message = ready.build("firmware/download", FW1="rel-2")
    response = await server.http.get(
        URL, params={"toon": lines.encode(message).decode()}, headers={"Range": wanted}
    )
    assert (response.status_code, read(response).signed) == (416, True)


async def test_a_part_of_another_bundle_is_not_added_to_what_is_there(
    server: Server, ready: Device
) -> None:
    url = await link(ready)
    response = await fetch(server, url, range="bytes=10-19", if_range='"something else"')
    assert (response.status_code, response.content) == (200, CONTENT)
    response = await fetch(server, url, range="bytes=10-19", if_range=response.headers["etag"])
    assert (response.status_code, response.content) == (206, CONTENT[10:20])


async def test_a_link_is_good_for_an_hour(server: Server, ready: Device) -> None:
    url = await link(ready)
    server.clock.pass_s(3599)
    assert (await fetch(server, url)).status_code == 200
    server.clock.pass_s(1)
    response = await fetch(server, url)
    assert (response.status_code, read(response).code) == (401, "UNAUTHORIZED")


async def test_a_changed_link_is_refused(server: Server, ready: Device) -> None:
    url = await link(ready)
    head, _, token = url.partition("?token=")
    for position in range(0, len(token), 7):
        changed = "A" if token[position] != "A" else "B"
        forged = f"{head}?token={token[:position]}{changed}{token[position + 1 :]}"
        assert (await fetch(server, forged)).status_code == 401
    for token in ("", "x", "=" * 8, "A" * 500, "%00"):
        assert (await fetch(server, f"{head}?token={token}")).status_code in (401, 413)


async def test_a_revoked_device_or_release_ends_the_links(server: Server, ready: Device) -> None:
    url = await link(ready)
    await server.execute(devices.update().values(state="revoked"))
    assert read(await fetch(server, url)).code == "REVOKED"
    response = await ready.send("firmware/download", ready.build("firmware/download", FW1="rel-2"))
    assert (read(response).code, read(response).signed) == ("REVOKED", True)


async def test_a_revoked_release_is_gone_for_every_link(server: Server, ready: Device) -> None:
    url = await link(ready)
    assert (await fetch(server, url, range="bytes=0-9")).status_code == 206
    await server.execute(releases.update().values(state="revoked"))
    for headers in ({}, {"range": "bytes=0-9"}, {"range": "bytes=999999-"}):
        response = await fetch(server, url, **headers)
        assert (response.status_code, read(response).code) == (404, "NOT_FOUND")
    response = await ready.send("firmware/download", ready.build("firmware/download", FW1="rel-2"))
    assert (read(response).code, read(response).signed) == ("NOT_FOUND", True)


async def test_a_link_is_of_one_device_and_ends_with_it_alone(
    server: Server, ready: Device
) -> None:
    other = await server.registered(d1="dev_2", seed=b"e" * 32)
    urls = [await link(ready), await link(other)]
    assert urls[0] != urls[1]
    await server.execute(devices.update().where(devices.c.d1 == "dev_2").values(state="revoked"))
    assert [(await fetch(server, url)).status_code for url in urls] == [200, 403]
    await server.execute(devices.delete().where(devices.c.d1 == "dev_2"))
    assert read(await fetch(server, urls[1])).code == "DEVICE_NOT_FOUND"


async def test_a_client_that_has_the_bundle_gets_no_second_one(
    server: Server, ready: Device
) -> None:
    url = await link(ready)
    etag = (await fetch(server, url)).headers["etag"]
    for names in (etag, f'"x", W/{etag}', "*"):
        response = await fetch(server, url, if_none_match=names, range="bytes=0-9")
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
    response = await fetch(server, url, if_none_match='"x"', range="bytes=0-9")
    assert response.status_code == 206


async def test_only_get_gives_a_bundle(server: Server, ready: Device) -> None:
    path = (await link(ready)).removeprefix("https://ks.example")
    for method in ("HEAD", "POST", "DELETE"):
        response = await server.http.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, "GET")


async def test_an_unpublished_release_cannot_be_downloaded(server: Server, ready: Device) -> None:
    await server.release("rel-3", "1.3.0", state="signed")
    for fw1 in ("rel-3", "rel-4"):
        response = await ready.send("firmware/download", ready.build("firmware/download", FW1=fw1))
        assert (response.status_code, read(response).code) == (404, "NOT_FOUND")


async def test_a_missing_file_is_an_internal_error_and_no_broken_download(
    server: Server, ready: Device
) -> None:
    (server.context.settings.firmware_folder / "rel-2").unlink()
    response = await fetch(server, await link(ready))
    assert (response.status_code, read(response).code) == (500, "INTERNAL")


async def test_a_signed_download_is_good_once(ready: Device) -> None:
    message = ready.build("firmware/download", FW1="rel-2")
    assert (await ready.send("firmware/download", message)).status_code == 200
    assert read(await ready.send("firmware/download", message)).code == "NONCE_REUSE"


async def test_how_an_update_ended_is_kept_and_failures_are_announced(
    server: Server, ready: Device
) -> None:
    tokens = {"FW1": "rel-2", "FW2": "1.2.0"}
    answer = await ready.call("firmware/ack", ACK1="ERROR", ACK2="hash", LOG1="log-1", **tokens)
    assert answer.message["S1"] == "ok"
    assert server.events[-1][0] == "firmware_failed"
    assert server.events[-1][1]["ack2"] == "hash"
    assert (await server.rows(devices))[0]["fw2"] is None
    assert (await ready.call("firmware/ack", ACK1="OK", **tokens)).code == "ok"
    assert (await server.rows(devices))[0]["fw2"] == "1.2.0"
    assert [row["ack1"] for row in await server.rows(firmware_acks)] == ["ERROR", "OK"]
    assert [name for name, _ in server.events].count("firmware_failed") == 1


@given(st.binary(max_size=64), st.integers(min_value=1, max_value=1000))
def test_any_range_header_gives_a_part_of_the_file_or_nothing(header: bytes, size: int) -> None:
    for candidate in (header, b"bytes=" + header):
        try:
            part = parse_range(candidate, size)
        except Unsatisfiable:
            continue
        assert part is None or 0 <= part[0] < part[1] <= size


@given(st.text(max_size=300))
def test_any_text_is_no_token(text: str) -> None:
    with pytest.raises(BadToken):
        firmware_files.read_token(b"secret" * 8, text, 0)
