"""The serial line beside recovery's life: another network may be what it needs.

A try interrupts that life, as a power cut would, and another one begins after it.
"""

import asyncio

from .console import Console
from .console_text import check_network
from .setup_desk import SetupDesk, d1_of
from .setup_trial import NetworkTrial


class RecoveryLine:
    """`make_life`: as NetworkTrial's. `run` gives what drives of it give: the restart's reason."""

    def __init__(self, ports, facts, stream, make_life):
        self._make_life = make_life
        self._trial = NetworkTrial(make_life)
        self._console = Console(stream, SetupDesk(facts, d1_of(ports.fs), self))
        self._living = None
        self._is_interrupted = False
        self._is_free = asyncio.Event()
        self._is_free.set()

    async def run(self):
        listening = asyncio.create_task(self._console.run())
        try:
            while True:
                await self._is_free.wait()
                self._living = asyncio.create_task(self._make_life()[1](asyncio.sleep))
                try:
                    return await self._living
                except asyncio.CancelledError:
                    if not self._is_interrupted:
                        raise
                    self._is_interrupted = False
        finally:
            listening.cancel()
            self._living.cancel()

    # -- as SetupDesk wants a trial ---------------------------------------------------------------

    def is_trying(self):
        return self._trial.is_trying()

    @property
    def text(self):
        return self._trial.text

    async def attempt(self, name, password):
        check_network(name, password)
        self._is_interrupted = True
        self._is_free.clear()
        self._living.cancel()
        try:
            return await self._trial.attempt(name, password)
        finally:
            self._is_free.set()
