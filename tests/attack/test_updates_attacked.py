"""Releases that nobody signed, or signed for something else: none is installed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest

from ks_agent import bundle
from ks_agent.effects import Response
from tests.attack.offers import Offer, attempt, good, resigned, untouched
from tests.attack.terminal import RELEASE_SEED, STRANGER_SEED, application
from tests.attack.wire import Forward, as_response, deliver
from tests.attack.world import World
from tests.server.client import BASE, SERVER_SEED

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_release_that_is_good_is_staged(shared: World) -> None:
    """So that the tests below fail when they should."""
    terminal = await shared.living()
    assert await attempt(terminal, Offer(good().assemble())) == "staged"


def _unsigned(offer: Offer) -> None:
    del offer.tokens["FW_SIG"]


def _other(key: str, value: str) -> Callable[[Offer], None]:
    def change(offer: Offer) -> None:
        offer.tokens[key] = value

    return change


def _signed_again(key: str, value: str) -> Callable[[Offer], None]:
    def change(offer: Offer) -> None:
        offer.tokens[key] = value
        offer.sign()

    return change


def _bytes(change: Callable[[bytes], bytes], honest: bool) -> Callable[[Offer], None]:
    """Other bytes than the release's; `honest`: the server's own signature is over them."""

    def bend(offer: Offer) -> None:
        offer.data = offer.ranged = change(offer.data)
        if honest:
            digest = hashlib.sha256(offer.data).hexdigest()
            offer.tokens |= {"FW4": digest, "FW5": str(len(offer.data))}
            offer.sign()

    return bend


def _swapped(offer: Offer) -> None:
    """The manifest of the release, and a download of other bytes of the same size."""
    offer.data = offer.data[:-1] + b"\x00"


def _cut_on_the_way(offer: Offer) -> None:
    offer.data = offer.data[:-1]


def _flipped_on_the_way(offer: Offer) -> None:
    offer.data = _flipped(-10)(offer.data)


def _flipped(place: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        at = place if place >= 0 else len(data) + place
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return change


def _of(data: bytes) -> Callable[[Offer], None]:
    def change(offer: Offer) -> None:
        offer.__init__(data)  # type: ignore[misc]

    return change


RELEASE = good()
HEAD = bundle.HEAD_BYTES
OTHER_TYPE = application("1.1.0", 2, types=["ESP32_READER"])
UPDATES: dict[str, tuple[Callable[[Offer], None], tuple[str, ...]]] = {
    "no FW_SIG": (_unsigned, ("MISSING_TOKEN",)),
    "FW_SIG by a stranger": (lambda offer: void(offer.sign(STRANGER_SEED)), ("SIG_INVALID",)),
    "FW_SIG by the release key": (lambda offer: void(offer.sign(RELEASE_SEED)), ("SIG_INVALID",)),
    "FW1 changed": (_other("FW1", "app-9"), ("SIG_INVALID",)),
    "FW2 changed": (_other("FW2", "1.1.1"), ("SIG_INVALID",)),
    "FW4 changed": (_other("FW4", "0" * 64), ("SIG_INVALID",)),
    "FW5 changed": (_other("FW5", "9999"), ("SIG_INVALID",)),
    "the manifest of another release": (_signed_again("FW1", "app-9"), ("MIX_AND_MATCH",)),
    "the manifest of another version": (_signed_again("FW2", "1.2.0"), ("MIX_AND_MATCH",)),
    "the same version": (_signed_again("FW2", "1.0.0"), ("DOWNGRADE",)),
    "an older version": (_signed_again("FW2", "0.9.9"), ("DOWNGRADE",)),
    "an early version of the same": (_signed_again("FW2", "1.0.0-rc.1"), ("DOWNGRADE",)),
    "no version": (_signed_again("FW2", "newest"), ("MALFORMED",)),
    "a size that is none": (_signed_again("FW5", "0"), ("TOO_LARGE",)),
    "a negative size": (_signed_again("FW5", "-1"), ("TOO_LARGE",)),
    "a size beyond the flash": (_signed_again("FW5", "1048577"), ("TOO_LARGE",)),
    "a size that is not its own": (_signed_again("FW5", "9999"), ("SIZE",)),
    "a hash that is not its own": (_signed_again("FW4", "0" * 64), ("HASH",)),
    "manifest by a stranger": (_of(resigned(RELEASE, STRANGER_SEED)), ("SIG_INVALID",)),
    "manifest by the server": (_of(resigned(RELEASE, SERVER_SEED)), ("SIG_INVALID",)),
    "another type of device": (_of(OTHER_TYPE.assemble()), ("WRONG_TYPE",)),
    "a type that begins alike": (_of(resigned(RELEASE, TYPES="ESP32_TERMINAL2")), ("WRONG_TYPE",)),
    "types with a blank": (_of(resigned(RELEASE, TYPES=" ESP32_TERMINAL")), ("WRONG_TYPE",)),
    "behind the counter": (_of(resigned(RELEASE, COUNTER="4")), ("ROLLBACK",)),
    "no counter": (_of(resigned(RELEASE, COUNTER="")), ("MALFORMED",)),
    "a negative counter": (_of(resigned(RELEASE, COUNTER="-1")), ("MALFORMED",)),
    "expired": (_of(resigned(RELEASE, EXPIRES="2027-01-01T00:00:00Z")), ("EXPIRED",)),
    "another kind": (_of(resigned(RELEASE, KIND="bootloader")), ("KIND",)),
    "head cut": (_bytes(lambda data: data[:100], True), ("TOO_LARGE",)),
    "cut in the manifest": (_bytes(lambda data: data[:300], True), ("MALFORMED",)),
    "cut by a byte": (_bytes(lambda data: data[:-1], True), ("SIZE",)),
    "cut by a byte on the way": (_cut_on_the_way, ("nothing",)),
    "longer by a byte": (_bytes(lambda data: data + b"x", True), ("SIZE",)),
    "a bit of the head": (_bytes(_flipped(30), True), ("SIG_INVALID", "MALFORMED")),
    "a bit of the manifest": (_bytes(_flipped(HEAD + 30), True), ("SIG_INVALID",)),
    "a bit of a file": (_bytes(_flipped(-20), True), ("HASH",)),
    "a bit of a file on the way": (_flipped_on_the_way, ("HASH",)),
    "the bytes of another file": (_swapped, ("HASH",)),
    "two files exchanged": (
        _bytes(lambda data: data[: -1015] + data[-16:] + data[-1015:-16], True), ("HASH",),
    ),
    "nothing but a head": (_bytes(lambda data: data[:128], True), ("TOO_LARGE",)),
    "zeroes": (_bytes(lambda data: bytes(len(data)), True), ("MALFORMED",)),
}  # fmt: skip


def void(_value: object) -> None:
    """What a lambda gives back when nobody wants it."""


@pytest.mark.parametrize("case", UPDATES)
async def test_a_release_that_must_not_be_installed_is_refused_by_name(
    shared: World, case: str
) -> None:
    bend, codes = UPDATES[case]
    terminal = await shared.living()
    terminal.vault.set("counter", b"5" if case == "behind the counter" else b"1")
    before = terminal.flash()
    offer = Offer(RELEASE.assemble())
    bend(offer)
    assert (await attempt(terminal, offer)).partition(":")[0] in codes
    assert untouched(terminal, before)
    assert terminal.restarts == []
    terminal.wire.meddle = None
    heard = terminal.events().count("heartbeat")
    await terminal.run(lambda: terminal.events().count("heartbeat") > heard)


PATHS = (
    "../evil.py", "a/../../evil.py", "/etc/passwd", "a//b.py", "./a.py", "a/.", "a\\b.py", "",
    "a b.py", "manifest.toon", "manifest.sig", "a/" * 60 + "x", "data/../x", "\u00e4.py", "a\x00b",
    "x" * 97, "..", ".", "a/..", "C:evil",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_that_leads_out_of_the_slot_is_refused(shared: World, path: str) -> None:
    terminal = await shared.living()
    rows: Any = RELEASE.message["FILE"]
    files = sorted([*rows[1:], {**rows[0], "PATH": path}], key=lambda row: str(row["PATH"]))
    outside = {
        name: data for name, data in terminal.flash().items() if not name.startswith("slot_b/")
    }
    outside = {name: data for name, data in outside.items() if "/outbox/" not in name}
    assert await attempt(terminal, Offer(resigned(RELEASE, FILE=files))) == "MALFORMED"
    now = {name: data for name, data in terminal.flash().items() if "/outbox/" not in name}
    assert {name: data for name, data in now.items() if not name.startswith("slot_b/")} == outside


@pytest.mark.parametrize("change", ["twice", "out of order", "a folder and a file"])
async def test_a_list_of_files_that_contradicts_itself_is_refused(
    shared: World, change: str
) -> None:
    terminal = await shared.living()
    rows: Any = RELEASE.message["FILE"]
    files = {
        "twice": [*rows, rows[-1]],
        "out of order": rows[::-1],
        "a folder and a file": [{**rows[0], "PATH": "lib"}, *rows[1:]],
    }[change]
    before = terminal.flash()
    outcome = await attempt(terminal, Offer(resigned(RELEASE, FILE=files)))
    assert outcome in ("MALFORMED", "SIZE") or outcome.startswith("nothing"), outcome
    assert untouched(terminal, before)


async def test_a_terminal_without_the_time_installs_nothing(shared: World) -> None:
    """It could not tell an expired release from a new one."""
    terminal = await shared.living()
    offer = Offer(RELEASE.assemble())

    async def slow(effect: Any, forward: Forward) -> Response:
        terminal.clock.ms += 10_000
        return await offer.meddle(effect, forward)

    terminal.boot()
    terminal.wire.meddle = slow
    for _ in range(4):
        await terminal.cycle()
    assert not terminal.agent.clock.synced
    assert terminal.details("update_refused")[-1]["code"] == "EXPIRED"
    assert terminal.restarts == []


@pytest.mark.parametrize("place", range(3), ids=["the head", "the manifest", "the files"])
async def test_a_download_that_never_ends_is_cut_off_where_the_wanted_bytes_end(
    shared: World, place: int
) -> None:
    terminal = await shared.living()
    offer = Offer(RELEASE.assemble())
    begun: list[Any] = []
    poured = []

    async def endless(effect: Any, forward: Forward) -> Response:
        response = await offer.meddle(effect, forward)
        if effect.kind != "download":
            return response
        begun.append(effect)
        if len(begun) == place + 1:
            for _ in range(1000):
                poured.append(effect)
                effect.sink(bytes(2048))
            raise AssertionError("it swallowed two megabytes")
        return response

    terminal.wire.meddle = endless
    await terminal.run(lambda: terminal.restarts == ["update"])
    assert len(poured) == 1


@pytest.mark.parametrize("status", [401, 404, 416, 500])
async def test_a_server_that_answers_a_range_with_a_refusal_is_a_failure_of_the_link(
    shared: World, status: int
) -> None:
    terminal = await shared.living()
    offer = Offer(RELEASE.assemble())
    asked = []

    async def meddle(effect: Any, forward: Forward) -> Response:
        if effect.kind == "download":
            asked.append(effect)
            return deliver(effect, status, {}, offer.data)
        return await offer.meddle(effect, forward)

    terminal.wire.meddle = meddle
    for _ in range(3):
        await terminal.cycle()
    assert asked
    assert "update_refused" not in terminal.events()
    assert "slot_b/manifest.toon" not in terminal.flash()


async def test_a_server_that_ignores_ranges_serves_all_the_same(shared: World) -> None:
    terminal = await shared.living()
    offer = Offer(RELEASE.assemble())

    async def meddle(effect: Any, forward: Forward) -> Response:
        if effect.kind == "download":
            return deliver(effect, 200, {"content-length": str(len(offer.data))}, offer.data)
        return await offer.meddle(effect, forward)

    terminal.wire.meddle = meddle
    await terminal.run(lambda: terminal.restarts == ["update"])


async def test_a_bundle_exchanged_between_its_manifest_and_its_download_is_refused(
    shared: World,
) -> None:
    """Both are good releases, each signed: only together they are none."""
    terminal = await shared.living()
    offer = Offer(RELEASE.assemble())
    offer.data = application("1.1.1", 2).assemble()
    assert len(offer.data) == len(offer.ranged)
    assert await attempt(terminal, offer) == "HASH"


async def test_an_update_that_was_rolled_back_is_not_tried_again(shared: World) -> None:
    terminal = await shared.living()
    offer = Offer(RELEASE.assemble())
    assert await attempt(terminal, offer) == "staged"

    async def nonsense(effect: Any, forward: Forward) -> Response:
        return Response(200, {}, b"nonsense")

    terminal.wire.meddle = nonsense
    await terminal.run(lambda: terminal.slot == "a", 2000)
    assert terminal.restarts[-1].startswith("trial")
    terminal.restarts.clear()
    assert (await attempt(terminal, offer)).startswith("nothing")
    assert terminal.slot == "a"


async def test_an_unsigned_heartbeat_confirms_no_update(shared: World) -> None:
    terminal = await shared.living()
    assert await attempt(terminal, Offer(RELEASE.assemble())) == "staged"

    async def lie(effect: Any, forward: Forward) -> Response:
        return as_response({"S1": "ok", "RTO": "60"})

    terminal.wire.meddle = lie
    for _ in range(5):
        await terminal.cycle()
    assert "update_confirmed" not in terminal.events()
    assert b"TRIAL" in terminal.flash()["data/state/boot.toon"]


@pytest.mark.parametrize("change", ["manifest", "signature", "file", "longer", "shorter", "type"])
async def test_the_server_publishes_no_bundle_that_is_not_whole(shared: World, change: str) -> None:
    data = RELEASE.assemble()
    forged = {
        "manifest": resigned(RELEASE, STRANGER_SEED),
        "signature": data[:40] + bytes([data[40] ^ 1]) + data[41:],
        "file": data[:-1] + b"x",
        "longer": data + b"x",
        "shorter": data[:-1],
        "type": resigned(RELEASE, TYPES=""),
    }[change]
    folder = shared.context.settings.firmware_folder
    before = os.listdir(folder)
    url = f"{BASE}/api/admin/releases"
    answer = await shared.http.post(url, content=forged, headers=shared.admin_headers)
    assert answer.json()["error"]["code"] in ("INVALID", "SIG_INVALID")
    assert os.listdir(folder) == before
