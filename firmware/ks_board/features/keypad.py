"""A matrix of keys, and PINs entered with it: digits, ended by `#`, taken back by `*`.

Data sheet: Parallax, 4x4 Matrix Membrane Keypad (#27899), v1.2, "How it Works": a key connects its
row and its column; "Key Specifications" of an earlier version: it bounces for 5 ms at most. All
rows are low until a column is, then one after the other alone. Columns are pulled up, by resistors
where the pin cannot (GPIO 34 to 39 of the ESP32). Rows are open drain: two keys short nothing.

The credential is the PIN. Digits are in no log and on no display: `pin` events have asterisks.
A to D, where there are such keys, choose the direction of the next punch.
"""

from machine import Pin

SCAN_MS = 20
STEADY = 2  # scans with the same result are no bouncing
TIMEOUT_MS = 10000
MAX_DIGITS = 12
NONE, MANY = -1, -2
DIRECTIONS = {"A": "IN", "B": "OUT", "C": "BREAK_START", "D": "BREAK_END"}


def make(pins, options, desk):
    rows = [Pin(number, Pin.OPEN_DRAIN, value=0) for number in _all(pins["rows"])]
    cols = [Pin(number, Pin.IN, Pin.PULL_UP) for number in _all(pins["cols"])]
    keys = options.get("keys", "123456789*0#")
    if len(keys) != len(rows) * len(cols):
        raise ValueError("keys are not rows times cols")
    return Keypad(rows, cols, keys, options["name"], desk)


def _all(numbers):
    return (numbers,) if isinstance(numbers, int) else numbers


class Keypad:
    def __init__(self, rows, cols, keys, name, desk):
        self._rows = rows
        self._cols = cols
        self._keys = keys
        self._name = name
        self._desk = desk
        self._entry = Entry(desk)
        self._last = NONE
        self._same = 0
        self._is_down = False

    async def run(self):
        while True:
            key = self._settled()
            if key:
                self._desk.seen(self._name, key)
                self._entry.press(key)
            self._entry.expire()
            await self._desk.pause(SCAN_MS)

    def test(self):
        return {}

    def _settled(self):
        """The key that was pressed just now, once it is steady; "" for none."""
        found = self._scan()
        self._same = self._same + 1 if found == self._last else 1
        self._last = found
        if self._same < STEADY:
            return ""
        if found == NONE:
            self._is_down = False
        elif not self._is_down:
            self._is_down = True
            if found != MANY:
                return self._keys[found]
        return ""

    def _scan(self):
        """Which key is down; MANY for more than one: with three, a fourth would seem to be."""
        if all([col.value() for col in self._cols]):
            return NONE
        self._drive(1)
        found = NONE
        index = 0
        for row in self._rows:
            row.value(0)
            for col in self._cols:
                if not col.value():
                    found = index if found == NONE else MANY
                index += 1
            row.value(1)
        self._drive(0)
        return found

    def _drive(self, level):
        for row in self._rows:
            row.value(level)


class Entry:
    """The PIN as far as it has been entered."""

    def __init__(self, desk):
        self._desk = desk
        self._digits = ""
        self._pressed_ms = 0

    def press(self, key):
        self._pressed_ms = self._desk.now_ms()
        self._desk.show("key", {})
        if key in DIRECTIONS:
            self._desk.choose(DIRECTIONS[key])
        elif key == "#":
            digits, self._digits = self._digits, ""
            if digits:
                self._desk.punch(digits, "PIN")
        elif key == "*":
            self._clear()
        elif len(self._digits) < MAX_DIGITS:
            self._digits += key
            self._desk.show("pin", {"S1": "*" * len(self._digits)})
        else:
            self._clear()
            self._desk.refuse("too_long")

    def expire(self):
        """Forget what nobody ended."""
        if self._digits and self._desk.since(self._pressed_ms) >= TIMEOUT_MS:
            self._clear()

    def _clear(self):
        self._digits = ""
        self._desk.show("pin", {"S1": ""})
