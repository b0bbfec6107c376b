"""Looking at a rollout again and again until it ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from ks_simulator.admin import AdminError
from ks_simulator.admin_rollouts import BAD_STATES, ENDED, RolloutApi

from .console import is_watched, rich_console, say, warn
from .rollout_view import line, picture

TROUBLED = (*BAD_STATES, "postponed")

Show = Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], None]


async def watch_rollout(
    api: RolloutApi, number: int, interval_s: float, as_json: bool = False
) -> dict[str, Any]:
    """Show the rollout whenever it changes, and give it as it ended.

    A server that goes away for a while is waited for, once it has answered. Raises AdminError.
    """
    with ExitStack() as stack:
        is_live = is_watched() and not as_json
        show = _live(stack) if is_live else _changes(_json if as_json else _plain)
        rollout = await api.rollout(number)
        is_there = True
        while True:
            try:
                show(rollout, await _troubles(api, rollout) if is_live else ())
                if rollout["state"] in ENDED:
                    break
                await asyncio.sleep(interval_s)
                rollout = await api.rollout(number)
                is_there = True
            except AdminError as error:
                if error.code != "LINK":
                    raise
                if is_there:
                    warn(str(error))
                is_there = False
                await asyncio.sleep(interval_s)
    if is_live:
        say(line(rollout))
    return rollout


async def _troubles(api: RolloutApi, rollout: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for state in TROUBLED:
        if rollout["counts"].get(state):
            found += await api.rollout_devices(rollout["id"], state=state)
    return found


def _live(stack: ExitStack) -> Show:
    from rich.live import Live

    view = stack.enter_context(Live(console=rich_console(), auto_refresh=False, transient=True))

    def show(rollout: Mapping[str, Any], troubles: Sequence[Mapping[str, Any]]) -> None:
        view.update(picture(rollout, troubles, int(time.time() * 1000)), refresh=True)

    return show


def _changes(write: Callable[[Mapping[str, Any]], None]) -> Show:
    """Write what differs from the one before in more than the clock."""
    before = ""

    def show(rollout: Mapping[str, Any], _: Sequence[Mapping[str, Any]]) -> None:
        nonlocal before
        now = line(rollout)
        if now != before:
            write(rollout)
        before = now

    return show


def _plain(rollout: Mapping[str, Any]) -> None:
    say(f"{time.strftime('%H:%M:%S')}  {line(rollout)}")


def _json(rollout: Mapping[str, Any]) -> None:
    say(json.dumps(rollout, ensure_ascii=False))
