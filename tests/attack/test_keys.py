"""Keys that do not count: somebody's, revoked ones, replaced ones, and forged ways to new ones."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from ks_agent import signing
from ks_server.db.schema import devices
from tests.attack.conftest import Start
from tests.attack.requests import NEW_SEED, OPS, prepare, request, rotation
from tests.attack.terminal import RELEASE_SEED, STRANGER_SEED, Terminal, trust
from tests.attack.wire import answer_of, as_response
from tests.attack.world import World
from tests.server.client import CRYPTO, SERVER_SEED, Device, public_text, read

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECOND_SEED = b"2" * 32
THIRD_SEED = b"3" * 32
BEAT = {"HB1": "1", "HB2": "2"}


@pytest.mark.parametrize("op", OPS)
async def test_a_request_signed_with_another_key_is_refused_unsigned(
    shared: World, device: Device, op: str
) -> None:
    message = request(device, op, await prepare(shared, device.d1))
    before = await shared.contents()
    for seed in (STRANGER_SEED, SERVER_SEED, RELEASE_SEED, bytes(32)):
        signing.sign_message(CRYPTO, seed, message)
        answer = read(await device.send(op, message))
        assert (answer.code, answer.signed) == ("SIG_INVALID", False)
    assert await shared.contents() == before


async def test_signatures_of_the_wrong_form_are_refused(shared: World, device: Device) -> None:
    message = device.build("heartbeat")
    good = signing.unb64(message["SIG1"], 64)
    order = 2**252 + 27742317777372353535851937790883648493
    above = good[:32] + (int.from_bytes(good[32:], "little") + order).to_bytes(32, "little")
    small = bytes([1]) + bytes(31)
    for raw in (bytes(64), above, small + good[32:], small + bytes(32), good[:63], good + b"\0"):
        answer = read(await device.send("heartbeat", {**message, "SIG1": signing.b64(raw)}))
        assert (answer.code, answer.signed) == ("SIG_INVALID", False)
    assert read(await device.send("heartbeat", message)).code == "ok"


@pytest.mark.parametrize(
    "key", [bytes([1]) + bytes(31), bytes(32), b"\xec" + b"\xff" * 30 + b"\x7f"]
)
async def test_nobody_registers_a_key_for_which_any_signature_is_good(
    shared: World, key: bytes
) -> None:
    device = shared.device(**shared.names())
    forged = signing.b64(key + bytes(32))
    for signature in (forged, signing.b64(bytes([1]) + bytes(63)), signing.b64(bytes(64))):
        message = device.build("register", D3=signing.b64(key), SIG1=signature)
        assert read(await device.send("register", message)).code == "SIG_INVALID"


async def test_a_revoked_device_is_told_so_and_stored_nothing_of(
    shared: World, device: Device
) -> None:
    cmd1 = await prepare(shared, device.d1)
    await shared.execute(update(devices).where(devices.c.d1 == device.d1).values(state="revoked"))
    before = await shared.contents()
    for op in OPS:
        if op in ("commands", "command-ack"):
            continue
        answer = read(await device.send(op, request(device, op, cmd1)))
        assert (answer.code, answer.signed) == ("REVOKED", True), op
    assert await shared.contents() == before


async def test_a_key_that_was_replaced_signs_nothing_more(shared: World, device: Device) -> None:
    await prepare(shared, device.d1)
    message = rotation(device)
    assert read(await device.send("rotate-key", message)).code == "ok"
    for op in OPS:
        answer = read(await device.send(op, request(device, op, "c1")))
        assert answer.code == ("ok" if op == "rotate-key" else "SIG_INVALID") or op == "register"
    answer = read(await device.send("register", request(device, "register", "c1")))
    assert answer.code == "DEVICE_ALREADY_REGISTERED"
    answer = read(await device.send("rotate-key", rotation(device, STRANGER_SEED)))
    assert (answer.code, answer.signed) == ("SIG_INVALID", False)


async def test_an_answer_signed_with_any_other_key_than_the_servers_is_not_believed(
    shared: World,
) -> None:
    terminal = await shared.living()
    moment, drawn = terminal.clock.ms, terminal.rng.count
    await terminal.call("heartbeat", BEAT)
    good = answer_of(terminal.wire.answered[-1])
    forged = []
    for seed in (STRANGER_SEED, RELEASE_SEED, b"a" * 32, terminal.seed):
        signing.sign_message(CRYPTO, seed, good, "SIG_SERV")
        forged.append(as_response(good))
    terminal.clock.ms, terminal.rng.count = moment, drawn
    outcomes = [error async for error in terminal.ask_again("heartbeat", BEAT, None, forged)]
    assert [error.code if error else "" for error in outcomes] == ["SIG_INVALID"] * 4


def link(seq: int, seed: bytes, signer: bytes, **tokens: str) -> dict[str, str]:
    key = public_text(seed)
    signature = signing.sign_text(CRYPTO, signer, signing.link_text(seq, key))
    return {"SEQ": str(seq), "KEY": key, "SIG": signature, **tokens}


def forged_links() -> dict[str, tuple[list[dict[str, str]], bytes]]:
    """What each case is -> its LINK list and the key that then signs the answer."""
    second, third = link(2, SECOND_SEED, SERVER_SEED), link(3, THIRD_SEED, SECOND_SEED)
    cases = {
        "signed by nobody we trust": ([link(2, STRANGER_SEED, STRANGER_SEED)], STRANGER_SEED),
        "signed by a release key": ([link(2, STRANGER_SEED, RELEASE_SEED)], STRANGER_SEED),
        "the number of another place": ([link(3, SECOND_SEED, SERVER_SEED)], SECOND_SEED),
        "the number of our own key": ([link(1, SECOND_SEED, SERVER_SEED)], SECOND_SEED),
        "another number than was signed": ([{**second, "SEQ": "02"}], SECOND_SEED),
        "another key than was signed": (
            [{**second, "KEY": public_text(STRANGER_SEED)}], STRANGER_SEED,
        ),
        "a gap": ([third], THIRD_SEED),
        "the wrong order": ([third, second], SECOND_SEED),
        "the same link twice": ([second, second], SECOND_SEED),
        "cut short, signed with the last key": ([second], THIRD_SEED),
        "the end signed by the beginning": (
            [second, link(3, THIRD_SEED, SERVER_SEED)], THIRD_SEED,
        ),
        "the answer signed by the key before": ([second], SERVER_SEED),
        "no signature": ([{key: second[key] for key in ("SEQ", "KEY")}], SECOND_SEED),
        "no number": ([{key: second[key] for key in ("KEY", "SIG")}], SECOND_SEED),
        "no key": ([{key: second[key] for key in ("SEQ", "SIG")}], SECOND_SEED),
        "a key that is none": (
            [{**second, "KEY": "AAAA", "SIG": signing.sign_text(
                CRYPTO, SERVER_SEED, signing.link_text(2, "AAAA"))}], SECOND_SEED,
        ),
    }  # fmt: skip
    return cases


@pytest.mark.parametrize("case", forged_links())
async def test_forged_links_lead_to_no_key(shared: World, case: str) -> None:
    links, signer = forged_links()[case]
    terminal = await shared.living()
    moment, drawn = terminal.clock.ms, terminal.rng.count
    await terminal.call("heartbeat", BEAT)
    answer = answer_of(terminal.wire.answered[-1]) | {"LINK": links}
    signing.sign_message(CRYPTO, signer, answer, "SIG_SERV")
    terminal.clock.ms, terminal.rng.count = moment, drawn
    before = terminal.flash()
    responses = [as_response(answer)]
    outcomes = [error async for error in terminal.ask_again("heartbeat", BEAT, None, responses)]
    assert outcomes[0] is not None
    assert outcomes[0].code in ("SIG_INVALID", "MALFORMED")
    assert terminal.flash() == before


async def test_links_that_are_good_are_stored_only_with_an_answer_that_is_ours(
    start: Start,
) -> None:
    async with start() as world:
        names = world.names()
        await world.allow(world.device(**names))
    keys = {
        "server_private_key": signing.b64(THIRD_SEED),
        "server_previous_private_keys": f"{signing.b64(SERVER_SEED)},{signing.b64(SECOND_SEED)}",
    }
    async with start(**keys) as world:
        ours = Terminal(world.http, world.clock, names["d1"], names["seed"], trust())
        theirs = await world.terminal()
        theirs.boot()
        await theirs.run(lambda: len(theirs.wire.answered) == 1)
        answer = theirs.wire.answered[0]
        assert [row["SEQ"] for row in answer_of(answer)["LINK"]] == ["2", "3"]
        ours.boot()
        await ours.step()
        registration: dict[str, Any] = {"D2": "X", "D3": ours.agent.identity.public_text()}
        outcomes = [one async for one in ours.ask_again("register", registration, None, [answer])]
        assert outcomes[0] is not None
        assert outcomes[0].code == "UNBOUND"
        assert "data/state/trust.toon" not in ours.flash()
        await ours.run(lambda: "heartbeat" in ours.events())
        assert ours.agent.trust.keys("server") == [CRYPTO.public_key(THIRD_SEED)]


async def test_the_key_before_the_current_one_signs_no_answer_once_the_terminal_has_left_it(
    start: Start,
) -> None:
    async with start():
        pass
    keys = {
        "server_private_key": signing.b64(SECOND_SEED),
        "server_previous_private_keys": signing.b64(SERVER_SEED),
    }
    async with start(**keys) as world:
        terminal = await world.living()
        moment, drawn = terminal.clock.ms, terminal.rng.count
        await terminal.call("heartbeat", BEAT)
        answer = answer_of(terminal.wire.answered[-1])
        forged = [as_response(answer)]
        signing.sign_message(CRYPTO, SERVER_SEED, answer, "SIG_SERV")
        forged.append(as_response(answer))
        answer["LINK"] = [link(2, STRANGER_SEED, SERVER_SEED)]
        signing.sign_message(CRYPTO, STRANGER_SEED, answer, "SIG_SERV")
        forged.append(as_response(answer))
        terminal.clock.ms, terminal.rng.count = moment, drawn
        outcomes = [one async for one in terminal.ask_again("heartbeat", BEAT, None, forged)]
        assert [error.code if error else "" for error in outcomes] == ["", *["SIG_INVALID"] * 2]


async def test_a_rotation_needs_an_open_command_and_both_signatures(
    shared: World, device: Device
) -> None:
    answer = read(await device.send("rotate-key", rotation(device)))
    assert (answer.code, answer.signed) == ("UNAUTHORIZED", True)
    await shared.command("ROTATE_DEVICE_KEY", d1=device.d1, expires_ms=shared.clock())
    answer = read(await device.send("rotate-key", rotation(device)))
    assert answer.code == "UNAUTHORIZED", "that command has expired"
    await shared.command("ROTATE_DEVICE_KEY", d1=device.d1)
    good = rotation(device)
    for sig_new, code in (
        (None, "MISSING_TOKEN"),
        ("", "SIG_INVALID"),
        (good["SIG1"], "SIG_INVALID"),
        (rotation(device)["SIG_NEW"], "SIG_INVALID"),
    ):
        answer = read(await device.send("rotate-key", rotation(device, SIG_NEW=sig_new)))
        assert answer.code == code
    by_the_new_key = rotation(device)
    signing.sign_message(CRYPTO, NEW_SEED, by_the_new_key)
    assert read(await device.send("rotate-key", by_the_new_key)).code == "SIG_INVALID"
    assert read(await device.send("heartbeat", device.build("heartbeat"))).code == "ok"
    assert read(await device.send("rotate-key", good)).code == "ok"
    assert read(await device.send("rotate-key", good)).code == "NONCE_REUSE"
    device.seed = NEW_SEED
    assert read(await device.send("heartbeat", device.build("heartbeat"))).code == "ok"
