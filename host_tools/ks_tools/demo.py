"""The story that `ks demo` tells: terminals, their server, a bad network and bad people."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from ks_agent import timetext
from ks_simulator.application import FIRST_BUILD_MS, Release
from ks_simulator.events import Event
from ks_simulator.process import ProcessTerminal
from ks_simulator.proxy import flip_once
from ks_simulator.report import Report

from .demo_punches import punch_storm
from .demo_rollout import canary_aborts
from .demo_stage import BAD_LINE, MARK, PACE, STORY_LIMIT_S, Abandoned, Stage


class Demo(Stage):
    """Tells the story on its stage."""

    async def run(self) -> Report:
        """Tell the whole story; gives what was expected and whether it held."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(STORY_LIMIT_S):
                    await self._tell(stack)
            except Abandoned:
                pass
            except TimeoutError:
                self.check(f"the story ends within {STORY_LIMIT_S:.0f} s", False)
            finally:
                await self.switch_off()
        return self._report()

    async def _tell(self, stack: AsyncExitStack) -> None:
        await self.build_up(stack)
        for scene in (
            self._first_boot,
            self._heartbeats,
            self._commands,
            self._outage,
            self._punches,
            self._update,
            self._man_in_the_middle,
            self._stolen_server,
            self._bad_release,
            self._canary,
        ):
            await scene()

    def _report(self) -> Report:
        seconds = self.seconds
        checks = [check for scene in self.scenes for check in scene.checks]
        figures = {"terminals": len(self.terminals), "left_out": self.left_out, "pace": PACE}
        return Report("demo", checks, figures, seconds)

    # the scenes

    async def _first_boot(self) -> None:
        self.scene("First boot: make a key, get the time, register")
        for terminal in self.terminals:
            self.lives.append(asyncio.create_task(terminal.run()))
        await self.each_shows("makes its own key", "key_made")
        if not await self.each_shows("registers with its token", "registered"):
            raise Abandoned
        devices = {device["d1"]: device for device in await self.api.devices()}
        keys = {device["public_key"] for device in devices.values()}
        self.check(
            "the server knows every terminal by a different key",
            len(devices) == len(keys) == len(self.terminals),
        )
        tokens = await self.api.tokens()
        self.check("every one-time token is spent", all(token["used_by"] for token in tokens))
        await self.expect(
            "clocks that stood at the build date are right now",
            lambda: self.on_each(self._clock_is_right),
            all,
        )

    async def _clock_is_right(self, terminal: ProcessTerminal) -> bool:
        beats = await self.api.heartbeats(terminal.name)
        booted = [beat["tokens"]["HB5"] for beat in beats if "HB5" in beat["tokens"]]
        now_ms = time.time() * 1000
        return any(abs(timetext.parse_ms(text) - now_ms) < 120_000 for text in booted) and (
            now_ms - FIRST_BUILD_MS > 120_000
        )

    async def _heartbeats(self) -> None:
        self.scene("Signed heartbeats")

        async def count(terminal: ProcessTerminal) -> int:
            return len(await self.api.heartbeats(terminal.name))

        await self.expect(
            "every terminal has sent two, each stored by the server",
            lambda: self.on_each(count),
            lambda counts: min(counts) >= 2,
        )

    async def _commands(self) -> None:
        self.scene("Signed commands, performed once")
        restarted = self.terminals[-1]
        boots = restarted.boots
        wanted = [(terminal, "IDENTIFY") for terminal in self.terminals]
        wanted += [(self.terminals[0], "FETCH_LOGS"), (restarted, "RESTART")]
        ids = {
            await self.api.command(terminal.name, name): (terminal, name)
            for terminal, name in wanted
        }

        async def states() -> list[str]:
            shown = [await self.api.show_command(cmd1) for cmd1 in ids]
            return [(command["acknowledgement"] or {}).get("ack1", "") for command in shown]

        await self.expect(
            f"{len(ids)} commands are acknowledged OK",
            states,
            lambda acks: all(ack == "OK" for ack in acks),
        )
        identified = [self.count(terminal, "identify") for terminal in self.terminals]
        self.check("every terminal blinked, exactly once", set(identified) == {1})
        self.check("RESTART was acknowledged after the restart", restarted.boots == boots + 1)
        fetched = next(cmd1 for cmd1, (_, name) in ids.items() if name == "FETCH_LOGS")
        self.check("the log that was asked for is there", bool(await self.api.logs(fetched)))

    async def _outage(self) -> None:
        self.scene("The network goes away, and comes back")
        after = self.marks()
        self.network.outage()
        self.say("network down")
        await self.each_shows("notices and backs off", "offline", after)
        alive = all(not life.done() for life in self.lives)
        self.check("nobody crashed over it", alive and not self.any_since("crash", after))
        after = self.marks()
        self.network.restore()
        self.say("network up")
        await self.each_shows("comes back by itself", "heartbeat", after)

    async def _punches(self) -> None:
        await punch_storm(self)

    async def _update(self) -> None:
        self.scene("A signed update")
        after = self.marks()
        fw1 = await self.api.publish(self.release("1.1.0", 2).assemble())
        await self.each_shows("verifies and stages it", "update_staged", after)
        await self.each_shows("proves it by a signed heartbeat", "update_confirmed", after)
        await self.all_run("1.1.0")
        await self.reports(fw1, "OK")

    async def _man_in_the_middle(self) -> None:
        self.scene("A forged update: changed on its way")
        self.network.tamper = flip_once(MARK)
        fw1 = await self._refused_by_all(self.release("1.2.0", 2))
        await self.api.release_step(fw1, "revoke")
        self.network.tamper = None

    async def _stolen_server(self) -> None:
        self.scene("A forged update: the server itself is in the wrong hands")
        forged = self.release("1.3.0", 2).signed(self.stranger.release)
        fw1 = await self._refused_by_all(forged)
        await self.api.release_step(fw1, "revoke")

    async def _refused_by_all(self, release: Release) -> str:
        after = self.marks()
        fw1 = await self.api.publish(release.assemble())

        def is_it(event: Event) -> bool:
            return event.detail.get("FW1") == fw1

        await self.each_shows("refuses it", "update_refused", after, is_it)
        await self.reports(fw1, "ERROR")
        self.check("nobody tried it", not self.any_since("update_staged", after))
        await self.all_run("1.1.0")
        return fw1

    async def _bad_release(self) -> None:
        self.scene("A bad update: rightly signed, but it crashes")
        after = self.marks()
        fw1 = await self.api.publish(self.release("1.4.0", 2, bad=BAD_LINE).assemble())
        await self.each_shows("tries it", "update_staged", after)
        await self.each_shows("is back at the release before", "update_rolled_back", after)
        crashes = [self.count(terminal, "crash", after) for terminal in self.terminals]
        self.check("stage 0 gave it three tries", set(crashes) == {3}, f"{crashes}")
        await self.reports(fw1, "ERROR", "ROLLED_BACK")
        after = self.marks()
        await self.each_shows("lives on", "heartbeat", after)
        await self.all_run("1.1.0")

    async def _canary(self) -> None:
        await canary_aborts(self)
