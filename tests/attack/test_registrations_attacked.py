"""Registration and downloads: tokens used twice, ids of others, links that are forged."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import pytest
from sqlalchemy import update

from ks_agent import signing
from ks_server.db.schema import devices, otrts
from ks_server.firmware_files import make_token
from tests.attack.conftest import Start
from tests.attack.raw import raw
from tests.attack.requests import NEWER
from tests.attack.terminal import STRANGER_SEED, application
from tests.attack.world import World
from tests.server.client import CRYPTO, DAY_MS, Device, public_text, read

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN = "a-one-time-token-of-good-length"
DOWNLOAD = "/api/devices/firmware/download"


async def invite(world: World, token: str = TOKEN, **values: Any) -> None:
    row = {
        "hash": hashlib.sha256(token.encode()).hexdigest(),
        "created_ms": world.clock(),
        "expires_ms": world.clock() + DAY_MS,
    }
    await world.insert(otrts, **row | values)


async def test_two_registrations_at_once_spend_one_token_once(start: Start) -> None:
    async with start(registration_mode="token") as world:
        await invite(world)
        crowd = [world.device(**world.names()) for _ in range(10)]
        answers = await asyncio.gather(*(one.call("register", OTRT=TOKEN) for one in crowd))
        codes = sorted(answer.code for answer in answers)
        assert codes == ["UNAUTHORIZED"] * 9 + ["registered"]
        assert len(await world.rows(devices)) == 1


async def test_a_token_is_good_for_nobody_else_and_never_again(start: Start) -> None:
    async with start(registration_mode="token") as world:
        await invite(world)
        await invite(world, "for-the-first-device-alone", d1="dev-first")
        await invite(world, "a-token-whose-time-is-over", expires_ms=world.clock())
        stranger = world.device(**world.names())
        hashed = hashlib.sha256(TOKEN.encode()).hexdigest()
        near = (TOKEN + "x", TOKEN.upper(), " " + TOKEN, "", hashed)
        for token in ("for-the-first-device-alone", "a-token-whose-time-is-over", *near):
            assert (await stranger.call("register", OTRT=token)).code == "UNAUTHORIZED", token
        assert await world.rows(devices) == []
        ours = world.device(**world.names())
        assert (await ours.call("register", OTRT=TOKEN)).code == "registered"
        assert (await stranger.call("register", OTRT=TOKEN)).code == "UNAUTHORIZED"
        other_key = world.device(d1=ours.d1, seed=STRANGER_SEED)
        answer = await other_key.call("register", OTRT=TOKEN)
        assert answer.code == "DEVICE_ALREADY_REGISTERED"


async def test_a_stolen_registration_is_of_no_use_to_the_thief(start: Start) -> None:
    """He sees the token on its way (there is no TLS here) and is faster than its owner."""
    async with start(registration_mode="token") as world:
        await invite(world, d1="dev-first")
        owner = world.device(d1="dev-first", seed=b"1" * 32)
        message = owner.build("register", OTRT=TOKEN)
        thief = world.device(**world.names())
        assert (await thief.call("register", OTRT=TOKEN)).code == "UNAUTHORIZED"
        mine = {**message, "D3": public_text(thief.seed)}
        assert read(await owner.send("register", mine)).code == "SIG_INVALID"
        assert read(await owner.send("register", message)).code == "registered"
        assert (await world.rows(devices))[0]["public_key"] == public_text(owner.seed)


async def test_a_key_let_in_for_a_repaired_device_is_good_once_and_for_it_alone(
    shared: World, device: Device
) -> None:
    new = b"N" * 32
    await shared.execute(
        update(devices).where(devices.c.d1 == device.d1).values(reenrol_public_key=public_text(new))
    )
    other = await shared.registered(**shared.names())
    assert (await shared.device(d1=other.d1, seed=new).call("register")).code == (
        "DEVICE_ALREADY_REGISTERED"
    )
    repaired = shared.device(d1=device.d1, seed=new)
    assert (await repaired.call("register")).code == "registered"
    assert read(await device.send("heartbeat", device.build("heartbeat"))).code == "SIG_INVALID"
    assert (await device.call("register")).code == "DEVICE_ALREADY_REGISTERED"


async def test_strangers_do_not_use_up_the_tries_of_the_right_device(start: Start) -> None:
    limits = {"rate_limit_registrations": "3/hour", "rate_limit_repeated_registrations": "3/hour"}
    async with start(**limits) as world:
        ours = world.device(**world.names())
        for _ in range(5):
            answer = await world.device(d1=ours.d1, seed=STRANGER_SEED).call("register")
        assert answer.code == "RATE_LIMIT"
        await world.allow(ours)
        assert (await ours.call("register")).code == "registered"


async def link(world: World, device: Device) -> bytes:
    """The token in the FW3 of an update for this device."""
    answer = await device.call("firmware/check", FW2="1.0.0")
    return str(answer.message["FW3"]).partition("?token=")[2].encode()


async def download(world: World, query: bytes, **options: Any) -> int:
    return (await raw(world.app, "GET", DOWNLOAD, query=query, **options)).status


async def test_a_link_with_anything_changed_opens_nothing(shared: World, device: Device) -> None:
    token = await link(shared, device)
    assert await download(shared, b"token=" + token) == 200
    content = base64.urlsafe_b64decode(token + b"=" * (-len(token) % 4))
    forged = [b"", token[:-4], token + b"AAAA", token * 2, b"=" * 8, b"\xff", token[::-1]]
    for place in range(0, len(content), 7):
        bent = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        forged.append(base64.urlsafe_b64encode(bent).rstrip(b"="))
    for query in forged:
        assert await download(shared, b"token=" + query) == 401, query


async def test_a_link_made_with_another_secret_or_for_something_else_opens_nothing(
    shared: World, device: Device
) -> None:
    secret = shared.context.download_secret
    soon = shared.clock() + 1000
    fw1 = NEWER.token("FW1")
    tokens = {
        (b"0" * 64, device.d1, fw1, soon): 401,
        (b"", device.d1, fw1, soon): 401,
        (secret, device.d1, fw1, shared.clock()): 401,
        (secret, device.d1, "no-such-release", soon): 404,
        (secret, "no-such-device", fw1, soon): 404,
        (secret, device.d1, "../server.sqlite3", soon): 404,
        (secret, device.d1, fw1, soon): 200,
    }
    for values, status in tokens.items():
        assert await download(shared, b"token=" + make_token(*values).encode()) == status, values


async def test_a_link_dies_with_its_hour_its_device_and_its_release(start: Start) -> None:
    async with start() as world:
        release = application("1.1.0", 2)
        await world.publish(release)
        device = await world.registered()
        token = b"token=" + await link(world, device)
        world.clock.pass_s(3599)
        assert await download(world, token) == 200
        world.clock.pass_s(1)
        assert await download(world, token) == 401
        token = b"token=" + await link(world, device)
        await world.execute(update(devices).values(state="revoked"))
        assert await download(world, token) == 403
        await world.execute(update(devices).values(state="active"))
        assert await download(world, token) == 200
        await world.admin("POST", f"/releases/{release.token('FW1')}/revoke")
        assert await download(world, token) == 404


async def test_a_link_is_not_read_from_anything_but_the_parameter_of_its_name(
    shared: World, device: Device
) -> None:
    token = await link(shared, device)
    for query in (b"Token=" + token, b"toon=" + token, token, b"token%20=" + token):
        answer = await raw(shared.app, "GET", DOWNLOAD, query=query)
        assert answer.status == 400, query
        assert b"MALFORMED" in answer.body


async def test_a_signed_download_of_what_is_not_a_release_finds_nothing(device: Device) -> None:
    for fw1 in ("..", ".", "server.sqlite3", "keys", "app-1.1.0.bundle", ".upload-x"):
        message = device.build("firmware/download", FW1=fw1)
        assert read(await device.send("firmware/download", message)).code == "NOT_FOUND"
    for fw1 in ("../server.sqlite3", "a/b", "a\\b", "%2e%2e", "", "x" * 65, "a\x00"):
        message = device.build("firmware/download", FW1=fw1)
        assert read(await device.send("firmware/download", message)).code == "MALFORMED"


async def test_the_release_in_a_download_is_the_one_that_was_signed_for(
    shared: World, device: Device
) -> None:
    """FW_SIG in the header verifies, over what the body is."""
    message = device.build("firmware/download", FW1=NEWER.token("FW1"))
    response = await device.send("firmware/download", message)
    release = {
        "FW1": NEWER.token("FW1"),
        "FW2": "1.1.0",
        "FW4": hashlib.sha256(response.content).hexdigest(),
        "FW5": str(len(response.content)),
        "FW_SIG": response.headers["x-firmware-signature"],
    }
    signing.verify_release(CRYPTO, shared.context.keys.current.public, release)
