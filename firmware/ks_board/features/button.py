"""A push button: held for 5 s it opens the setup (role `setup`), or it chooses a direction.

Data sheet: none is needed. Contacts bounce for some milliseconds (Parallax, #27899, "Key
Specifications": 5 ms at most): what two looks with 20 ms between them agree in is so. A button of
role `in` or `out` chooses the direction of the next punch, see DIRECTION:KEY in docs/punches.md.

Active `low`: it connects the pin to ground, and the pin is pulled up, by a resistor where it
cannot by itself (GPIO 34 to 39 of the ESP32); `high`: the other way round.
"""

from machine import Pin

LOOK_MS = 20
HOLD_MS = 5000
DIRECTIONS = {"in": "IN", "out": "OUT"}


def make(pins, options, desk):
    is_low = options.get("active", "low") == "low"
    pin = Pin(pins["pin"], Pin.IN, Pin.PULL_UP if is_low else Pin.PULL_DOWN)
    return Button(pin, 0 if is_low else 1, options.get("role", "setup"), options["name"], desk)


class Button:
    def __init__(self, pin, active, role, name, desk):
        self._pin = pin
        self._active = active
        self._name = name
        self._desk = desk
        self.role = role

    def is_down(self):
        """As it is now, bouncing or not: for who asks at boot."""
        return self._pin.value() == self._active

    async def run(self):
        was_down = False  # at the last look
        is_held = False
        since_ms = 0
        while True:
            is_down = self.is_down()
            if is_down == was_down and is_down != is_held:
                is_held = is_down
                since_ms = self._desk.now_ms()
                if is_held:
                    self._pressed()
            elif is_held and since_ms is not None and self._desk.since(since_ms) >= HOLD_MS:
                since_ms = None
                if self.role == "setup":
                    self._desk.show("setup", {})
            was_down = is_down
            await self._desk.pause(LOOK_MS)

    def test(self):
        return {"DOWN": "yes" if self.is_down() else "no"}

    def _pressed(self):
        self._desk.seen(self._name, self.role)
        self._desk.show("key", {})
        if self.role in DIRECTIONS:
            self._desk.choose(DIRECTIONS[self.role])
