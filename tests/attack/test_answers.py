"""Answers that nobody signed, or that say something absurd: only a reason to wait a little."""

from __future__ import annotations

from typing import Any

import pytest

from ks_agent import schema, signing
from ks_agent.effects import Response
from tests.attack.wire import Forward, always, as_response, message_of, op_of
from tests.attack.world import World
from tests.server.client import CRYPTO

pytestmark = pytest.mark.asyncio(loop_scope="session")

YES = {
    "S1": "ok",
    "RTO": "3600",
    "PENDING_CMDS": "3",
    "FW_AVAILABLE": "true",
    "FW2": "9.9.9",
    "ERR2": "x",
}


@pytest.mark.parametrize("status", [200, 403, 503])
async def test_an_unsigned_answer_changes_nothing_whatever_it_says(
    shared: World, status: int
) -> None:
    terminal = await shared.living()
    before = terminal.flash()
    for code in (None, *schema.STATUS):
        answer = YES | ({"ERR1": code} if code else {})
        terminal.wire.meddle = always(as_response(answer, status))
        await terminal.cycle()
        assert terminal.state == "ACTIVE", code
    assert terminal.flash() == before
    assert "update_offered" not in terminal.events()


@pytest.mark.parametrize(
    ("rty", "longest_s"), [("1", 10), ("299", 300), ("86400", 301), ("999999999999999", 301)]
)
async def test_an_unsigned_answer_makes_a_terminal_wait_300_s_at_most(
    shared: World, rty: str, longest_s: int
) -> None:
    terminal = await shared.living()
    terminal.wire.meddle = always(as_response({"ERR1": "RATE_LIMIT", "RTY": rty}, 429))
    await terminal.cycle()
    await terminal.cycle()
    assert 1000 <= terminal.slept_ms <= longest_s * 1000 + 1000


@pytest.mark.parametrize("rto", ["-5", "0", "1", "3601", "999999999999999"])
async def test_even_a_signed_interval_stays_within_its_bounds(shared: World, rto: str) -> None:
    terminal = await shared.living()

    async def absurd(effect: Any, forward: Forward) -> Response:
        return signed(shared, effect, {"S1": "ok", "RTO": rto})

    terminal.wire.meddle = absurd
    await terminal.cycle()
    await terminal.cycle()
    assert 10_000 <= terminal.slept_ms <= 3_600_000


def signed(world: World, effect: Any, tokens: dict[str, Any]) -> Response:
    """What a server with the right key could answer to this very request."""
    request = message_of(effect)
    answer = {"OP": op_of(effect), "TS": "2027-01-15T08:00:00.000Z", **tokens}
    answer |= {key: request[key] for key in ("D1", "NONCE")}
    answer["RQ"] = signing.request_digest(CRYPTO, request)
    signing.sign_message(CRYPTO, world.context.keys.current.seed, answer, "SIG_SERV")
    return as_response(answer)


async def test_a_redirect_leads_nowhere(shared: World) -> None:
    terminal = await shared.living()
    elsewhere = Response(307, {"location": "http://evil.test/", "content-type": "text/toon"}, b"")
    terminal.wire.meddle = always(elsewhere)
    await terminal.cycle()
    assert all(effect.url.startswith("http://server.test/") for effect in terminal.wire.asked)
    assert terminal.details("unbelievable")


async def test_not_found_by_nobody_makes_it_register_again_and_lose_nothing(shared: World) -> None:
    terminal = await shared.living()
    key = terminal.vault.get("key")
    terminal.wire.meddle = always(as_response({"ERR1": "DEVICE_NOT_FOUND"}, 404))
    await terminal.cycle()
    await terminal.cycle()
    terminal.wire.meddle = None
    await terminal.run(lambda: terminal.events().count("registered") == 2)
    assert terminal.vault.get("key") == key
    await terminal.run(lambda: terminal.events()[-1] == "heartbeat")


async def test_an_answer_in_the_other_syntax_is_read_as_what_it_says_it_is(shared: World) -> None:
    terminal = await shared.living()
    moment, drawn = terminal.clock.ms, terminal.rng.count
    fields = {"HB1": "1", "HB2": "2"}
    answer = await terminal.call("heartbeat", fields)
    toon = terminal.wire.answered[-1].body
    lines = signing.compose(answer, "text/plain")
    terminal.clock.ms, terminal.rng.count = moment, drawn
    cases = [
        ("text/plain", lines, None),
        ("text/toon; charset=utf-8", toon, None),
        ("text/toon", lines, "UNBOUND"),  # a document of one scalar, which nobody signed
        ("text/plain", toon, "MALFORMED"),
        ("", toon, "MALFORMED"),
        ("text/toon, text/plain", toon, "MALFORMED"),
        ("application/json", b"{}", "MALFORMED"),
    ]
    responses = [Response(200, {"content-type": kind}, body) for kind, body, _ in cases]
    outcomes = [one async for one in terminal.ask_again("heartbeat", fields, None, responses)]
    for (kind, _, code), error in zip(cases, outcomes, strict=True):
        assert (error.code if error else None) == code, kind


@pytest.mark.parametrize("size", [8193, 100_000])
async def test_an_answer_beyond_the_limit_is_a_failure_of_the_link(
    shared: World, size: int
) -> None:
    """The driver cuts it off; should it not, the core refuses it too."""
    terminal = await shared.living()
    good = await terminal.call("heartbeat", {"HB1": "1", "HB2": "2"})
    padded = {**good, "PAD1": "x" * 4000, "PAD2": "y" * (size - 4000)}
    terminal.wire.meddle = always(as_response(padded))
    await terminal.cycle()
    await terminal.cycle()
    assert terminal.details("unbelievable")[-1]["code"] == "MALFORMED"
