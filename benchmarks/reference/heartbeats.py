"""Runs on MicroPython, in a provisioned folder: a terminal that heartbeats, and what that takes.

    micropython -m heartbeats COUNT

prints "HEARTBEAT work wait crypto" for each of COUNT heartbeats: microseconds of the terminal's
own work, of waiting for the server, and of the work that were its crypto port. The pauses between
heartbeats are left out, and so is preparing the server's key, which happens once.
"""

# mypy: ignore-errors
# ruff: noqa: E402, I001

import sys
import time

sys.path.insert(0, "slot_a")

# In this order they fit into the heap: the port's tables, and then what the application needs.
from ks_crypto.port import Ed25519Crypto

PORT = Ed25519Crypto()

import main
import asyncio

from ks_driver.host import build_ports
from ks_driver.http import HttpClient

PAUSE_S = 0.005


class Timed:
    """A crypto port that counts the microseconds spent in the one it passes everything on to."""

    def __init__(self, port):
        self._port = port
        self.us = 0
        self.prepare_us = 0

    def __getattr__(self, name):
        function = getattr(self._port, name)

        def timed(*arguments, **named):
            start = time.ticks_us()
            try:
                return function(*arguments, **named)
            finally:
                passed_us = time.ticks_diff(time.ticks_us(), start)
                if name == "prepare":
                    self.prepare_us += passed_us
                else:
                    self.us += passed_us

        return timed


async def live(count):
    crypto = Timed(PORT)
    life = main.Agent(build_ports(".", "a", crypto)).run()
    http = HttpClient(lambda: None)
    answer = failure = None
    beats = False
    work_us = wait_us = heartbeats = 0
    while heartbeats < count:
        start = time.ticks_us()
        effect = life.send(answer) if failure is None else life.throw(failure)
        work_us += time.ticks_diff(time.ticks_us(), start)
        answer = failure = None
        if effect.kind == "sleep":
            if beats:
                heartbeats += 1
                print("HEARTBEAT", work_us - crypto.prepare_us, wait_us, crypto.us)
            beats = False
            work_us = wait_us = crypto.us = crypto.prepare_us = 0
            await asyncio.sleep(PAUSE_S)
        elif effect.kind == "fetch":
            beats = effect.url.endswith("/heartbeat")
            start = time.ticks_us()
            try:
                answer = await http.request(effect)
            except OSError as error:
                failure = error
            wait_us += time.ticks_diff(time.ticks_us(), start)
        else:
            raise ValueError("not expected here: " + effect.kind)


asyncio.run(live(int(sys.argv[1])))
