"""One change to a signed message, of any token, cell or row: nobody uses it."""

from __future__ import annotations

from typing import Any

import pytest

from ks_agent import schema, signing
from ks_agent.message import SIGNATURE_KEYS
from tests.attack.requests import EVENT, LOG, NEW_SEED, NOBODY, OPS, READER, prepare, request
from tests.attack.tampering import changed
from tests.attack.wire import answer_of, as_response
from tests.attack.world import World
from tests.server.client import CRYPTO, Device, public_text, read

pytestmark = pytest.mark.asyncio(loop_scope="session")

BEFORE_SIG1 = ("SIG_INVALID", "MALFORMED", "MISSING_TOKEN", "DEVICE_NOT_FOUND")
ANSWERED = [op for op in OPS if op != "firmware/download"]


@pytest.mark.parametrize("op", OPS)
async def test_a_request_with_anything_changed_is_refused_unsigned_and_leaves_no_trace(
    shared: World, device: Device, op: str
) -> None:
    cmd1 = await prepare(shared, device.d1)
    message = request(device, op, cmd1)
    knows_sig_new = schema.REQUESTS[op].knows("SIG_NEW")
    before = await shared.contents()
    for number, (what, forged) in enumerate(changed(message)):
        if "SIG_NEW" in what and knows_sig_new:
            continue  # covered by the key in D3, see the rotation's own tests
        device.syntax = ("text/toon", "text/plain")[number % 2]
        answer = read(await device.send(op, forged))
        assert answer.code in BEFORE_SIG1, (what, answer.message)
        assert not answer.signed, what
    assert await shared.contents() == before
    device.syntax = "text/toon"
    assert (await device.send(op, message)).status_code == 200, "the message itself was good"


@pytest.mark.parametrize("op", OPS)
async def test_a_request_carries_no_signature_that_its_operation_does_not_have(
    shared: World, device: Device, op: str
) -> None:
    """Signatures are not covered by SIG1: anybody on the way could add one."""
    cmd1 = await prepare(shared, device.d1)
    message = request(device, op, cmd1)
    for key in SIGNATURE_KEYS:
        if not schema.REQUESTS[op].knows(key):
            answer = read(await device.send(op, {**message, key: message["SIG1"]}))
            assert answer.code == "MALFORMED", key
    for key in ("SIG2", "SIGNATURE", "FW_SIG2"):
        answer = read(await device.send(op, {**message, key: message["SIG1"]}))
        assert answer.code == "MALFORMED", key


FIELDS: dict[str, dict[str, Any]] = {
    "register": {"D2": "ESP32_TERMINAL"},
    "heartbeat": {"HB1": "1", "HB2": "2", "FW2": "1.0.0"},
    "firmware/check": {"FW2": "1.0.0"},
    "allow-list": {"AL1": NOBODY},
    "firmware/ack": {"FW1": "app-1", "FW2": "1.0.0", "ACK1": "OK"},
    "logs": {"LOG1": "l1", "LOG2": "INFO", "LOG": [LOG]},
    "events": {"JID": "0" * 16, "EVENT": [dict(EVENT, A2="SIDEWAYS"), dict(EVENT, A1="", SEQ="2")]},
}


def seal(request: dict[str, Any]) -> None:
    signing.sign_message(CRYPTO, NEW_SEED, request, "SIG_NEW")


@pytest.mark.parametrize("op", ANSWERED)
async def test_an_answer_with_anything_changed_is_not_believed_and_changes_nothing(
    shared: World, op: str
) -> None:
    terminal = await shared.living(d2=READER)
    cmd1 = await prepare(shared, terminal.d1)
    fields: dict[str, Any] = dict(FIELDS.get(op, {}))
    if op == "register":
        fields["D3"] = terminal.agent.identity.public_text()
    if op == "command-ack":
        fields |= {"CMD1": cmd1, "ACK1": "OK"}
    if op == "rotate-key":
        fields["D3"] = public_text(NEW_SEED)
    sealed = seal if op == "rotate-key" else None
    moment, drawn = terminal.clock.ms, terminal.rng.count
    await terminal.call(op, fields, sealed)
    good = terminal.wire.answered[-1]
    # FW_SIG is outside of SIG_SERV; it has tests of its own
    cases = [case for case in changed(answer_of(good)) if "FW_SIG" not in case[0]]
    terminal.clock.ms, terminal.rng.count = moment, drawn
    before = terminal.flash()
    answers = [as_response(forged, good.status) for _, forged in cases]
    outcomes = [error async for error in terminal.ask_again(op, fields, sealed, [*answers, good])]
    assert outcomes.pop() is None, "the answer itself was good, and for this request"
    for (what, _), error in zip(cases, outcomes, strict=True):
        assert error is not None, what
        assert error.code in ("SIG_INVALID", "UNBOUND", "MALFORMED"), what
    assert terminal.flash() == before
