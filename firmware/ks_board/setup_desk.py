"""The serial line of a provisioned terminal that a person has opened: `hello` and `setup`."""

import asyncio

from ks_agent.errors import KsError
from ks_agent.identity import PATH
from ks_agent.store import Store

from .console_refusal import JOIN_FAILED, SEALED, Refusal
from .console_text import sealed_hello, text_of

FLUSH_S = 0.05


class SetupDesk:
    """What the console does in setup mode: `hello`, `setup`, and `restart` to end it."""

    def __init__(self, facts, d1, trial):
        self._facts = facts
        self._d1 = d1
        self._trial = trial
        self._ending = None
        self.over = asyncio.Event()
        self.reason = None

    async def perform(self, op, request):
        if op == "hello":
            return sealed_hello(self._facts, self._d1)
        if op == "setup":
            name, password = text_of(request, "WIFI_SSID"), text_of(request, "WIFI_PASSWORD")
            if self._trial.is_trying():
                raise Refusal(JOIN_FAILED, "another network is being tried")
            if not await self._trial.attempt(name, password):
                raise Refusal(JOIN_FAILED, self._trial.text)
            return {"TEXT": self._trial.text}
        if op == "restart":
            self.reason = "restart"
            self._ending = asyncio.create_task(self._end())
            return {}
        raise Refusal(SEALED, "the terminal is provisioned")

    async def _end(self):
        await asyncio.sleep(FLUSH_S)
        self.over.set()


def d1_of(fs):
    """The terminal's id as its records, else the factory's words, have it."""
    record = Store(fs).read_or_none(PATH)
    if record is None or not isinstance(record.get("D1"), str):
        from ks_agent import factory

        try:
            record = factory.read_factory(fs)
        except KsError:
            record = {}
    return record.get("D1", "terminal")
