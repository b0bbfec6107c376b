"""An LED, or a red and a green one.

Data sheet: none is needed. A pin of the ESP32 lights an LED through a resistor (1 kOhm and 3.3 V:
about 1 mA). Active `high`: between the pin and ground; `low`: between the supply and the pin.
"""

from machine import Pin

from .player import Player

GREEN, RED = 1, 2

PATTERNS = {
    "accepted": (GREEN, 1000),
    "duplicate": (GREEN, 150, 0, 150, GREEN, 150),
    "refused": (RED, 150, 0, 150, RED, 150, 0, 150, RED, 150),
    "identify": (GREEN, 250, RED, 250) * 20,
    "key": (GREEN, 40),
    "setup": (GREEN, 100, 0, 100) * 10,
    "waiting": (RED, 60, 0, 2940),
    "test": (GREEN, 700, RED, 700, GREEN | RED, 700),
}
ONE_PATTERNS = {  # for whom both colours are one
    "accepted": PATTERNS["accepted"],
    "duplicate": PATTERNS["duplicate"],
    "refused": PATTERNS["refused"],
    "identify": (GREEN, 250, 0, 250) * 20,
    "key": PATTERNS["key"],
    "setup": PATTERNS["setup"],
    "waiting": PATTERNS["waiting"],
    "test": (GREEN, 700, 0, 700, GREEN, 700),
}


def make(pins, options, desk):
    off = 1 if options.get("active", "high") == "low" else 0
    green = Pin(pins.get("pin", pins.get("green")), Pin.OUT, value=off)
    red = Pin(pins["red"], Pin.OUT, value=off) if "red" in pins else None
    return Led(green, red, off, desk)


class Led:
    def __init__(self, green, red, off, desk):
        self._green = green
        self._red = red
        self._off = off
        self._player = Player(desk, self._light, ONE_PATTERNS if red is None else PATTERNS)

    async def run(self):
        await self._player.run()

    def test(self):
        self._player.play("test")
        return {}

    def _light(self, state):
        if self._red is None:
            state = 1 if state else 0
        else:
            self._red.value((state >> 1) ^ self._off)
        self._green.value((state & 1) ^ self._off)
