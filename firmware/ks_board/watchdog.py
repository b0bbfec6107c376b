"""The chip's watchdog, fed only while each task of the terminal gets on; and why it bit.

What blocks everything leaves what ran at that moment in the RTC's memory, which outlasts a reset. A
task that hangs while others run is found here: its name is written as the crash that it is, and
the watchdog is fed no more. The next boot reports both as it reports every crash.

By MicroPython's documentation of machine.WDT: once it runs it cannot be stopped.
"""

import asyncio
import time

import machine

from .rtc import MARK

# Longer than anything that leaves nothing else a turn: an image that is verified, a key's table.
BITE_MS = 60000
ROUND_MS = 1000
# A task that was asked for something has this much longer than that takes.
GRACE_MS = 30000


class Watchdog:
    """`each_round()` is called every second, and tells by a text why not to feed, or None."""

    def __init__(self, fs, each_round=lambda: None):
        self._fs = fs
        self._each_round = each_round
        self._guards = []
        self._rtc = machine.RTC()
        self._wdt = None
        self._doing = ""

    def arm(self):
        """From here on, `run` is to run."""
        self._wdt = machine.WDT(timeout=BITE_MS)

    def guard(self, guard):
        self._guards.append(guard)
        return guard

    def doing(self, what):
        """Mark what runs now; gives what ran before."""
        before, self._doing = self._doing, what
        if self._rtc is not None:
            self._rtc.memory(MARK + what.encode())
        return before

    async def run(self):
        """Until a task hangs. A full heap delays a round, and does not end this."""
        while True:
            try:
                late = self._late()
                if late is not None:
                    return self._give_up(late)
            except MemoryError:
                pass
            self._wdt.feed()
            await asyncio.sleep_ms(ROUND_MS)

    def _give_up(self, late):
        from .reset_reason import keep

        print("watchdog:", late)
        self.end()  # no more marks: this one is written
        self._rtc = None
        keep(self._fs, late)

    def _late(self):
        now = time.ticks_ms()
        for guard in self._guards:
            if guard.is_late(now):
                return guard.name + ": " + guard.doing
        return self._each_round()

    def end(self):
        """A life has come to its end in good order."""
        if self._rtc is not None:
            self._rtc.memory(b"")


class Timed:
    """A task that says how long it may take for what it does now."""

    def __init__(self, name, watchdog):
        self.name = name
        self.doing = "begins"
        self._watchdog = watchdog
        self._end = time.ticks_ms()
        self.expect("begins", 0)

    def expect(self, what, ms):
        self.doing = what
        self._end = time.ticks_add(time.ticks_ms(), min(ms, 100000000) + GRACE_MS)
        self._watchdog.doing(self.name + ": " + what)

    def is_late(self, now):
        return time.ticks_diff(now, self._end) > 0


class Probed:
    """A task that waits for work: `progress()` is None while there is none, else a number that
    changes as the task gets on. A task that has ended is late as well.
    """

    def __init__(self, name, progress, task):
        self.name = name
        self.doing = ""
        self._progress = progress
        self._task = task
        self._seen = None
        self._since = time.ticks_ms()

    def is_late(self, now):
        if self._task.done():
            self.doing = "ended"
            return True
        seen = self._progress()
        if seen is None or seen != self._seen:
            self._seen = seen
            self._since = now
            return False
        self.doing = "hangs"
        return time.ticks_diff(now, self._since) > GRACE_MS


async def feed_for_ever():
    """Where there is one task: what blocks everything ends in a reset."""
    wdt = machine.WDT(timeout=BITE_MS)
    while True:
        wdt.feed()
        await asyncio.sleep_ms(ROUND_MS)
