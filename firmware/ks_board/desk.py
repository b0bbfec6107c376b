"""What readers, buttons and indicators get: the way of a punch to the agent, events, a clock.

See features: each of them is made with a Desk, and knows nothing else of the terminal.
"""

import asyncio
import time

# A difference of ticks, whatever their period: it is a power of two, and 2 to the 30th at least.
MASK = 0x3FFFFFFF
CHOSEN_MS = 10000  # how long a chosen direction waits for its punch
RETRY_MS = 5000  # until a feature that failed is tried again
MAX_SEEN = 16
MAX_SEEN_CHARACTERS = 48

try:
    from time import ticks_ms
except ImportError:

    def ticks_ms():
        return time.monotonic_ns() // 1000000 & MASK  # type: ignore[attr-defined]


try:
    from asyncio import sleep_ms
except ImportError:

    async def sleep_ms(ms):  # type: ignore[no-redef]
        await asyncio.sleep(ms / 1000)


class Desk:
    """`put(punch)` takes a tuple (credential, method, key) and may be called by an interrupt: see
    ks_driver.reader; without one, as in the factory, punches go nowhere. `flag()` makes an event
    that an interrupt may set, asyncio's own unless another is given. `tell(text)` is for the log.

    `features`: what `features.load` made, by name, None for what could not be made; `faults`: what
    is wrong with them, as texts.
    """

    def __init__(self, put=None, flag=None, tell=None):
        self.put = put or _nowhere
        self.flag = flag or getattr(asyncio, "ThreadSafeFlag", asyncio.Event)
        self.features = {}
        self.faults = {}
        self._tell = tell
        self._listeners = {}
        self._tasks = []
        self._seen = {}
        self._direction = ""
        self._chosen_ms = 0

    # -- time ---------------------------------------------------------------------------------

    def now_ms(self):
        """For `since` alone: it begins anew after days. Allocates nothing."""
        return ticks_ms()

    def since(self, then_ms):
        """Milliseconds since a `now_ms()` of the last days. Allocates nothing."""
        return (self.now_ms() - then_ms) & MASK

    async def pause(self, ms):
        await sleep_ms(ms)

    # -- punches ------------------------------------------------------------------------------

    def punch(self, credential, method):
        """Put it, with the direction chosen before. Not for interrupts. False: there is no room."""
        key, self._direction = self._direction, ""
        if key and self.since(self._chosen_ms) >= CHOSEN_MS:
            key = ""
        return self.put((credential, method, key))

    def choose(self, direction):
        """The direction (A2) of the next punch, if it comes soon."""
        self._direction = direction
        self._chosen_ms = self.now_ms()
        self.show("direction", {"A2": direction})

    def refuse(self, why):
        """Tell the person, and nobody else, that a card or a PIN could not be taken."""
        self.show("punch_refused", {"S1": why})

    # -- events -------------------------------------------------------------------------------

    def on(self, event, function):
        """`function(event, detail)` is called at each such event, "" meaning all of them: the
        board's, and `key`, `pin`, `direction`, `setup` and `message` of the features'. It must not
        take long.
        """
        self._listeners.setdefault(event, []).append(function)

    def show(self, event, detail):
        """What a broken indicator makes of it is nobody's concern."""
        for which in (event, ""):
            for function in self._listeners.get(which, ()):
                try:
                    function(event, detail)
                except Exception:  # a full heap, too
                    pass

    # -- the factory test ---------------------------------------------------------------------

    def seen(self, name, detail):
        """A feature saw something; kept from `begin` to `end` alone, so that no PIN is."""
        found = self._seen.get(name)
        if found is not None and len(found) < MAX_SEEN:
            found.append(str(detail)[:MAX_SEEN_CHARACTERS])

    def begin(self, name):
        self._seen[name] = []

    def end(self, name):
        """What was seen since `begin`, as texts; None where nothing was begun."""
        return self._seen.pop(name, None)

    # -- tasks --------------------------------------------------------------------------------

    def spawn(self, coroutine):
        """Run it beside all others, until `close`."""
        task = asyncio.create_task(coroutine)
        self._tasks.append(task)
        return task

    def start(self):
        """Run the features: in the loop, once."""
        for name in self.features:
            feature = self.features[name]
            if feature is not None:
                self.spawn(self._keep(name, feature))

    async def _keep(self, name, feature):
        """A feature that fails, as one with a loose wire, is tried again."""
        while True:
            try:
                await feature.run()
                return
            except Exception as error:
                self.fault(name, str(error) or type(error).__name__)
            await self.pause(RETRY_MS)

    def fault(self, name, text):
        """What is wrong with a feature; "": nothing any more. Told once."""
        if self.faults.get(name, "") == text:
            return
        if text:
            self.faults[name] = text
        else:
            del self.faults[name]
        if self._tell is not None:
            try:
                self._tell("%s: %s" % (name, text or "works again"))
            except MemoryError:
                pass

    def close(self):
        for task in self._tasks:
            task.cancel()
        self._tasks = []


def _nowhere(punch):
    return True
