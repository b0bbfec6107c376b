"""The conversation over recovery's serial line, once somebody has spoken: `hello` and `setup`."""

import asyncio

from .console import Console
from .setup_desk import SetupDesk, d1_of
from .setup_trial import NetworkTrial

LASTS_S = 300
SILENCE_S = 30


async def talk(ports, facts, stream, make_life, lasts_s=LASTS_S, silence_s=SILENCE_S):
    """Until a network is kept, nobody has spoken for a while, or the time is over."""
    trial = NetworkTrial(make_life)
    timed = TimedStream(stream)
    talking = asyncio.create_task(Console(timed, SetupDesk(facts, d1_of(ports.fs), trial)).run())
    try:
        for _ in range(lasts_s):
            await asyncio.sleep(1)
            timed.silent_s += 1
            if talking.done() or trial.kept:
                break
            if timed.silent_s >= silence_s and not trial.is_trying():
                break
    finally:
        talking.cancel()


class TimedStream:
    """The stream, of which it is known how long nothing came."""

    def __init__(self, stream):
        self._stream = stream
        self.silent_s = 0

    async def read(self):
        data = await self._stream.read()
        self.silent_s = 0
        return data

    def write(self, data):
        self._stream.write(data)
