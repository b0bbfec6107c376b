"""Runs on MicroPython, as the application of a release: a terminal that heartbeats, and what that
takes.

    KS_HEARTBEATS=COUNT micropython boot.py FOLDER

prints "HEARTBEAT work wait crypto" for each of COUNT heartbeats: microseconds of the terminal's
own work, of waiting for the server, and of the work that were its crypto port. The pauses between
heartbeats are left out, and so is preparing the server's key, which happens once.
"""

# mypy: ignore-errors
# ruff: noqa: E402 -- in this order they fit into the heap

from ks_crypto.port import Ed25519Crypto

PORT = Ed25519Crypto()

import asyncio
import os
import time

from ks_agent.agent import Agent
from ks_driver.host import build_ports
from ks_driver.http import HttpClient

PAUSE_S = 0.005


class Timed:
    """A crypto port that counts the microseconds spent in the one it passes everything on to."""

    def __init__(self, port):
        self._port = port
        self.us = 0

    def public_key(self, seed):
        return self._timed(self._port.public_key, seed)

    def sign(self, seed, pieces):
        return self._timed(self._port.sign, seed, pieces)

    def verify(self, public, pieces, signature):
        return self._timed(self._port.verify, public, pieces, signature)

    def sha256(self):
        return self._timed(self._port.sha256)

    def forget(self):
        return self._timed(self._port.forget)

    def prepare(self, public):
        return self._port.prepare(public)

    def _timed(self, function, *arguments):
        start = time.ticks_us()
        try:
            return function(*arguments)
        finally:
            self.us += time.ticks_diff(time.ticks_us(), start)


async def live(slot, count):
    crypto = Timed(PORT)
    life = Agent(build_ports(".", slot, crypto)).run()
    http = HttpClient(lambda: None)
    answer = failure = None
    beats = False
    work_us = wait_us = heartbeats = 0
    while heartbeats < count:
        start = time.ticks_us()
        effect = life.send(answer) if failure is None else life.throw(failure)
        passed_us = time.ticks_diff(time.ticks_us(), start)
        answer = failure = None
        if effect.kind == "sleep":
            if effect.ms:  # between two pieces of the server's key it is none
                if beats:
                    heartbeats += 1
                    print("HEARTBEAT", work_us + passed_us, wait_us, crypto.us)
                beats = False
                work_us = wait_us = crypto.us = 0
            await asyncio.sleep(PAUSE_S)
        elif effect.kind == "fetch":
            work_us += passed_us
            beats = effect.url.endswith("/heartbeat")
            start = time.ticks_us()
            try:
                answer = await http.request(effect)
            except OSError as error:
                failure = error
            wait_us += time.ticks_diff(time.ticks_us(), start)
        else:
            raise ValueError("not expected here: " + effect.kind)


def main(root, slot):
    asyncio.run(live(slot, int(os.getenv("KS_HEARTBEATS"))))
