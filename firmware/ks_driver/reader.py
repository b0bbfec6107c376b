"""The way of a punch from what reads credentials, an interrupt for one, to the agent."""

import asyncio

CAPACITY = 64


class Reader:
    """A bounded queue, and the task that empties it beside the drive loop.

    `take(credential, method, key)` is the agent's, `show(event, detail)` the board's, and `woken()`
    is called after each: the drive loop has something to send. `flag` is an asyncio.Event, or a
    ThreadSafeFlag where `put` is called by an interrupt.
    """

    def __init__(self, take, show, woken, flag):
        self._take = take
        self._show = show
        self._woken = woken
        self._flag = flag
        self._held = [None] * (CAPACITY + 1)
        # Each is moved by one side alone, so that an interrupt may come anywhere.
        self._in = 0
        self._out = 0
        self._lost = 0
        self._told = 0

    def put(self, punch):
        """A tuple (credential, method, key), the last two may lack; False when there is no room.

        Allocates nothing. What found no room is told as refused.
        """
        following = (self._in + 1) % len(self._held)
        fits = following != self._out
        if fits:
            self._held[self._in] = punch
            self._in = following
        else:
            self._lost += 1
        self._flag.set()
        return fits

    def progress(self):
        """For a watchdog: None while there is nothing to do, else a number that changes."""
        return None if self._out == self._in else self._out

    async def room(self):
        """Wait until there is some: for who can, a person with a card cannot."""
        while (self._in + 1) % len(self._held) == self._out:  # noqa: ASYNC110 -- of no importance
            await asyncio.sleep(0)

    async def run(self):
        """A full heap delays a punch, and does not end this."""
        while True:
            try:
                await self._flag.wait()
            except MemoryError:
                await asyncio.sleep(0)
            self._flag.clear()
            while self._out != self._in:
                punch = self._held[self._out]
                self._held[self._out] = None
                self._out = (self._out + 1) % len(self._held)
                self._pass_on(punch)
                await asyncio.sleep(0)
            while self._told != self._lost:
                self._told += 1
                self._refuse("overflow")

    def _pass_on(self, punch):
        try:
            self._take(*punch)
        except Exception:  # the next person must not suffer for it
            self._refuse("failed")
        self._woken()

    def _refuse(self, why):
        try:
            self._show("punch_refused", {"S1": why})
        except MemoryError:
            pass
