"""Event hooks: everybody is told, nobody is waited for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from ks_server.hooks import EVENTS, Hooks
from ks_server.settings import FixedSettings

WEBHOOK = FixedSettings(event_webhook_url="http://hooks.example/ks", event_webhook_queue_max=2)


def recording(received: list[dict[str, Any]], status: int = 204) -> httpx.MockTransport:
    async def answer(request: httpx.Request) -> httpx.Response:
        received.append(json.loads(request.content))
        return httpx.Response(status)

    return httpx.MockTransport(answer)


async def test_callbacks_of_both_kinds_hear_their_event_and_no_other() -> None:
    heard: list[Any] = []

    async def later(name: str, fields: Mapping[str, Any]) -> None:
        heard.append(("later", name, dict(fields)))

    hooks = Hooks(FixedSettings())
    hooks.on("heartbeat", lambda name, fields: heard.append(("now", name, dict(fields))))
    hooks.on("heartbeat", later)
    hooks.emit("heartbeat", d1="dev_1")
    hooks.emit("device_revoked", d1="dev_2")
    await hooks.stop()
    assert heard == [("now", "heartbeat", {"d1": "dev_1"}), ("later", "heartbeat", {"d1": "dev_1"})]


async def test_a_callback_that_fails_harms_nobody() -> None:
    heard = []

    def broken(name: str, fields: Mapping[str, Any]) -> None:
        raise RuntimeError("no")

    async def broken_later(name: str, fields: Mapping[str, Any]) -> None:
        raise RuntimeError("no")

    hooks = Hooks(FixedSettings())
    hooks.on("heartbeat", broken)
    hooks.on("heartbeat", broken_later)
    hooks.on("heartbeat", lambda name, fields: heard.append(name))
    hooks.emit("heartbeat")
    await hooks.stop()
    assert heard == ["heartbeat"]


async def test_an_event_that_nobody_declared_is_a_mistake() -> None:
    hooks = Hooks(FixedSettings())
    with pytest.raises(KeyError):
        hooks.emit("lunch")
    with pytest.raises(KeyError):
        hooks.on("lunch", lambda name, fields: None)
    assert len(set(EVENTS)) == 10


async def test_events_are_posted_in_order_and_before_the_stop() -> None:
    received: list[dict[str, Any]] = []
    hooks = Hooks(WEBHOOK, recording(received))
    await hooks.start()
    hooks.emit("heartbeat", d1="dev_1")
    hooks.emit("command_acknowledged", d1="dev_1", cmd1="c")
    await hooks.stop()
    assert received == [
        {"event": "heartbeat", "d1": "dev_1"},
        {"event": "command_acknowledged", "d1": "dev_1", "cmd1": "c"},
    ]
    assert hooks.dropped == 0


async def test_a_full_queue_drops_the_newest_event_and_counts_it() -> None:
    received: list[dict[str, Any]] = []
    hooks = Hooks(WEBHOOK, recording(received))
    await hooks.start()
    for number in range(5):  # the sender has had no turn yet
        hooks.emit("heartbeat", number=number)
    await hooks.stop()
    assert [event["number"] for event in received] == [0, 1]
    assert hooks.dropped == 3


@pytest.mark.parametrize("status", [404, 500])
async def test_a_refused_post_is_given_up_and_the_next_one_made(status: int) -> None:
    received: list[dict[str, Any]] = []
    hooks = Hooks(WEBHOOK, recording(received, status))
    await hooks.start()
    hooks.emit("heartbeat")
    hooks.emit("device_registered")
    await hooks.stop()
    assert [event["event"] for event in received] == ["heartbeat", "device_registered"]


async def test_an_unreachable_webhook_is_given_up() -> None:
    attempts = []

    async def fail(request: httpx.Request) -> httpx.Response:
        attempts.append(1)
        raise httpx.ConnectError("refused")

    hooks = Hooks(WEBHOOK, httpx.MockTransport(fail))
    await hooks.start()
    hooks.emit("heartbeat")
    hooks.emit("heartbeat")
    await hooks.stop()
    assert len(attempts) == 2


async def test_a_webhook_that_hangs_does_not_hold_up_the_stop() -> None:
    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    settings = WEBHOOK.model_copy(update={"event_webhook_timeout_s": 0.01})
    hooks = Hooks(settings, httpx.MockTransport(hang))
    await hooks.start()
    hooks.emit("heartbeat")
    await hooks.stop()
    assert hooks.dropped == 0
