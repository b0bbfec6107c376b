"""An LED, or a red and a green one.

Data sheet: none is needed. A pin of the ESP32 lights an LED through a resistor (1 kOhm and 3.3 V:
about 1 mA). Active `high`: between the pin and ground; `low`: between the supply and the pin.
"""

from machine import Pin

from .player import Player

GREEN, RED = 1, 2

# For one LED, both colours are the same.
PATTERNS = {
    "accepted": (1, GREEN, 1000),
    "duplicate": (2, GREEN, 150, 0, 150),
    "refused": (3, RED, 150, 0, 150),
    "identify": (20, GREEN, 200, 0, 100, RED, 200, 0, 100),
    "key": (1, GREEN, 40),
    "setup": (10, GREEN, 100, 0, 100),
    "waiting": (1, RED, 60, 0, 2940),
    "test": (1, GREEN, 700, 0, 300, RED, 700, 0, 300, GREEN | RED, 700),
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
        self._player = Player(desk, self._light, PATTERNS)

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
