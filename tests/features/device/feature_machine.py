"""What a feature sees of a chip: `machine` and, where there is none, `framebuf`; for both
interpreters. What is attached is played by the tests: see feature_bench.
"""

import sys

LETTER = 8
MOST_KEPT = 32


class Pin:
    """`level` is what the wire has; `of(number)` finds the one that a feature made."""

    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2
    made = {}

    def __init__(self, number, mode=-1, pull=-1, value=None):
        self.number = number
        self.mode, self.pull = mode, pull
        self.level = 1 if pull == self.PULL_UP else 0
        self.wired = None  # gives the level, where something else decides it
        self.handler = None
        self.history = []
        if value is not None:
            self.level = value
        self.made[number] = self

    def value(self, level=None):
        if level is None:
            return self.level if self.wired is None else self.wired()
        assert self.mode in (self.OUT, self.OPEN_DRAIN), "an input"
        self.level = level
        if len(self.history) < MOST_KEPT:
            self.history.append(level)
        return None

    def irq(self, handler, trigger):
        assert trigger == self.IRQ_FALLING
        self.handler = handler

    def pulse(self):
        """A low pulse that is over when the interrupt's handler runs."""
        self.handler(self)

    @classmethod
    def of(cls, number):
        return cls.made[number]


class UART:
    last = None

    def __init__(self, number, baudrate, tx, rx):
        self.number, self.baudrate, self.tx, self.rx = number, baudrate, tx, rx
        self.came = b""
        UART.last = self

    def any(self):
        return len(self.came)

    def read(self):
        data, self.came = self.came, b""
        return data or None


class SPI:
    """`chip`, which the test sets, answers."""

    chip = None

    def __init__(self, number, **options):
        self.number, self.options = number, options

    def write_readinto(self, data, buffer):
        assert Pin.of(5).level == 0, "the chip is not selected"
        buffer[:] = SPI.chip.exchange(data)


class I2C:
    """`panel`, which the test sets, acknowledges or not."""

    panel = None

    def __init__(self, number, sda, scl, freq):
        self.number, self.freq = number, freq

    def writeto(self, address, data):
        return I2C.panel.write(address, bytes(data))


class PWM:
    last = None

    def __init__(self, pin, freq, duty_u16):
        self.pin, self._hz, self._duty = pin, freq, duty_u16
        self.sounds = []
        PWM.last = self

    def freq(self, hz):
        self._hz = hz

    def duty_u16(self, duty):
        self._duty = duty
        if len(self.sounds) < MOST_KEPT:
            self.sounds.append(self._hz if duty else 0)


class FrameBuffer:
    """CPython has none: a letter is its code in each of eight columns."""

    def __init__(self, buffer, width, height, form):
        self._buffer = buffer

    def fill(self, color):
        for index in range(len(self._buffer)):
            self._buffer[index] = color

    def text(self, text, x, y):
        for index, letter in enumerate(text):
            for column in range(LETTER):
                at = x + LETTER * index + column
                if at < len(self._buffer):
                    self._buffer[at] = ord(letter)


class Module:
    """Stands in sys.modules."""


def modules():
    """By name: what features import besides what both interpreters have."""
    machine = Module()
    for made in (Pin, UART, SPI, I2C, PWM):
        setattr(machine, made.__name__, made)
    found = {"machine": machine}
    if sys.implementation.name != "micropython":
        framebuf = Module()
        framebuf.FrameBuffer = FrameBuffer
        framebuf.MONO_VLSB = 0
        found["framebuf"] = framebuf
    return found
