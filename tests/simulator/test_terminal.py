"""A terminal in memory is the terminal: its code comes from its slot, its state from its files."""

import asyncio
from collections.abc import Callable
from typing import Any

import ks_agent.agent
from ks_agent.ports import KEY
from ks_simulator.loader import agent_class, content_hash
from ks_simulator.memory import MemoryFs
from ks_simulator.provision import factory_files
from tests.simulator.conftest import PATIENCE_S, Site, Watched

SiteMaker = Callable[..., Any]

NEW_CODE = b"""

_run = Agent.run


def _marked(self):
    self.ports.board.show("new_code", {})
    return (yield from _run(self))


Agent.run = _marked
"""
BROKEN = b'\nraise RuntimeError("broken")\n'
LEAVING = b"\nraise SystemExit(3)\n"
TEARING = b"""

_run = Agent.run


def _torn(self):
    try:
        return (yield from _run(self))
    finally:
        raise RuntimeError("torn")


Agent.run = _torn
"""


async def test_it_registers_and_heartbeats(site: SiteMaker) -> None:
    async with site() as here:
        watched: Watched = here.terminal("dev_1")
        await watched.until("heartbeat", 2)
        device = await here.api.device("dev_1")
        assert device["fw2"] == "1.0.0"
        assert watched.count("registered") == 1


async def test_its_key_and_registration_outlive_a_power_cut(site: SiteMaker) -> None:
    async with site() as here:
        watched: Watched = here.terminal("dev_1")
        await watched.until("heartbeat")
        key = watched.vault.get(KEY)
        beats = watched.count("heartbeat")
        watched.terminal.power_cycle()
        await watched.until("boot", 2)
        await watched.until("heartbeat", beats + 1)
        assert watched.vault.get(KEY) == key
        assert watched.count("key_made") == watched.count("registered") == 1


async def test_a_restart_goes_through_stage_0(site: SiteMaker) -> None:
    async with site() as here:
        watched: Watched = here.terminal("dev_1")
        await watched.until("registered")
        await here.api.command("dev_1", "RESTART")
        restart = await watched.until("restart")
        assert restart.detail["REASON"] == "command"
        await watched.until("boot", 2)
        await watched.until("acknowledged")
        assert watched.terminal.boots == 2


async def test_an_update_changes_the_code_that_runs(site: SiteMaker) -> None:
    async with site() as here:
        old: Watched = here.terminal("dev_1")
        await old.until("registered")
        await here.api.publish(here.release("1.1.0", 2, ks_agent__agent=NEW_CODE).assemble())
        await old.until("update_confirmed")
        assert old.count("new_code") == 1
        other: Watched = here.terminal("dev_2")
        await other.until("update_confirmed")
        names = [event.name for event in other.events]
        assert names.index("new_code") > names.index("update_staged")


async def test_a_release_that_crashes_is_rolled_back(site: SiteMaker) -> None:
    async with site() as here:
        watched: Watched = here.terminal("dev_1")
        await watched.until("registered")
        await here.api.publish(here.release("1.1.0", 2, ks_agent__agent=BROKEN).assemble())
        await watched.until("update_rolled_back")
        crash = await watched.until("crash", 3)
        assert crash.detail == {"CLASS": "RuntimeError", "TEXT": "broken"}
        assert (await here.api.device("dev_1"))["fw2"] == "1.0.0"


async def test_a_release_that_leaves_the_interpreter_is_a_crash_of_one_terminal(
    site: SiteMaker,
) -> None:
    async with site() as here:
        watched: Watched = here.terminal("dev_1", here.release("1.0.0", 1, ks_agent__agent=LEAVING))
        crash = await watched.until("crash", 2)
        assert "the application left" in crash.detail["TEXT"]


async def test_without_a_link_it_backs_off_and_comes_back(site: SiteMaker) -> None:
    async with site() as here:
        watched: Watched = here.terminal("dev_1")
        await watched.until("heartbeat")
        watched.link.outage()
        await watched.until("offline", 2)
        beats = watched.count("heartbeat")
        watched.link.restore()
        await watched.until("heartbeat", beats + 1)
        assert watched.link.failures >= 2
        assert watched.count("crash") == 0


