"""One terminal inside this process: stage 0, the application in its slot, restarts, power cuts."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ks_agent.ports import Ports
from ks_agent.recovery import Recovery
from ks_driver.build import built_ms
from ks_driver.inflate import Inflater
from ks_driver.loop import WakeableSleep, drive

from .keys import CRYPTO
from .loader import agent_class, stage_0
from .punching import CLOSED
from .spoiled import PlantedReset, Spoiling

CRASH_PAUSE_S = 1.0
MEMORY_USED_BYTES = 96 * 1024
TEMPERATURE_C = "41.5"
# In the place of a slot, as stage 0 has it.
RECOVERY = ""

Observer = Callable[[str, Mapping[str, str]], None]
RandomBytes = Callable[[int], bytes]


class SteadyClock:
    """The `clock` port: ms since this boot."""

    def __init__(self, build_ms: int) -> None:
        self.build_ms = build_ms
        self._start_ns = time.monotonic_ns()

    def ticks_ms(self) -> int:
        return (time.monotonic_ns() - self._start_ns) // 1_000_000


class Rng:
    """The `rng` port on any source of random bytes."""

    def __init__(self, source: RandomBytes) -> None:
        self.random_bytes = source

    def is_ready(self) -> bool:
        """True: the source is always good."""
        return True


class Partition:
    """The `partition` port."""

    images = None
    stage0 = 1

    def __init__(self, running: str) -> None:
        self.running = running


class Board:
    """The `board` port: tells an observer what the terminal shows."""

    name: str | None = None

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def temperature_c(self) -> str:
        return TEMPERATURE_C

    def memory_used_bytes(self) -> int:
        return MEMORY_USED_BYTES

    def memory_free_bytes(self) -> int | None:
        return None

    def reader_ok(self) -> bool:
        return True

    def inflate(self, file: Any, window_bits: int) -> Any:
        return Inflater(file, window_bits)

    def unload(self, names: Sequence[str]) -> None:
        """Code is shared by all terminals here: nothing to let go."""

    def show(self, event: str, detail: Mapping[str, Any]) -> None:
        self._observer(event, {key: str(value) for key, value in detail.items()})


class PacedSleep(WakeableSleep):
    """A terminal's sleep: `pace` divides it, `rouse()` ends it."""

    def __init__(self, pace: float = 1.0) -> None:
        WakeableSleep.__init__(self)
        self._pace = pace

    async def wake_after(self, seconds: float) -> None:
        await WakeableSleep.wake_after(self, seconds / self._pace)


class Terminal:
    """A provisioned file system brought to life.

    `observer(event, detail)` hears what the board shows, and `boot`, `restart`, `crash`,
    `dormant` and `dead` from the world around it. `pace` divides every wait. What is on `fs` and
    in `vault` is all that lives on over a restart. `spoiling` makes a release go wrong here.
    """

    def __init__(
        self,
        fs: Any,
        vault: Any,
        http: Any,
        observer: Observer,
        *,
        crypto: Any = CRYPTO,
        random_bytes: RandomBytes = os.urandom,
        pace: float = 1.0,
        crash_pause_s: float = CRASH_PAUSE_S,
        spoiling: Spoiling | None = None,
    ) -> None:
        self.fs = fs
        self.vault = vault
        self.http = http
        self.boots = 0
        self._observer = observer
        self._crypto = crypto
        self._rng = Rng(random_bytes)
        self._pace = pace
        self._crash_pause_s = crash_pause_s
        self._spoiling = spoiling
        self._life: asyncio.Task[str | None] | None = None
        self._cycling = False
        self._agent: Any = None
        self._sleep: Any = PacedSleep(pace)

    async def run(self) -> None:
        """Live until dormant, dead (no slot is good, nor recovery) or cancelled, which cuts the
        power.
        """
        task = asyncio.current_task()
        assert task is not None
        asked_before = task.cancelling()
        while await self._boot():
            # A life that ended otherwise in that very moment has kept the news to itself.
            if task.cancelling() > asked_before:
                raise asyncio.CancelledError

    def power_cycle(self) -> None:
        """Cut the power and give it back: the next boot follows at once."""
        if self._life is not None and not self._life.done():
            self._cycling = True
            self._life.cancel()

    def punch(self, credential: str, method: str = "RFID", key: str = "") -> str:
        """Hold a credential to the reader; gives what it says, CLOSED while it does not run."""
        if self._agent is None:
            return CLOSED
        outcome = str(self._agent.punches.take(credential, method, key))
        self._sleep.rouse()
        return outcome

    async def _boot(self) -> bool:
        self.boots += 1
        try:
            slot = stage_0().choose(self.fs, hashlib.sha256)
        except SystemExit:
            slot = RECOVERY
        self._observer("boot", {"SLOT": slot, "BOOT": str(self.boots)})
        self._life = asyncio.create_task(self._live(slot))
        try:
            reason = await self._life
        except asyncio.CancelledError:
            if not self._cycling:
                raise
            self._cycling = False
            self._observer("power", {})
            return True
        except PlantedReset:
            self._observer("spoiled", {})
            await asyncio.sleep(self._crash_pause_s)
            return True
        except Exception as crash:
            if slot == RECOVERY:
                self._observer("dead", {"REASON": str(crash)})
                return False
            stage_0().crashed(self.fs, crash)
            self._observer("crash", {"CLASS": type(crash).__name__, "TEXT": str(crash)})
            await asyncio.sleep(self._crash_pause_s)
            return True
        finally:
            self._life.cancel()
            self.http.close()
        if reason is None:
            self._observer("dormant", {})
            return False
        self._observer("restart", {"REASON": reason})
        return True

    async def _live(self, slot: str) -> str | None:
        try:
            self._sleep = PacedSleep(self._pace)
            if slot == RECOVERY:
                return await self._recover()
            if self._spoiling is not None:
                self._spoiling.start(self.fs, slot)
            agent = agent_class(self.fs, slot)(self._ports(slot))
            self._agent = agent
            reason: str | None = await drive(agent.run(), self.http, self.fs, self._sleep)
            return reason
        except SystemExit as leaving:  # would end this whole process, not one terminal
            raise RuntimeError(f"the application left: {leaving}") from None
        finally:
            self._agent = None

    async def _recover(self) -> str | None:
        """What the factory wrote, which is the installed code, until a release is staged."""
        life = Recovery(self._ports(RECOVERY)).run()
        reason: str | None = await drive(life, self.http, sleep=self._sleep)
        return reason

    def _ports(self, slot: str) -> Ports:
        return Ports(
            SteadyClock(built_ms(self.fs, slot)),
            self._rng,
            self.fs,
            self.vault,
            Partition(slot),
            self._crypto,
            Board(self._observer),
        )
