"""Recovery's serial line: it is given another network beside its own work, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ks_board.recovery_line import first, heard
from ks_board.recovery_talk import talk
from tests.serial.desk import FACTS, SESSION, Memory, answers, framed
from tests.serial.site import NEW, Site, finished


def in_recovery(site: Site, *requests: dict[str, str]) -> list[dict[str, Any]]:
    """What the serial line answers once somebody has spoken."""
    steps = [{"OP": "hello", "SESSION": SESSION}, *requests, {"OP": "restart"}]
    lines = [framed({**step, "SEQ": str(seq)}) for seq, step in enumerate(steps, 1)]
    stream = Memory(*lines)
    make: Any = talk
    made = site.trial()._make_life
    asyncio.run(finished(make(site.terminal.agent.ports, FACTS, stream, made, 20, 3)))
    return answers(stream.written)


def test_recovery_may_be_given_another_network(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site("new")
    monkeypatch.setattr("ks_board.setup_trial.LIMIT_S", 3)
    fields = {"WIFI_SSID": NEW[0], "WIFI_PASSWORD": NEW[1]}
    hello, done, _ = in_recovery(site, {"OP": "setup", **fields})
    assert (hello["STATE"], hello["D1"], done["S1"]) == ("provisioned", "dev-1", "ok")
    assert site.network() == NEW


def test_recovery_is_told_apart_from_what_the_factory_may_do() -> None:
    site = Site("old")
    malformed, closed = in_recovery(
        site,
        {"OP": "setup", "WIFI_SSID": "", "WIFI_PASSWORD": ""},
        {"OP": "prove", "D1": "dev-1", "CHALLENGE": "ab" * 32},
    )[1:3]
    assert (malformed["ERR1"], closed["ERR1"]) == ("MALFORMED", "SEALED")
    assert site.network() == ("old", "the old one")


def test_recoverys_life_goes_on_until_a_whole_message_has_come() -> None:
    async def life(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "staged"

    async def race(seconds: float, *pieces: bytes) -> Any:
        run: Any = first
        listen: Any = heard
        line = asyncio.ensure_future(listen(Memory(*pieces)))
        return await run(asyncio.ensure_future(life(seconds)), line)

    message = framed({"OP": "hello", "SEQ": "1"})
    assert asyncio.run(race(0.05, b"noise ~", b"\n", message[:-2])) == "staged"
    assert asyncio.run(race(30, b"noise ~", message[:20], message[20:])) is None


def test_a_crash_of_recoverys_life_is_not_hidden() -> None:
    async def crash() -> str:
        raise MemoryError

    async def race() -> Any:
        run: Any = first
        listen: Any = heard
        line = asyncio.ensure_future(listen(Memory()))
        return await run(asyncio.ensure_future(crash()), line)

    with pytest.raises(MemoryError):
        asyncio.run(race())
