"""A display of 128 x 64 or 128 x 32 points with an SSD1306, on I2C.

Data sheet: Solomon Systech, SSD1306, Rev 1.5, Aug 2010: 8.1.5 the I2C interface, 8.7 the display's
memory, 8.10 the charge pump, 9 and 10.1 the commands. Letters are MicroPython's `framebuf`'s, of
8 x 8 points. Only one page of memory, 8 lines of points, is held at a time.

Never a name, a card or a PIN: what a person sees here, the next one sees too.
"""

import asyncio

import framebuf
from machine import I2C, Pin

HZ = 400000
WIDTH = 128
COMMANDS, DATA = 0x00, 0x40  # control bytes, 8.1.5.2
SHOWN_MS = 3000
MOVE_MS = 60000  # what stands still burns in
STEP_MS = 100
# Each four bits doubled, for letters of twice the size.
DOUBLED = b"\x00\x03\x0c\x0f\x30\x33\x3c\x3f\xc0\xc3\xcc\xcf\xf0\xf3\xfc\xff"

# One text, which takes a third of the room: why, and what is shown of it.
WORDS = """
duplicate:Already:recorded
unknown:Unknown:not known here
no_key:Which?:choose a key
full:Full:tell somebody
closed:Closed:out of service
collision:One card:at a time
random:No:not such a card
too_long:Too long:try again
"""


def make(pins, options, desk):
    i2c = I2C(0, sda=Pin(pins["sda"]), scl=Pin(pins["scl"]), freq=HZ)
    height = int(options.get("height", "64"))
    return Ssd1306(i2c, int(options.get("address", "60")), height, options["name"], desk)


class Ssd1306:
    def __init__(self, i2c, address, height, name, desk):
        self._i2c = i2c
        self._address = address
        self._height = height
        self._name = name
        self._desk = desk
        self._status = "starting"
        self._wanted = None
        self._flag = asyncio.Event()
        self._line = bytearray(1 + WIDTH)
        self._line[0] = DATA
        points = memoryview(self._line)[1:]
        self._frame = framebuf.FrameBuffer(points, WIDTH, 8, framebuf.MONO_VLSB)
        desk.on("", self._hear)

    def _hear(self, event, detail):
        if event in ("offline", "heartbeat"):
            status = "offline" if event == "offline" else "ready"
            if status == self._status:
                return
            self._status = status
        elif event == "punch":
            self._wanted = ("OK", detail.get("A2", ""))
        elif event == "punch_refused":
            self._wanted = words_of(detail.get("S1", ""))
        elif event == "pin":
            self._wanted = ("PIN", detail["S1"])
        elif event == "direction":
            self._wanted = (detail["A2"][:8], detail["A2"])
        elif event == "message":
            self._wanted = (detail.get("S1", ""), detail.get("S2", ""))
        elif event == "identify":
            self._wanted = ("Here", "")
        elif event == "setup":
            self._wanted = ("Setup", "")
        else:
            return
        self._flag.set()

    async def run(self):
        """Raises OSError when the display does not answer."""
        self._begin()
        self._desk.fault(self._name, "")
        moved = 0
        while True:
            wanted, self._wanted = self._wanted, None
            self._flag.clear()
            if wanted is None:
                moved += 1
                await self._draw("", self._status, moved)
                await self._wait(MOVE_MS)
            else:
                await self._draw(wanted[0], wanted[1], 0)
                await self._wait(SHOWN_MS)

    def test(self):
        self._wanted = ("Test", "0123456789ABCDEF")
        self._flag.set()
        return {}

    async def _wait(self, ms):
        while ms > 0 and not self._flag.is_set():
            await self._desk.pause(STEP_MS)
            ms -= STEP_MS

    def _begin(self):
        pins = 0x12 if self._height == 64 else 0x02
        self._command(
            b"\xae\x20\x00\x40\xa1\xc8\xd3\x00\xd5\x80\xd9\xf1\xdb\x30\x81\x7f\xa4\xa6\x8d\x14"
            + bytes((0xA8, self._height - 1, 0xDA, pins))
        )
        for page in range(self._height // 8):
            self._write(page, "")
        self._command(b"\xaf")

    async def _draw(self, large, small, moved):
        """`large`: 8 letters in two pages; `small`: 16 in one, `moved` down so many pages."""
        pages = self._height // 8
        top = (pages - 4) // 2
        for page in range(pages):
            if large and page in (top, top + 1):
                self._write_doubled(page, large, page - top)
            elif page == (top + 3 + moved) % pages:
                self._write(page, small)
            else:
                self._write(page, "")
            await self._desk.pause(1)

    def _write(self, page, text):
        self._frame.fill(0)
        self._frame.text(text[:16], 0, 0)
        self._send(page)

    def _write_doubled(self, page, text, half):
        self._frame.fill(0)
        self._frame.text(text[:8], 0, 0)
        for column in range(WIDTH // 2, 0, -1):  # from the end: what is read lies before
            points = DOUBLED[self._line[column] >> 4 * half & 0x0F]
            self._line[2 * column - 1] = points
            self._line[2 * column] = points
        self._send(page)

    def _send(self, page):
        self._command(bytes((0x21, 0, WIDTH - 1, 0x22, page, page)))
        self._i2c.writeto(self._address, self._line)

    def _command(self, commands):
        self._i2c.writeto(self._address, bytes((COMMANDS,)) + commands)


def words_of(why):
    """What is shown, large and small, of a refusal."""
    at = WORDS.find("\n" + why + ":")
    if at < 0:
        return ("Again", "please try again")
    return WORDS[at + 1 :].split("\n", 1)[0].split(":")[1:]