async def test_without_a_good_slot_it_gets_a_release_in_recovery(site: SiteMaker) -> None:
    async with site() as here:
        watched: Watched = here.terminal("dev_1")
        await watched.until("heartbeat")
        key = watched.vault.get(KEY)
        with watched.terminal.fs.open("slot_a/main.py", "wb") as file:
            file.write(b"damaged")
        watched.terminal.power_cycle()
        boot = await watched.until("boot", 2)
        assert boot.detail["SLOT"] == ""
        await watched.until("recovery")
        await here.api.publish(here.release("1.1.0", 2).assemble())
        await watched.until("update_confirmed")
        assert (await here.api.device("dev_1"))["fw2"] == "1.1.0"
        assert watched.vault.get(KEY) == key
        assert watched.count("registered") == 1
        assert watched.count("dead") == 0


async def test_where_recovery_cannot_start_either_it_is_dead(site: SiteMaker) -> None:
    async with site() as here:
        damaged = here.release("1.0.0", 1)
        files = factory_files("dev_1", here.url, here.keys.trusted(), damaged)
        files["slot_a/main.py"] += b"#"
        files["trust.toon"] = b"#"
        watched = Watched(files)
        await watched.life
        assert [event.name for event in watched.events] == ["boot", "dead"]
        assert "trust.toon" in watched.events[1].detail["REASON"]


async def test_a_power_cut_in_the_pause_after_a_crash_changes_nothing(site: SiteMaker) -> None:
    async with site() as here:
        watched: Watched = here.terminal("dev_1", here.release("1.0.0", 1, ks_agent__agent=BROKEN))
        await watched.until("crash")
        watched.terminal.power_cycle()
        await watched.until("crash", 2)
        assert watched.count("power") == 0
        watched.life.cancel()
        await asyncio.wait([watched.life])
        assert watched.life.cancelled()


async def test_a_power_cut_for_good_is_not_taken_for_a_short_one(site: SiteMaker) -> None:
    async with site() as here:
        watched: Watched = here.terminal("dev_1")
        await watched.until("heartbeat")
        watched.terminal.power_cycle()
        watched.life.cancel()
        await asyncio.wait([watched.life], timeout=PATIENCE_S)
        assert watched.life.cancelled()
        assert watched.count("boot") == 1


async def test_a_crash_in_the_moment_of_a_power_cut_does_not_give_the_power_back(
    site: SiteMaker,
) -> None:
    async with site() as here:
        watched: Watched = here.terminal("dev_1", here.release("1.0.0", 1, ks_agent__agent=TEARING))
        await watched.until("heartbeat")
        watched.life.cancel()
        await asyncio.wait([watched.life], timeout=PATIENCE_S)
        assert watched.life.cancelled()
        assert watched.count("boot") == 1


async def test_a_punch_is_taken_at_any_moment_and_stored_soon(site: SiteMaker) -> None:
    async with site() as here:
        watched: Watched = here.terminal("dev_1")
        assert watched.terminal.punch("12E45678") == "closed"
        await watched.until("heartbeat")
        outcomes = [watched.terminal.punch(card) for card in ("12E45678", "12E45678", "B", "")]
        assert outcomes == ["accepted", "duplicate", "accepted", "unknown"]
        uploaded = await watched.until("punches_uploaded")
        assert uploaded.detail["ACK_SEQ"] == "2"
        assert watched.count("punch") == 2
        assert watched.count("punch_refused") == 2
        watched.life.cancel()
        await asyncio.wait([watched.life])
        assert watched.terminal.punch("C") == "closed"


def test_installed_code_is_used_where_the_slot_holds_the_same() -> None:
    here = Site("http://127.0.0.1:1", _keys(), None)  # type: ignore[arg-type]
    same, changed = here.release("1.0.0", 1), here.release("1.0.0", 1, ks_agent__agent=NEW_CODE)
    assert agent_class(_fs(here, same), "a") is ks_agent.agent.Agent
    private = agent_class(_fs(here, changed), "a")
    assert private is not ks_agent.agent.Agent
    assert private.__module__.startswith("_ks_slot_")
    assert agent_class(_fs(here, changed), "a") is private
    assert content_hash(same.files) != content_hash(changed.files)


def _keys() -> Any:
    from ks_simulator.keys import RoleKeys

    return RoleKeys.make()


def _fs(here: Site, release: Any) -> MemoryFs:
    return MemoryFs(factory_files("dev_1", here.url, here.keys.trusted(), release))
