"""A good message at a place it was not made for: another operation, another device."""

from __future__ import annotations

from typing import Any

import pytest

from ks_agent import schema, signing
from tests.attack.requests import OPS, prepare, request
from tests.attack.wire import answer_of, as_response
from tests.attack.world import World
from tests.server.client import CRYPTO, Device, read

pytestmark = pytest.mark.asyncio(loop_scope="session")


def without_op(device: Device, message: dict[str, Any], tokens: set[str]) -> dict[str, Any]:
    """As an older client sends it: no OP, and of the optional tokens only these."""
    kept = {key: value for key, value in message.items() if key in tokens}
    signing.sign_message(CRYPTO, device.seed, kept)
    return kept


@pytest.mark.parametrize("op", OPS)
async def test_a_request_is_refused_by_every_other_operation_whether_it_names_its_own_or_not(
    shared: World, device: Device, op: str
) -> None:
    cmd1 = await prepare(shared, device.d1)
    declared = schema.REQUESTS[op]
    full = request(device, op, cmd1)
    needed = {"D1", "TS", "NONCE", *declared.required} - {"OP"}
    if op == "register":
        needed |= {"D3"}
    messages = [
        full,
        without_op(device, full, set(full) - {"OP", "KID", "SIG1"}),
        without_op(device, full, needed - {"SIG1"}),
    ]
    for message in messages[:1] if declared.needs_op else messages:
        before = await shared.contents()
        for other in OPS:
            if other != op:
                answer = read(await device.send(other, message))
                assert answer.code in ("MALFORMED", "MISSING_TOKEN"), (other, message)
                assert not answer.signed, other
        assert await shared.contents() == before


@pytest.mark.parametrize("op", OPS)
async def test_the_request_of_one_device_is_no_good_for_another(
    shared: World, device: Device, op: str
) -> None:
    other = await shared.registered(**shared.names())
    message = request(device, op, await prepare(shared, other.d1))
    before = await shared.contents()
    answer = read(await device.send(op, {**message, "D1": other.d1}))
    assert (answer.code, answer.signed) == ("SIG_INVALID", False)
    assert await shared.contents() == before


async def test_an_answer_to_somebody_else_is_not_taken_for_ours(shared: World) -> None:
    """Good signatures, all of them: another device, another nonce, another operation, another
    moment of the same device."""
    ours = await shared.living()
    theirs = await shared.living()
    answers = []
    for op, fields in (
        ("heartbeat", {"HB1": "1", "HB2": "2"}),
        ("firmware/check", {"FW2": "9.0.0"}),
    ):
        for terminal in (theirs, ours):
            await terminal.call(op, fields)
            answers.append(terminal.wire.answered[-1])
    before = ours.flash()
    fields = {"HB1": "1", "HB2": "2"}
    outcomes = [error async for error in ours.ask_again("heartbeat", fields, None, answers)]
    assert [error.code if error else "" for error in outcomes] == ["UNBOUND"] * 4
    assert ours.flash() == before


@pytest.mark.parametrize("token", ["D1", "NONCE", "OP", "RQ"])
async def test_an_answer_that_the_server_signed_for_another_request_is_not_taken_for_ours(
    shared: World, token: str
) -> None:
    """As if the server itself could be brought to sign an answer with one token of another's."""
    terminal = await shared.living()
    fields = {"HB1": "1", "HB2": "2"}
    moment, drawn = terminal.clock.ms, terminal.rng.count
    await terminal.call("heartbeat", fields)
    good = answer_of(terminal.wire.answered[-1])
    others = {"D1": "dev-x", "NONCE": "n" * 22, "OP": "events", "RQ": "0" * 32}
    forged = []
    for value in (others[token], None, [{"A": "1"}]):
        answer = {**good, token: value} if value is not None else dict(good)
        if value is None:
            del answer[token]
        signing.sign_message(CRYPTO, shared.context.keys.current.seed, answer, "SIG_SERV")
        forged.append(as_response(answer))
    terminal.clock.ms, terminal.rng.count = moment, drawn
    outcomes = [error async for error in terminal.ask_again("heartbeat", fields, None, forged)]
    assert [error.code if error else "" for error in outcomes] == ["UNBOUND"] * 3


async def test_an_answer_is_not_good_for_a_request_with_the_same_nonce_and_another_content(
    shared: World,
) -> None:
    """What RQ is for: the attacker lets the server answer something else under the same nonce."""
    terminal = await shared.living()
    moment, drawn = terminal.clock.ms, terminal.rng.count
    await terminal.call("heartbeat", {"HB1": "1", "HB2": "2"})
    answer = terminal.wire.answered[-1]
    terminal.clock.ms, terminal.rng.count = moment, drawn
    for fields in ({"HB1": "1", "HB2": "3"}, {"HB1": "1", "HB2": "2", "HB7": "0"}):
        outcomes = terminal.ask_again("heartbeat", fields, None, [answer])
        assert [error.code if error else "" async for error in outcomes] == ["UNBOUND"]
