"""A provisioned terminal's life on an ESP32: the tasks agent, reader, indicator and watchdog.

Indicators and what reads credentials are features of the board, each a task (ks_board.desk).
"""

import asyncio

from ks_agent import life
from ks_agent.agent import Agent
from ks_driver.http import HttpClient
from ks_driver.loop import WakeableSleep, drive
from ks_driver.reader import Reader

from .watchdog import Probed, Timed, Watchdog
from .wifi import Credentials, Wifi, WifiHttp

# What the agent does between two effects: signatures, the journal at a boot.
WORK_MS = 30000
JOIN_MS = 20000
LOW_HEAP_BYTES = 12288


class WatchedSleep(WakeableSleep):
    """The agent's sleep, of which the watchdog knows how long it is. `begin` is called at the
    first: the agent is through with what takes most of the heap.
    """

    def __init__(self, guard, begin):
        WakeableSleep.__init__(self)
        self._guard = guard
        self._begin = begin

    async def __call__(self, seconds):
        if self._begin is not None:
            begin, self._begin = self._begin, None
            begin()
        self._guard.expect("sleeps", int(seconds * 1000))
        await WakeableSleep.__call__(self, seconds)
        self._guard.expect("works", WORK_MS)


class WatchedHttp:
    """The agent's HTTP, the same."""

    def __init__(self, http, guard):
        self._http = http
        self._guard = guard

    async def request(self, fetch):
        self._guard.expect("fetches", fetch.timeout_ms + JOIN_MS)
        try:
            return await self._http.request(fetch)
        finally:
            self._guard.expect("works", WORK_MS)

    async def download(self, download):
        self._guard.expect("downloads", download.timeout_ms + JOIN_MS)
        try:
            return await self._http.download(download)
        finally:
            self._guard.expect("works", WORK_MS)


class Terminal:
    """`run` is one life. `memory`: ks_board.memory.Memory."""

    def __init__(self, ports, memory):
        self._ports = ports
        self._memory = memory
        self._watchdog = Watchdog(ports.fs, self._round)
        self._credentials = Credentials(ports.vault)
        self._wifi = Wifi(self._credentials)  # before the agent, which may make its key: see Wifi
        self._agent = None
        self._put = None
        self._desk = None
        self._tasks = []
        self._stopped = None
        self._life = None
        self._told_low = False

    async def run(self):
        """The reason of the restart, or None for a dormant terminal."""
        try:
            return await self._run()
        except Exception as crash:
            from ks_driver.crash import record_crash

            record_crash(self._ports.fs, crash)
            raise

    async def _run(self):
        agent = self._agent = Agent(self._ports)
        self._credentials.config = agent.config
        if agent.identity.state == life.DORMANT:  # for ever, and nothing would feed a watchdog
            return await drive(agent.run(), None)
        self._watchdog.arm()
        try:
            return await self._live(agent)
        finally:
            for task in self._tasks:
                task.cancel()
            if self._desk is not None:
                self._desk.close()
            self._watchdog.end()

    def stop(self, reason):
        """End this life in good order: `run` gives the reason."""
        self._stopped = reason
        if self._life is not None:
            self._life.cancel()

    async def _live(self, agent):
        guard = self._watchdog.guard(Timed("agent", self._watchdog))
        sleep = WatchedSleep(guard, self._start_features)
        http = WifiHttp(
            self._wifi, HttpClient(self._authority()), agent.clock.now_ms, self._memory.make_room
        )
        self._start("wifi", self._wifi.watch(agent.link))
        self._start_reader(sleep)
        self._tasks.append(asyncio.create_task(self._watchdog.run()))
        self._life = asyncio.create_task(drive(agent.run(), WatchedHttp(http, guard), None, sleep))
        try:
            return await self._life
        except asyncio.CancelledError:
            if self._stopped is None:
                raise
            return self._stopped

    def _authority(self):
        made = []

        def authority():
            if not made:  # without https its code is not loaded at all
                from ks_driver.authority import Authority

                made.append(Authority(self._ports.fs, lambda: self._agent.config.get("CA")))
            return made[0]()

        return authority

    def _start(self, name, coroutine, progress=lambda: None):
        task = asyncio.create_task(coroutine)
        self._tasks.append(task)
        self._watchdog.guard(Probed(name, progress, task))

    def _start_reader(self, sleep):
        flag = asyncio.ThreadSafeFlag()
        reader = Reader(self._take, self._ports.board.show, sleep.rouse, flag)
        self._start("reader", reader.run(), reader.progress)
        self._put = reader.put

    def _take(self, *punch):
        before = self._watchdog.doing("reader: works")
        try:
            return self._agent.punches.take(*punch)
        finally:
            self._watchdog.doing(before)

    def _start_features(self):
        """Readers and indicators, each a task; a board without any loads none of their code."""
        from .start_features import start

        self._desk = start(self._ports, self._put, self._agent.log.warn)
        if self._desk is not None:
            self._desk.on("setup", self._setup)
        self._ports.board.unload(())

    def _setup(self, event, detail):
        self.stop("setup")

    def _round(self):
        """Every second: a text when the chip is to be reset."""
        late = self._memory.sample()
        low = self._memory.least_bytes()
        if low < LOW_HEAP_BYTES and not self._told_low:
            self._told_low = True
            self._agent.log.warn("heap: %d bytes free at the least" % low)
        return late


def live(ports, memory, slot):
    """A coroutine: see Terminal.run."""
    return Terminal(ports, memory).run()
