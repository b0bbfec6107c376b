"""The display: what it is told at the start, and what is on it, read back from its memory."""

import sys

from feature_bench import Bench, Installed, ssd1306
from feature_machine import I2C

with Installed():
    framebuf = sys.modules.get("framebuf") or __import__("framebuf")

WIDTH = 128


class Panel:
    """An SSD1306: its commands and its memory, by the data sheet's sections 8.1.5, 9 and 10."""

    ARGUMENTS = {
        0x20: 1, 0x21: 2, 0x22: 2, 0x81: 1, 0x8D: 1, 0xA8: 1, 0xD3: 1, 0xD5: 1, 0xD9: 1, 0xDA: 1,
        0xDB: 1,
    }  # fmt: skip

    def __init__(self, address=0x3C):
        self.address = address
        self.is_there = True
        self.told = {}
        self.is_on = False
        self.memory = [bytearray(b"\xaa" * WIDTH) for _ in range(8)]

    def write(self, address, data):
        if address != self.address or not self.is_there:
            raise OSError(19)
        if data[0] == 0x40:
            self._data(data[1:])
            return
        assert data[0] == 0x00
        rest = list(data[1:])
        while rest:
            command = rest.pop(0)
            if command in (0xAE, 0xAF):
                self.is_on = command == 0xAF
            count = self.ARGUMENTS.get(command, 0)
            self.told[command], rest = rest[:count], rest[count:]

    def _data(self, data):
        (first, last), (page, last_page) = self.told[0x21], self.told[0x22]
        assert (first, last) == (0, WIDTH - 1) and page == last_page
        assert len(data) == WIDTH
        self.memory[page][:] = data

    def rows(self, pages=8):
        return [bytes(page) for page in self.memory[:pages]]


def small(text):
    """A page with these letters."""
    page = bytearray(WIDTH)
    frame = framebuf.FrameBuffer(page, WIDTH, 8, framebuf.MONO_VLSB)
    frame.fill(0)
    frame.text(text, 0, 0)
    return bytes(page)


def large(text):
    """Two pages with letters of twice the size, point by point."""
    letters = small(text)
    pages = [bytearray(WIDTH), bytearray(WIDTH)]
    for x in range(WIDTH):
        for y in range(16):
            if letters[x // 2] >> y // 2 & 1:
                pages[y // 8][x] |= 1 << y % 8
    return [bytes(page) for page in pages]


BLANK = bytes(WIDTH)


def made(height=64, **options):
    bench = Bench()
    I2C.panel = Panel()
    bench.make(ssd1306, {"sda": 21, "scl": 22}, height=height, width=128, **options)
    return bench


def shown(*events, height=64, ms=200):
    async def story(bench):
        await bench.pass_ms(100)
        for event in events:
            bench.show(*event)
            await bench.pass_ms(ms)

    bench = made(height)
    bench.play(story)
    return I2C.panel.rows(height // 8)


def test_it_is_told_what_the_data_sheet_wants_and_cleared_before_it_is_on():
    shown()
    panel = I2C.panel
    assert panel.is_on
    assert panel.told[0x8D] == [0x14]
    assert (panel.told[0xA8], panel.told[0xDA], panel.told[0x20]) == ([63], [0x12], [0])
    assert b"\xaa" not in b"".join(panel.rows())
    shown(height=32)
    assert (I2C.panel.told[0xA8], I2C.panel.told[0xDA]) == ([31], [0x02])
    assert I2C.panel.memory[4] == bytearray(b"\xaa" * WIDTH)


def test_an_address_that_is_given_is_used():
    bench = made(address=0x3D)
    I2C.panel.address = 0x3D

    async def story(bench):
        await bench.pass_ms(100)

    bench.play(story)
    assert I2C.panel.is_on


def test_a_punch_is_shown_large_and_its_direction_below():
    rows = shown(("punch", {"A2": "BREAK_START", "S1": "accepted"}))
    assert rows[2:4] == large("OK")
    assert rows[5] == small("BREAK_START")
    assert [rows[index] for index in (0, 1, 4, 6, 7)] == [BLANK] * 5


def test_a_low_display_shows_the_same():
    rows = shown(("punch", {"A2": "IN"}), height=32)
    assert rows == large("OK") + [BLANK, small("IN")]


def test_refusals_say_what_to_do():
    for why, word, rest in (
        ("duplicate", "Already", "recorded"),
        ("unknown", "Unknown", "not known here"),
        ("no_key", "Which?", "choose a key"),
        ("full", "Full", "tell somebody"),
        ("collision", "One card", "at a time"),
        ("unread", "Again", "please try again"),
        ("anything", "Again", "please try again"),
    ):
        rows = shown(("punch_refused", {"S1": why}))
        assert (rows[2:4], rows[5]) == (large(word), small(rest)), why


def test_every_word_fits():
    for line in ssd1306.WORDS.strip().split("\n") + ["nothing of the kind"]:
        words = ssd1306.words_of(line.split(":")[0])
        assert len(words) == 2 and len(words[0]) <= 8 and len(words[1]) <= 16, words


def test_a_pin_is_asterisks():
    rows = shown(("pin", {"S1": "***"}))
    assert (rows[2:4], rows[5]) == (large("PIN"), small("***"))


def test_a_message_has_two_lines_that_are_cut():
    rows = shown(("message", {"S1": "0123456789", "S2": "0123456789abcdefXYZ"}))
    assert (rows[2:4], rows[5]) == (large("01234567"), small("0123456789abcdef"))


def test_after_three_seconds_the_state_is_shown_again():
    rows = shown(("heartbeat", {}), ("punch", {"A2": "IN"}), ms=3500)
    assert rows.count(small("ready")) == 1
    assert rows.count(BLANK) == 7
    rows = shown(("heartbeat", {}), ("offline", {"reason": "x"}))
    assert rows.count(small("offline")) == 1


def test_what_stands_for_long_moves():
    places = []

    async def story(bench):
        for _ in range(3):
            await bench.pass_ms(61000)
            places.append(I2C.panel.rows().index(small("starting")))

    bench = made()
    bench.play(story)
    assert len(set(places)) == 3


def test_other_events_have_words():
    assert shown(("direction", {"A2": "IN"}))[2:4] == large("IN")
    assert shown(("identify", {}))[2:4] == large("Here")
    assert shown(("setup", {}))[2:4] == large("Setup")


def test_a_display_that_does_not_answer_is_a_fault_until_it_does():
    async def story(bench):
        await bench.pass_ms(1000)
        assert list(bench.faults) == ["ssd1306"]
        bench.show("punch", {"A2": "IN"})
        I2C.panel.is_there = True
        await bench.pass_ms(5000)

    bench = made()
    I2C.panel.is_there = False
    bench.play(story)
    assert bench.faults == {}
    assert I2C.panel.rows()[2:4] == large("OK")


def test_a_display_that_is_pulled_off_and_put_on_again_is_begun_anew():
    async def story(bench):
        await bench.pass_ms(1000)
        I2C.panel.is_there = False
        bench.show("punch", {"A2": "IN"})
        await bench.pass_ms(1000)
        assert list(bench.faults) == ["ssd1306"]
        I2C.panel = Panel()
        await bench.pass_ms(6000)

    bench = made()
    bench.play(story)
    assert I2C.panel.is_on and bench.faults == {}


def test_the_factory_test_shows_letters():
    bench = made()

    async def story(bench):
        await bench.pass_ms(100)
        assert bench.features["ssd1306"].test() == {}
        await bench.pass_ms(200)

    bench.play(story)
    assert I2C.panel.rows()[2:4] == large("Test")
