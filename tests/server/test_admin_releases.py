"""Releases over the admin API: nothing is stored that the release key has not vouched for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from ks_agent import signing
from ks_server.admin import create_admin
from ks_server.bundles import BadBundle, BundleUpload, bundle_path
from ks_server.db.rollout_schema import rollout_devices
from ks_server.db.schema import commands
from ks_server.repository.releases import Offer
from ks_server.rollout_engine import Asker
from ks_server.settings import FixedSettings

from .admin_support import (
    CRYPTO,
    NOW_MS,
    RELEASE_SEED,
    SERVER_SEED,
    TOKEN,
    Admin,
    after,
    make_bundle,
    open_admin,
)

BUNDLE = make_bundle()
OTHER_SEED = b"x" * 32


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path, bundle_max_bytes=64 * 1024) as opened:
        yield opened


def folder(admin: Admin) -> list[str]:
    path = admin.context.settings.firmware_folder
    return sorted(file.name for file in path.iterdir()) if path.exists() else []


async def upload(admin: Admin, data: bytes = BUNDLE) -> Any:
    return await admin.call("POST", "/releases", status=201, content=data)


async def test_a_bundle_is_stored_as_it_came(admin: Admin) -> None:
    made = await upload(admin)
    assert made == {
        "fw1": "app-1.1.0",
        "fw2": "1.1.0",
        "fw4": hashlib.sha256(BUNDLE).hexdigest(),
        "fw5": len(BUNDLE),
        "types": ["ESP32_TERMINAL", "ESP32_READER"],
        "counter": 2,
        "state": "draft",
        "built": after(-1),
        "expires": after(300),
        "created": after(),
        "published": None,
        "revoked": None,
        "manifest_signature": made["manifest_signature"],
        "kind": "application",
        "boards": None,
        "image": None,
        "image_min": None,
        "image_max": None,
        "stage0": None,
    }
    assert folder(admin) == ["app-1.1.0.bundle"]
    assert bundle_path(admin.context.settings, "app-1.1.0").read_bytes() == BUNDLE
    assert await admin.call("GET", "/releases/app-1.1.0") == made
    assert await admin.all_items("/releases?state=draft", 1) == [made]


async def test_the_size_of_the_pieces_does_not_matter(admin: Admin) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b""
        for start in range(0, len(BUNDLE), 7):
            yield BUNDLE[start : start + 7]

    made = await admin.call("POST", "/releases", status=201, content=pieces())
    assert made["fw5"] == len(BUNDLE)


async def test_a_release_is_signed_published_and_revoked_in_this_order(admin: Admin) -> None:
    made = await upload(admin)
    path = f"/releases/{made['fw1']}"
    await admin.refused("POST", f"{path}/publish", status=409, code="WRONG_STATE")
    signed = await admin.call("POST", f"{path}/sign")
    assert (signed["state"], signed["kid"]) == ("signed", admin.context.keys.current.kid)
    message = {key.upper(): str(signed[key]) for key in ("fw1", "fw2", "fw4", "fw5")}
    message["FW_SIG"] = signed["fw_sig"]
    signing.verify_release(CRYPTO, CRYPTO.public_key(SERVER_SEED), message)
    assert await offered(admin) is None
    published = await admin.call("POST", f"{path}/publish")
    assert (published["state"], published["published"]) == ("published", after())
    newest = await offered(admin)
    assert newest is not None
    assert newest.release.path == "firmware/app-1.1.0.bundle"
    admin.clock["ms"] += 1000
    again = await admin.call("POST", f"{path}/publish")
    assert again["published"] == after()
    assert (await admin.call("POST", f"{path}/revoke"))["state"] == "revoked"
    assert await offered(admin) is None
    for step in ("sign", "publish", "revoke"):
        await admin.refused("POST", f"{path}/{step}", status=409, code="WRONG_STATE")
    assert [action for action, _ in await admin.actions()] == [
        "release",
        "release-signed",
        "release-published",
        "release-published",
        "release-revoked",
    ]


async def offered(admin: Admin) -> Offer | None:
    """What waits for a reader of version 1.0.0."""
    asker = Asker("dev_1", "ESP32_READER", None, None, "1.0.0", None)
    return await admin.context.catalogue.offer(asker, admin.clock["ms"])


async def test_a_release_that_is_not_there_is_not_found(admin: Admin) -> None:
    await admin.refused("GET", "/releases/none", status=404, code="NOT_FOUND")
    for step in ("sign", "publish", "revoke"):
        await admin.refused("POST", f"/releases/none/{step}", status=404, code="NOT_FOUND")
    await admin.refused("POST", "/releases/a%2Fb/sign", status=404, code="NOT_FOUND")


async def test_a_second_release_of_the_same_id_does_not_touch_the_first(admin: Admin) -> None:
    await upload(admin)
    other = make_bundle(files={"main.py": b"other"})
    await admin.refused("POST", "/releases", status=409, code="ALREADY_EXISTS", content=other)
    assert folder(admin) == ["app-1.1.0.bundle"]
    assert bundle_path(admin.context.settings, "app-1.1.0").read_bytes() == BUNDLE


async def test_a_stored_bundle_that_was_changed_is_not_signed(admin: Admin) -> None:
    await upload(admin)
    path = bundle_path(admin.context.settings, "app-1.1.0")
    path.write_bytes(BUNDLE[:-1] + b"!")
    await admin.refused("POST", "/releases/app-1.1.0/sign", status=409, code="WRONG_STATE")
    path.unlink()
    await admin.refused("POST", "/releases/app-1.1.0/sign", status=409, code="WRONG_STATE")


async def test_a_release_that_has_expired_is_not_published(admin: Admin) -> None:
    await upload(admin)
    await admin.call("POST", "/releases/app-1.1.0/sign")
    admin.clock["ms"] += 301 * 86_400_000
    await admin.refused("POST", "/releases/app-1.1.0/publish", status=409, code="EXPIRED")


REFUSED = {
    "nothing": (b"", "INVALID"),
    "no bundle": (b"x" * 4000, "INVALID"),
    "cut in the head": (BUNDLE[:100], "INVALID"),
    "cut in the manifest": (BUNDLE[:200], "INVALID"),
    "cut in a file": (BUNDLE[:-1], "INVALID"),
    "a byte too many": (BUNDLE + b"x", "INVALID"),
    "a changed file": (BUNDLE[:-1] + b"!", "INVALID"),
    "a changed manifest": (BUNDLE.replace(b"1.1.0", b"9.1.0", 1), "SIG_INVALID"),
    "signed by nobody we know": (make_bundle(seed=OTHER_SEED), "SIG_INVALID"),
    "signed by the server": (make_bundle(seed=SERVER_SEED), "SIG_INVALID"),
    "expired": (make_bundle(EXPIRES=after(-1)), "EXPIRED"),
    "of another kind": (make_bundle(KIND="recovery"), "INVALID"),
    "no version": (make_bundle(FW2="one"), "INVALID"),
    "an id with a slash": (make_bundle(FW1="../x"), "INVALID"),
    "a path upwards": (make_bundle(files={"../boot.py": b"x"}), "INVALID"),
    "no types": (make_bundle(TYPES=""), "INVALID"),
    "an empty type": (make_bundle(TYPES="ESP32_TERMINAL,"), "INVALID"),
    "files swapped": (
        make_bundle(
            files={"a.py": b"aaaa", "b.py": b"bbbb"}, contents={"a.py": b"bbbb", "b.py": b"aaaa"}
        ),
        "INVALID",
    ),
    "larger than allowed": (make_bundle(files={"main.py": b"x" * 70_000}), "TOO_LARGE"),
}
STATUS = {"INVALID": 422, "SIG_INVALID": 403, "EXPIRED": 409, "TOO_LARGE": 413}


async def test_a_bundle_that_must_not_be_installed_leaves_nothing_behind(admin: Admin) -> None:
    for name, (data, code) in REFUSED.items():
        answer = await admin.client.post("/api/admin/releases", content=data)
        assert (answer.status_code, answer.json()["error"]["code"]) == (STATUS[code], code), name
        assert folder(admin) == [], name
    assert await admin.all_items("/releases", 10) == []


async def test_without_release_keys_nothing_can_be_uploaded(tmp_path: Path) -> None:
    async with open_admin(tmp_path, release_public_keys="") as admin:
        await admin.refused("POST", "/releases", status=403, code="SIG_INVALID", content=BUNDLE)


async def test_a_stranger_to_the_release_key_is_cut_off_after_the_manifest(admin: Admin) -> None:
    data = make_bundle(seed=OTHER_SEED, files={"main.py": b"x" * 50_000})
    given = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal given
        for start in range(0, len(data), 1000):
            given = start
            yield data[start : start + 1000]
            await asyncio.sleep(0)

    await admin.refused("POST", "/releases", status=403, code="SIG_INVALID", content=pieces())
    assert given < 3000


async def test_an_upload_that_breaks_off_leaves_nothing_behind(admin: Admin) -> None:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": BUNDLE[:-100], "more_body": True},
        {"type": "http.disconnect"},
    ]
    seen: list[list[str]] = []

    async def receive() -> dict[str, Any]:
        seen.append(folder(admin))
        return messages.pop(0)

    async def send(message: Any) -> None:
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/admin/releases",
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
        "query_string": b"",
    }
    await create_admin(admin.context)(scope, receive, send)
    assert len(seen[1]) == 1
    assert folder(admin) == []


async def test_revoking_a_release_ends_its_rollouts_and_halts_who_waits(admin: Admin) -> None:
    await upload(admin)
    await admin.call("POST", "/releases/app-1.1.0/sign")
    await admin.add_device("dev_1", fw2="1.0.0")
    made = await admin.call("POST", "/rollouts", {"fw1": "app-1.1.0", "phases": [100]}, status=201)
    await admin.call("POST", f"/rollouts/{made['id']}/start")
    async with admin.context.engine.begin() as connection:
        held = {"rollout_id": made["id"], "d1": "dev_1", "state": "offered"}
        held |= {"offered_ms": NOW_MS, "touched_ms": NOW_MS}
        await connection.execute(insert(rollout_devices).values(**held))
    await admin.call("POST", "/releases/app-1.1.0/revoke")
    assert (await admin.call("GET", f"/rollouts/{made['id']}"))["state"] == "revoked"
    async with admin.context.engine.connect() as connection:
        rows = (await connection.execute(select(commands.c.d1, commands.c.cmd2))).all()
    assert [tuple(row) for row in rows] == [("dev_1", "HALT_UPDATES")]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_are_refused_or_are_the_bundle(tmp_path: Path, data: st.DataObject) -> None:
    changed = bytearray(BUNDLE)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(changed) - 1))
        changed[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(changed)) | st.just(len(changed)))
    sent = bytes(changed[:cut])
    upload = BundleUpload(FixedSettings(data=tmp_path), CRYPTO, (CRYPTO.public_key(RELEASE_SEED),))
    try:
        upload.write(sent)
        release = upload.finish()
    except BadBundle:
        assert sent != BUNDLE
    else:
        assert release.fw4 == hashlib.sha256(sent).hexdigest()
        # only what no signature covers may differ: how the head is padded
        assert sent[128:] == BUNDLE[128:]
    finally:
        upload.discard()
    assert list((tmp_path / "firmware").iterdir()) == []
