"""`machine` of MicroPython's ESP32 port, as far as terminals use it, on the CHIP of start.py.

Control lines: `pin 4 0` sets a level from outside, `wire 13 25 1` connects two pins, as a key of a
matrix does, and `wire 13 25 0` parts them; `uart 1 HEX` bytes that come in.
Events: `pin 2 1`, `pwm 5 2000` (Hz, 0: silent), `uart 1 HEX`, `i2c ADDRESS HEX`, `wdt MS`.
"""

import time

chip = CHIP
PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
EPOCH_2000_S = 946684800


def reset():
    chip.end(75)


soft_reset = reset


def reset_cause():
    return chip.cause


def unique_id():
    return chip.mac


def freq(hz=None):
    return 240000000


def disable_irq():
    return 0


def enable_irq(state):
    pass


class Pin:
    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2
    levels = {}  # by number
    wires = set()
    _watched = {}

    def __init__(self, number, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        self.number = number
        self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if pull == self.PULL_UP:
            self.levels.setdefault(self.number, 1)
        self._is_output = mode in (self.OUT, self.OPEN_DRAIN)
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is None:
            chip.poll()
            return self._seen()
        level = 1 if level else 0
        if self.levels.get(self.number) != level:
            self.levels[self.number] = level
            chip.event("pin %d %d" % (self.number, level))
        return None

    __call__ = value

    def _seen(self):
        """Low, too, where a wire leads to a pin that is low."""
        for wire in self.wires:
            if self.number in wire and self.levels.get(wire[wire[0] == self.number], 1) == 0:
                return 0
        return self.levels.get(self.number, 0)

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def irq(self, handler=None, trigger=3, priority=1, wake=None, hard=False):
        if handler is None:
            self._watched.pop(self.number, None)
        else:
            self._watched[self.number] = (handler, trigger, self)
        return self

    @classmethod
    def control(cls, words):
        number, level = int(words[1]), int(words[2])
        before = cls.levels.get(number)
        cls.levels[number] = level
        handler, trigger, pin = cls._watched.get(number, (None, 0, None))
        edge = cls.IRQ_RISING if level else cls.IRQ_FALLING
        if handler is not None and before != level and trigger & edge:
            handler(pin)

    @classmethod
    def connect(cls, words):
        wire = (int(words[1]), int(words[2]))
        if int(words[3]):
            cls.wires.add(wire)
        else:
            cls.wires.discard(wire)


chip.on("pin", Pin.control)
chip.on("wire", Pin.connect)


class RTC:
    """Starts at 2000-01-01; its time and its memory outlast every reset, but not the power."""

    def datetime(self, now=None):
        kept = chip.rtc
        if now is not None:
            wanted = time.mktime((now[0], now[1], now[2], now[4], now[5], now[6], 0, 0))
            kept.offset_s = wanted - int(time.time())
            kept.keep()
            return None
        if kept.offset_s is None:
            kept.offset_s = EPOCH_2000_S - int(time.time())
        found = time.gmtime(int(time.time()) + kept.offset_s)
        return (found[0], found[1], found[2], found[6], found[3], found[4], found[5], 0)

    def memory(self, data=None):
        if data is None:
            return chip.rtc.memory
        if len(data) > 2048:
            raise ValueError("buffer too long")
        chip.rtc.memory = bytes(data)
        chip.rtc.keep()
        return None


class WDT:
    """Bites by SIGALRM, which ends the process wherever it is."""

    def __init__(self, id=0, timeout=5000):
        if timeout < 1:
            raise ValueError("WDT timeout too short")
        self._ms = timeout
        chip.event("wdt %d" % timeout)
        self.feed()

    def feed(self):
        chip.watchdog(self._ms)


def __getattr__(name):
    if name in ("PWM", "UART", "SPI", "SoftSPI", "I2C", "SoftI2C", "Timer"):
        import machine_buses

        return getattr(machine_buses, name)
    raise AttributeError(name)
