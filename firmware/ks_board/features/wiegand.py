"""Readers with a Wiegand interface of 26 or 34 bits.

Pulses: SIA AC-01-1996.10, "Access Control Standard Protocol for the 26-Bit Wiegand Reader
Interface". Its times and both formats are also in the PROMAG WEC200 manual, appendix B: D0 and D1
are high; a low pulse of 20 to 100 us on one of them is a bit; 200 us to 20 ms lie between two.
The first bit makes the first half even, the last one makes the second half odd.

The credential is what lies between the parity bits, facility code and card number, in hexadecimal,
upper case, 6 or 8 digits: facility 123, card 45678 is 7BB26E.

MicroPython's ESP32 port queues interrupts (ports/esp32/machine_pin.c: mp_sched_schedule), so that
pulses are counted late while something else computes, and are lost when that takes long. Hence no
pulse is judged by its time: a glitch, or a lost bit, shows in count or parity.
"""

from machine import Pin

GAP_MS = 25  # without a pulse: the frame has ended
RING = 128  # a power of two
FIRST = 2  # marks the first bit of a frame
MAX_BITS = 63
# A person who held a card to it is told; a few pulses are a glitch, or a reader that is turned on.
NOISE_BITS = 8
MASK = 0x3FFFFFFF


def make(pins, options, desk):
    lengths = [int(bits) for bits in options.get("bits", "26,34").split(",")]
    return Wiegand(pins["d0"], pins["d1"], lengths, options["name"], desk)


class Wiegand:
    def __init__(self, d0, d1, lengths, name, desk):
        self._desk = desk
        self._lengths = lengths
        self._name = name
        self._ring = bytearray(RING)
        # Each is moved by one side alone, so that an interrupt may come anywhere.
        self._in = 0
        self._out = 0
        self._last_ms = 0
        self._now_ms = desk.now_ms
        self._flag = desk.flag()
        self._frame = bytearray(MAX_BITS)
        self._count = 0
        # Kept: the interrupts end with the pins.
        self._pins = (Pin(d0, Pin.IN, Pin.PULL_UP), Pin(d1, Pin.IN, Pin.PULL_UP))
        self._pins[0].irq(self._zero, Pin.IRQ_FALLING)
        self._pins[1].irq(self._one, Pin.IRQ_FALLING)

    def _zero(self, pin):
        self._pulse(0)

    def _one(self, pin):
        self._pulse(1)

    def _pulse(self, bit):
        """Allocates nothing."""
        now_ms = self._now_ms()
        if (now_ms - self._last_ms) & MASK > GAP_MS:
            bit |= FIRST
        self._last_ms = now_ms
        following = (self._in + 1) & (RING - 1)
        if following != self._out:
            self._ring[self._in] = bit
            self._in = following
        self._flag.set()

    async def run(self):
        while True:
            await self._flag.wait()
            self._flag.clear()
            self._collect()
            while self._count:
                await self._desk.pause(GAP_MS)
                if self._in == self._out and self._desk.since(self._last_ms) > GAP_MS:
                    self._end()
                self._collect()

    def test(self):
        return {}

    def _collect(self):
        while self._in != self._out:
            bit = self._ring[self._out]
            self._out = (self._out + 1) & (RING - 1)
            if bit & FIRST and self._count:
                self._end()
            if self._count < MAX_BITS:
                self._frame[self._count] = bit & 1
                self._count += 1

    def _end(self):
        count, self._count = self._count, 0
        credential = decode(self._frame[:count], self._lengths)
        if credential:
            self._desk.seen(self._name, credential)
            self._desk.punch(credential, "RFID")
        elif count >= NOISE_BITS:
            self._desk.refuse("unread")


def decode(bits, lengths):
    """The credential in a frame, one byte a bit; "" where it is none."""
    count = len(bits)
    if count not in lengths or sum(bits[: count // 2]) & 1 or not sum(bits[count // 2 :]) & 1:
        return ""
    number = 0
    for bit in bits[1:-1]:
        number = number << 1 | bit
    return ("%0" + str((count - 2) // 4) + "X") % number
