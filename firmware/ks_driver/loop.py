"""Runs a terminal's life: performs the effects that the core yields, one at a time."""

import asyncio


async def drive(life, http, fs=None, sleep=asyncio.sleep):
    """Run the generator `life` (`Agent(ports).run()`) until it restarts or goes dormant.

    Returns the reason of a Restart (text), or None when the generator returned: the terminal is
    dormant. `http` has `request(fetch)` and `download(download)`; `sleep(seconds)` is awaited for
    a Sleep and may return early. Whatever performing an effect raises is thrown into the
    generator. What escapes the generator is a crash: it is recorded in `fs`, where one is given,
    and raised. Cancelling is the power cut: the core hears nothing of it but GeneratorExit.
    """
    answer = None
    failure = None
    try:
        while True:
            try:
                effect = life.send(answer) if failure is None else life.throw(failure)
            except StopIteration:
                return None
            except Exception as crash:
                if fs is not None:
                    from .crash import record_crash

                    record_crash(fs, crash)
                raise
            if effect.kind == "restart":
                return effect.reason
            answer = failure = None
            try:
                answer = await _perform(effect, http, sleep)
            except Exception as error:
                failure = error
    finally:
        life.close()


async def _perform(effect, http, sleep):
    kind = effect.kind
    if kind == "sleep":
        await sleep(effect.ms / 1000)
        return None
    if kind == "fetch":
        return await http.request(effect)
    if kind == "download":
        return await http.download(effect)
    raise ValueError("no such effect: " + kind)


class WakeableSleep:
    """A `sleep` for `drive` that `wake()` ends early: something happened that cannot wait.

    A wake-up that comes while nothing sleeps ends the next sleep at once.
    """

    def __init__(self):
        self._event = asyncio.Event()
        self._is_on = False

    async def __call__(self, seconds):
        if seconds <= 0:  # a turn for the others: who is woken must not sleep long after it
            await asyncio.sleep(0)
            return
        # Not wait_for: on CPython 3.11 it forgets a cancelling in the moment of a wake-up.
        timer = asyncio.create_task(self.wake_after(seconds))
        self._is_on = True
        try:
            await self._event.wait()
        finally:
            self._is_on = False
            timer.cancel()
        self._event.clear()

    async def wake_after(self, seconds):
        """The clock of a sleep, which tests and demonstrations put a faster one in place of."""
        await asyncio.sleep(seconds)
        self._event.set()

    def wake(self):
        """To be called in the loop's own thread."""
        self._event.set()

    def rouse(self):
        """The same for what is looked at before each sleep: without one, there is nothing to do."""
        if self._is_on:
            self._event.set()
