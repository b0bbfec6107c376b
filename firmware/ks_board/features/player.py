"""Patterns of light or sound for what happened, one at a time; the newest counts.

A pattern is a tuple: how many times, then states, each followed by how many ms it lasts. Loaded
with the LED or the buzzer alone.
"""

import asyncio

STEP_MS = 20


class Player:
    """`output(state)` sets the light or the sound; 0 is off, as it is after each pattern.

    `patterns`: by `accepted`, `duplicate`, `refused`, `offline`, `identify`, `key`, `setup` and
    `test`; what lacks is not shown. With `waiting`, that pattern goes on while the terminal is
    offline.
    """

    def __init__(self, desk, output, patterns):
        self._desk = desk
        self._output = output
        self._patterns = patterns
        self._next = None
        self._is_offline = False
        self._flag = asyncio.Event()
        desk.on("", self._hear)

    def play(self, what):
        pattern = self._patterns.get(what)
        if pattern is not None:
            self._next = pattern
            self._flag.set()

    async def run(self):
        try:
            while True:
                pattern = self._next
                if pattern is None and self._is_offline:
                    pattern = self._patterns.get("waiting")
                if pattern is None:
                    await self._flag.wait()
                    self._flag.clear()
                    continue
                self._next = None
                await self._perform(pattern)
        finally:
            self._output(0)

    def _hear(self, event, detail):
        if event == "punch":
            self.play("accepted")
        elif event == "punch_refused":
            self.play("duplicate" if detail.get("S1") == "duplicate" else "refused")
        elif event == "heartbeat":
            self._is_offline = False
        elif event == "offline":
            if not self._is_offline:  # it comes with each try
                self._is_offline = True
                self._flag.set()
                self.play("offline")
        else:
            self.play(event)

    async def _perform(self, pattern):
        """Until it ends, or another one is to be played."""
        for step in range(pattern[0] * (len(pattern) // 2)):
            index = 1 + 2 * (step % (len(pattern) // 2))
            self._output(pattern[index])
            left_ms = pattern[index + 1]
            while left_ms > 0 and self._next is None:
                await self._desk.pause(min(left_ms, STEP_MS))
                left_ms -= STEP_MS
            if self._next is not None:
                break
        self._output(0)
