"""Packed, image and opaque bundles over the admin API: checked while they stream, kept whole."""

from __future__ import annotations

import hashlib
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ks_server.bundles import bundle_path
from ks_simulator.application import build, split

from .admin_support import (
    NOW_MS,
    RELEASE_SEED,
    Admin,
    make_bundle,
    open_admin,
)


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path, bundle_max_bytes=64 * 1024) as opened:
        yield opened


def folder(admin: Admin) -> list[str]:
    path = admin.context.settings.firmware_folder
    return sorted(file.name for file in path.iterdir()) if path.exists() else []


async def upload(admin: Admin, data: bytes) -> Any:
    return await admin.call("POST", "/releases", status=201, content=data)


def made_bundle(files: dict[str, bytes], **values: Any) -> bytes:
    """A bundle as `ks release build` makes it."""
    built_ms = NOW_MS - 86_400_000
    made = build(files, version="1.1.0", counter=2, built_ms=built_ms, **values)
    return made.signed(RELEASE_SEED).assemble()


TEXT = b"print('the same again')\n" * 500
PACKED = made_bundle({"main.py": TEXT, "a.bin": b"\x01\x02", "z.py": TEXT[:900]}, window_bits=10)
PACKED_FILES_BYTES = sum(split(PACKED).packed_sizes().values())
NEEDS = {"BOARD": "esp32,esp32-s3", "STAGE0": "2", "IMAGE_MIN": "1.25.0", "IMAGE_MAX": "1.26.9"}
OF_IMAGE = {"IMAGE": "1.26.0", "MPY": "6.3", "ARCH": "xtensawin"}


async def test_a_packed_bundle_is_checked_and_stored_as_it_came(admin: Admin) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(PACKED), 11):
            yield PACKED[start : start + 11]

    made = await admin.call("POST", "/releases", status=201, content=pieces())
    assert (made["fw5"], made["fw4"]) == (len(PACKED), hashlib.sha256(PACKED).hexdigest())
    assert bundle_path(admin.context.settings, "app-1.1.0").read_bytes() == PACKED
    assert made["fw5"] < len(TEXT)


@pytest.mark.parametrize("position", range(1, PACKED_FILES_BYTES, 5))
async def test_a_packed_file_that_was_changed_is_refused(admin: Admin, position: int) -> None:
    changed = bytearray(PACKED)
    changed[-position] ^= 0x10
    answer = await admin.client.post("/api/admin/releases", content=bytes(changed))
    if answer.status_code == 201:  # the bits that fill a stream's last byte mean nothing
        assert split(bytes(changed)).files == split(PACKED).files
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID")
        assert folder(admin) == []


def packed_by(window_bits: int, data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -window_bits)
    return packer.compress(data) + packer.flush()


ZEROS = packed_by(10, bytes(60_000))
WRONGLY_PACKED = {
    "more than it says": (ZEROS, 59_999),
    "less than it says": (ZEROS, 60_001),
    "far more than it says": (b"", 60_000),
    "no end": (ZEROS[:-2], 60_000),
    "more behind the end": (ZEROS + b"\0\0", 60_000),
    "no deflate": (b"\xff" * 80, 60_000),
}


@pytest.mark.parametrize("name", WRONGLY_PACKED)
async def test_a_file_that_is_packed_wrongly_is_refused(admin: Admin, name: str) -> None:
    data, size = WRONGLY_PACKED[name]
    data = data or packed_by(10, bytes(50_000_000))  # takes a second
    row = {
        "PATH": "main.py",
        "SHA256": hashlib.sha256(bytes(size)).hexdigest(),
        "SIZE": str(size),
        "PACKED": str(len(data)),
    }
    sent = make_bundle(contents={"main.py": data}, FILE=[row], WBITS="10")
    tracemalloc.start()
    try:
        await admin.refused("POST", "/releases", status=422, code="INVALID", content=sent)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024
    assert folder(admin) == []


async def test_what_unpacks_to_more_than_the_largest_bundle_is_refused(admin: Admin) -> None:
    bomb = made_bundle({"main.py": bytes(64 * 1024 + 1)}, window_bits=10)
    assert len(bomb) < 2000
    await admin.refused("POST", "/releases", status=413, code="TOO_LARGE", content=bomb)


async def test_what_a_release_needs_is_shown(admin: Admin) -> None:
    made = await upload(admin, made_bundle({"main.py": b""}, texts=NEEDS))
    assert (made["kind"], made["boards"], made["stage0"]) == (
        "application",
        ["esp32", "esp32-s3"],
        2,
    )
    assert (made["image_min"], made["image_max"], made["image"]) == ("1.25.0", "1.26.9", None)


async def test_an_image_and_opaque_files_are_releases(admin: Admin) -> None:
    image = {"micropython.bin": b"\xe9" * 3000}
    made = await upload(admin, made_bundle(image, kind="image", texts=OF_IMAGE))
    assert (made["fw1"], made["kind"], made["image"]) == ("image-1.1.0", "image", "1.26.0")
    files = {"kiosk.apk": b"PK" * 400, "notes.txt": b"new"}
    made = await upload(admin, made_bundle(files, kind="opaque", types=["MOBILE_KIOSK"]))
    assert (made["fw1"], made["kind"], made["types"]) == (
        "opaque-1.1.0",
        "opaque",
        ["MOBILE_KIOSK"],
    )
    assert (await admin.call("POST", "/releases/opaque-1.1.0/sign"))["kind"] == "opaque"


OF_WRONG_KIND: dict[str, dict[str, Any]] = {
    "an image in two files": {"files": {"micropython.bin": b"x", "y": b"y"}, **OF_IMAGE},
    "an image of another name": {"files": {"firmware.bin": b"x"}, **OF_IMAGE},
    "an image without its version": {"files": {"micropython.bin": b"x"}, "MPY": "6.3"},
    "opaque files for a terminal": {"KIND": "opaque", "TYPES": "MOBILE_KIOSK,ESP32_TERMINAL"},
    "a kind of its own": {"KIND": "applet"},
}


@pytest.mark.parametrize("name", OF_WRONG_KIND)
async def test_what_no_device_would_take_is_refused(admin: Admin, name: str) -> None:
    values: dict[str, Any] = {"KIND": "image", **OF_WRONG_KIND[name]}
    sent = make_bundle(**values)
    await admin.refused("POST", "/releases", status=422, code="INVALID", content=sent)
    assert folder(admin) == []


async def test_an_opaque_bundle_of_100_megabytes_passes_through_without_staying_in_memory(
    tmp_path: Path,
) -> None:
    size = 100 * 1024 * 1024
    noise = hashlib.sha256(b"noise").digest() * 4096
    digest = hashlib.sha256()
    for _ in range(size // len(noise)):
        digest.update(noise)
    row = {"PATH": "kiosk.img", "SHA256": digest.hexdigest(), "SIZE": str(size)}
    head = make_bundle(KIND="opaque", TYPES="MOBILE_KIOSK", FILE=[row], contents={})

    async def pieces() -> AsyncIterator[bytes]:
        yield head
        for _ in range(size // len(noise)):
            yield noise

    async with open_admin(tmp_path, bundle_max_bytes=size + 4096) as admin:
        tracemalloc.start()
        try:
            made = await admin.call("POST", "/releases", status=201, content=pieces())
            await admin.call("POST", "/releases/app-1.1.0/sign")
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert made["fw5"] == len(head) + size
    assert peak < 4 * 1024 * 1024
