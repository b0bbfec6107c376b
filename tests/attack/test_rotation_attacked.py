"""A device key is changed with everybody knowing, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from ks_agent import signing
from ks_agent.effects import Response
from tests.attack.requests import NEW_SEED, rotation
from tests.attack.terminal import STRANGER_SEED
from tests.attack.wire import Forward, answer_of, as_response, op_of
from tests.attack.world import World
from tests.server.client import CRYPTO, public_text, read

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("answer", ["dropped", "garbage", "NONCE_REUSE", "unsigned yes"])
async def test_a_terminal_never_loses_the_key_that_the_server_has_accepted(
    shared: World, answer: str
) -> None:
    """The attacker lets rotate-key through, keeps the yes to himself, and answers something else;
    by sending the request twice he even gets a refusal that is signed for it.
    """
    terminal = await shared.living()
    old = terminal.vault.get("key")
    await shared.command("ROTATE_DEVICE_KEY", d1=terminal.d1)

    async def meddle(effect: Any, forward: Forward) -> Response:
        response = await forward(effect)
        if op_of(effect) != "rotate-key":
            return response
        if answer == "dropped":
            raise OSError("lost")
        if answer == "garbage":
            return Response(200, {"content-type": "text/toon"}, b"\xff")
        if answer == "NONCE_REUSE":
            return await forward(effect)
        return as_response({"S1": "ok"})

    terminal.wire.meddle = meddle
    await terminal.run(lambda: "rotate-key" in [op_of(one) for one in terminal.wire.asked])
    await terminal.cycle()
    terminal.wire.meddle = None
    heard = terminal.events().count("heartbeat")
    await terminal.run(lambda: terminal.events().count("heartbeat") > heard + 1)
    assert terminal.vault.get("key") != old
    assert terminal.acknowledged() and "OK" in terminal.acknowledged().values()


async def test_a_rotation_held_back_by_the_attacker_and_sent_later_changes_nothing(
    shared: World,
) -> None:
    """Once its command is acknowledged, the server takes no new key any more."""
    terminal = await shared.living()
    await shared.command("ROTATE_DEVICE_KEY", d1=terminal.d1)
    held: list[Any] = []

    async def hold(effect: Any, forward: Forward) -> Response:
        if op_of(effect) == "rotate-key":
            held.append(effect)
            raise OSError("no answer")
        return await forward(effect)

    terminal.wire.meddle = hold
    await terminal.run(lambda: terminal.acknowledged() != {})
    await terminal.cycle()
    assert "ERROR the old key goes on" in terminal.acknowledged().values()
    answer = answer_of(await terminal.wire.forward(held[0]))
    assert answer["ERR1"] in ("UNAUTHORIZED", "TIMESTAMP_INVALID")
    terminal.wire.meddle = None
    heard = terminal.events().count("heartbeat")
    await terminal.run(lambda: terminal.events().count("heartbeat") > heard)


async def test_a_rotation_with_another_new_key_put_in_is_refused(shared: World) -> None:
    device = await shared.registered(**shared.names())
    await shared.command("ROTATE_DEVICE_KEY", d1=device.d1)
    message = rotation(device)
    forged = {**message, "D3": public_text(STRANGER_SEED)}
    signing.sign_message(CRYPTO, STRANGER_SEED, forged, "SIG_NEW")
    assert read(await device.send("rotate-key", forged)).code == "SIG_INVALID"
    assert read(await device.send("rotate-key", message)).code == "ok"
    assert message["D3"] == public_text(NEW_SEED)
