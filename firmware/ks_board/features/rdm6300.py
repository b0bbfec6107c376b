"""The RDM6300, a reader of 125 kHz tags (EM4100) with a serial line.

Its data sheet ("RDM6300", ITEAD; the sections have no numbers: "Pin definition", "Reading type",
and the example of the card 62E3086CED): 9600 baud, 8N1. A frame is 02, ten hexadecimal digits, two
of the checksum, 03; the checksum is the exclusive or of the five bytes. By its reading type a
module sends a tag once, or over and over while it stays.

The credential is the ten digits, upper case. Of the number printed on a tag, usually decimal, they
are the last eight.
"""

from machine import UART, Pin

BAUD = 9600
START, END = 0x02, 0x03
DIGITS = 12
POLL_MS = 40  # 38 characters; the port keeps 256
AWAY_MS = 1000  # not sent for so long: the tag was away


def make(pins, options, desk):
    # Nothing is sent, but the port connects a pin for it, for UART 1 one of the flash
    # (ports/esp32/machine_uart.c). The pin of rx, given for both, stays an input.
    tx = pins.get("tx", pins["rx"])
    uart = UART(int(options.get("uart", "1")), BAUD, tx=Pin(tx), rx=Pin(pins["rx"]))
    return Rdm6300(uart, options["name"], desk)


class Rdm6300:
    def __init__(self, uart, name, desk):
        self._uart = uart
        self._name = name
        self._desk = desk
        self._frames = Frames()
        self._tag = ""
        self._seen_ms = 0

    async def run(self):
        while True:
            data = self._uart.read() if self._uart.any() else None
            for byte in data or b"":
                tag = self._frames.hear(byte)
                if tag:
                    self._read(tag)
            await self._desk.pause(POLL_MS)

    def test(self):
        return {}

    def _read(self, tag):
        is_new = tag != self._tag or self._desk.since(self._seen_ms) > AWAY_MS
        self._tag = tag
        self._seen_ms = self._desk.now_ms()
        if is_new:
            self._desk.seen(self._name, tag)
            self._desk.punch(tag, "RFID")


class Frames:
    """Takes bytes; whatever they are, it holds twelve at most."""

    def __init__(self):
        self._digits = bytearray(DIGITS)
        self._count = -1

    def hear(self, byte):
        """The tag, once its frame is whole and right; else ""."""
        if byte == START:
            self._count = 0
        elif self._count < 0:
            pass
        elif byte == END:
            count, self._count = self._count, -1
            return tag_of(bytes(self._digits)) if count == DIGITS else ""
        elif self._count < DIGITS:
            self._digits[self._count] = byte
            self._count += 1
        else:
            self._count = -1
        return ""


def tag_of(digits):
    """The tag of a frame's twelve digits, "" where the checksum is another."""
    total = 0
    value = 0
    for index, byte in enumerate(digits):
        digit = b"0123456789ABCDEF".find(bytes((byte,)).upper())
        if digit < 0:
            return ""
        value = value << 4 | digit
        if index & 1:
            total ^= value
            value = 0
    return "" if total else digits[:10].decode().upper()
