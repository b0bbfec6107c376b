"""A bench for features: a desk whose time is the test's, and the machine around it."""

import asyncio
import sys

import feature_machine
from feature_machine import Pin

TURNS = 12  # of CPython's loop, after which everybody waits again
QUEUE = getattr(getattr(asyncio, "core", None), "_task_queue", None)


class Installed:
    """`with Installed():` features find the fakes under the names of what they import."""

    def __enter__(self):
        self._before = {}
        found = feature_machine.modules()
        for name in found:
            self._before[name] = sys.modules.get(name)
            sys.modules[name] = found[name]

    def __exit__(self, *_):
        for name in self._before:
            if self._before[name] is None:
                del sys.modules[name]
            else:
                sys.modules[name] = self._before[name]


with Installed():
    from ks_board import features
    from ks_board.desk import MASK, Desk
    from ks_board.features import (
        button,
        buzzer,
        keypad,
        led,
        mfrc522,
        player,
        rdm6300,
        ssd1306,
        wiegand,
    )

__all__ = (
    "MASK", "Desk", "button", "buzzer", "features", "keypad", "led", "mfrc522", "player", "rdm6300",
    "ssd1306", "wiegand",
)  # fmt: skip


class Bench(Desk):
    """`punches`: what was put. `told`: what was told to indicators, of the events asked for."""

    def __init__(self, *events, now_ms=5000):
        Desk.__init__(self, put=self._keep_punch, flag=asyncio.Event)
        Pin.made.clear()
        self.punches = []
        self.told = []
        self.log = []
        self._tell = self.log.append
        self.ms = now_ms
        self._waiting = []
        for event in events:
            self.on(event, self._keep_event)

    def _keep_punch(self, punch):
        self.punches.append(punch)
        return True

    def _keep_event(self, event, detail):
        self.told.append((event, detail))

    def refusals(self):
        return [detail["S1"] for event, detail in self.told if event == "punch_refused"]

    def now_ms(self):
        return self.ms & MASK

    async def pause(self, ms):
        event = asyncio.Event()
        self._waiting.append((self.ms + ms, event))
        await event.wait()

    async def pass_ms(self, ms):
        """Let this time pass, each who waits being woken when it is time."""
        end_ms = self.ms + ms
        await self.settle()
        while True:
            due = [at for at, _ in self._waiting if at <= end_ms]
            if not due:
                break
            self.ms = max(self.ms, min(due))
            for at, event in self._waiting:
                if at <= self.ms:
                    event.set()
            self._waiting = [pair for pair in self._waiting if not pair[1].is_set()]
            await self.settle()
        self.ms = end_ms

    async def settle(self):
        """Until everybody waits for time or an event. MicroPython's queue tells; it gives turns
        by the millisecond, and within one to whom it likes.
        """
        if QUEUE is None:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            return
        while QUEUE.peek():  # noqa: ASYNC110 -- there is no event for it
            await asyncio.sleep(0)

    def make(self, module, pins, **options):
        """The feature of a module, called as its kind; it is run by `play`."""
        name = module.__name__.split(".")[-1]
        texts = {key: str(options[key]) for key in options}
        texts["name"] = name
        self.features[name] = module.make(pins, texts, self)
        return self.features[name]

    def play(self, story):
        """Run the features while `story(bench)`, a coroutine, goes on."""

        async def all_of_it():
            self.start()
            try:
                await story(self)
            finally:
                await self.stop()

        asyncio.run(all_of_it())

    async def stop(self):
        """Cancelled and gone: MicroPython keeps what was only asked to end."""
        for task in self._tasks:
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
        self._tasks = []
