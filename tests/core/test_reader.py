"""The way of a punch to the agent: a queue that loses nothing unsaid, and lines that may be any."""

# heap: 512k because hundreds of punches and all that was heard of them are kept for comparison

import asyncio

from ks_driver.host import escape
from ks_driver.loop import WakeableSleep
from ks_driver.punch_lines import LINE_MAX_BYTES, punch_of, read_punches
from ks_driver.reader import CAPACITY, Reader

HOSTILE = b"PUNCH %2Cabc \xc3\xa4%\xff\0\r0"


class Desk:
    """What an agent and a board would hear."""

    def __init__(self):
        self.taken = []
        self.shown = []
        self.woken = 0
        self.reader = Reader(self.take, self.show, self.wake, asyncio.Event())

    def take(self, credential, method="RFID", key=""):
        if credential == "BAD":
            raise ValueError("a mistake")
        self.taken.append((credential, method, key))

    def show(self, event, detail):
        self.shown.append((event, detail))

    def wake(self):
        self.woken += 1


class Pieces:
    """Stands for stdin: gives these pieces, then its end or an error."""

    def __init__(self, pieces, error=None):
        self.pieces = list(pieces)
        self.error = error

    async def read(self):
        await asyncio.sleep(0)
        if self.pieces:
            return self.pieces.pop(0)
        if self.error is not None:
            raise self.error
        return b""


async def ended(task):
    """Cancelled and gone: MicroPython keeps what was only asked to end."""
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass


def heard(pieces, error=None):
    """The desk after all that the pieces say was passed on."""

    async def story():
        desk = Desk()
        source = Pieces(pieces, error)
        task = asyncio.create_task(desk.reader.run())
        await read_punches(source, desk.reader)
        for _ in range(3 * CAPACITY):
            await asyncio.sleep(0)
        assert not task.done()
        await ended(task)
        return desk

    return asyncio.run(story())


def test_what_is_put_is_taken_in_order_and_wakes_the_loop_each_time():
    async def story():
        desk = Desk()
        task = asyncio.create_task(desk.reader.run())
        for number in range(150):
            assert desk.reader.put((str(number), "PIN", "IN"))
            await asyncio.sleep(0)
        for _ in range(CAPACITY):
            await asyncio.sleep(0)
        await ended(task)
        return desk

    desk = asyncio.run(story())
    assert desk.taken == [(str(number), "PIN", "IN") for number in range(150)]
    assert desk.woken == 150
    assert not desk.shown


def test_a_full_queue_keeps_what_it_has_and_tells_of_each_that_found_no_room():
    async def story():
        desk = Desk()
        fits = [desk.reader.put((str(number),)) for number in range(CAPACITY + 3)]
        waiting = asyncio.create_task(desk.reader.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        task = asyncio.create_task(desk.reader.run())
        for _ in range(2 * CAPACITY):
            await asyncio.sleep(0)
        assert waiting.done()
        await ended(task)
        return desk, fits

    desk, fits = asyncio.run(story())
    assert fits == [True] * CAPACITY + [False] * 3
    assert [words[0] for words in desk.taken] == [str(number) for number in range(CAPACITY)]
    assert desk.shown == [("punch_refused", {"S1": "overflow"})] * 3


def test_a_mistake_at_one_punch_is_told_and_the_next_person_does_not_suffer():
    desk = heard([b"PUNCH A\nPUNCH BAD\nPUNCH B\n"])
    assert [words[0] for words in desk.taken] == ["A", "B"]
    assert desk.shown == [("punch_refused", {"S1": "failed"})]


def test_a_line_is_a_punch_with_its_words_unescaped():
    assert punch_of(b"PUNCH 12E45678") == ("12E45678",)
    assert punch_of(b"PUNCH A%20b%25 PIN") == ("A b%", "PIN")
    assert punch_of(b"PUNCH %E2%82%ac RFID BREAK_START") == ("\u20ac", "RFID", "BREAK_START")
    for text in ("x y", "100%", "\u20ac", "\U0001f600", "%41"):
        assert punch_of(b"PUNCH " + escape(text).encode()) == (text,)


def test_other_lines_mean_nothing():
    for line in (b"", b" ", b"PUNCHED 1", b"punch 1", b" PUNCH 1", b"EVENT punch", b"\0", b"\xff"):
        assert punch_of(line) is None


def test_a_punch_that_cannot_be_read_is_one_of_an_empty_credential():
    for line in (
        b"PUNCH",
        b"PUNCH a b c d",
        b"PUNCH %",
        b"PUNCH %4",
        b"PUNCH %4g",
        b"PUNCH %+1",
        b"PUNCH % 1",
        b"PUNCH %C0%AF",
        b"PUNCH %ED%A0%80",
        b"PUNCH \xff",
        b"PUNCH a %zz",
        b"PUNCH " + b"x" * LINE_MAX_BYTES,
    ):
        assert punch_of(line) == ("",), line


def test_lines_come_in_pieces_of_any_size():
    text = b"PUNCH A\nnonsense\nPUNCH B PIN\nPUNCH C PIN OUT\n"
    for size in range(1, len(text) + 1):
        desk = heard([text[at : at + size] for at in range(0, len(text), size)])
        assert desk.taken == [("A", "RFID", ""), ("B", "PIN", ""), ("C", "PIN", "OUT")]


def test_an_overlong_line_takes_no_more_room_and_the_next_one_is_heard():
    desk = heard([b"PUNCH "] + [b"x" * 1000] * 50 + [b"\nPUNCH A\n"])
    assert [words[0] for words in desk.taken] == ["", "A"]
    assert [words[0] for words in heard([b"y" * 1000] * 9 + [b"\nPUNCH A\n"]).taken] == ["A"]


def test_a_line_without_its_end_is_no_line():
    assert heard([b"PUNCH A\nPUNCH 1234"]).taken == [("A", "RFID", "")]


def test_an_error_of_stdin_ends_the_reading_and_nothing_else():
    assert heard([b"PUNCH A\n"], OSError(5)).taken == [("A", "RFID", "")]


def test_a_full_heap_delays_a_line_and_loses_none():
    class Short(Pieces):
        """Has no room before each piece, and leaves it where it is."""

        def __init__(self, pieces):
            super().__init__(pieces)
            self.is_short = False

        async def read(self):
            self.is_short = not self.is_short
            if self.is_short:
                raise MemoryError()
            return await Pieces.read(self)

    async def story():
        desk = Desk()
        shown = desk.reader._show

        def show(event, detail):
            shown(event, detail)
            raise MemoryError()

        desk.reader._show = show
        task = asyncio.create_task(desk.reader.run())
        await read_punches(Short([b"PUN", b"CH A\nPUNCH BAD\nPUNCH", b" B\n"]), desk.reader)
        for _ in range(CAPACITY):
            await asyncio.sleep(0)
        assert not task.done()
        await ended(task)
        return desk

    desk = asyncio.run(story())
    assert [words[0] for words in desk.taken] == ["A", "B"]
    assert desk.shown == [("punch_refused", {"S1": "failed"})]


def test_many_lines_at_once_wait_for_room_and_none_is_lost():
    lines = b"".join([b"PUNCH %d\n" % number for number in range(300)])
    desk = heard([lines])
    assert [words[0] for words in desk.taken] == [str(number) for number in range(300)]
    assert not desk.shown


def test_any_bytes_are_a_punch_or_nothing():
    state = 12345
    lines = []
    for _ in range(600):
        line = bytearray(b"PUNCH ")
        state = (state * 1103515245 + 12345) & 0x3FFFFFFF
        for _ in range(state >> 8 & 31):
            state = (state * 1103515245 + 12345) & 0x3FFFFFFF
            line.append(HOSTILE[(state >> 9) % len(HOSTILE)])
        punch = punch_of(bytes(line))
        assert 1 <= len(punch) <= 3
        for word in punch:
            assert word.encode().decode() == word
        lines.append(bytes(line) + b"\n")
        if len(lines) == 60:
            desk = heard(lines)
            assert desk.woken == len(desk.taken) == 60
            lines = []
    assert not lines


def test_rousing_ends_the_sleep_that_is_on_and_no_later_one():
    async def story():
        sleep = WakeableSleep()
        sleep.rouse()
        task = asyncio.create_task(sleep(1000))
        for _ in range(8):
            await asyncio.sleep(0)
        assert not task.done()
        sleep.rouse()
        await task
        sleep.rouse()
        task = asyncio.create_task(sleep(1000))
        for _ in range(8):
            await asyncio.sleep(0)
        assert not task.done()
        await ended(task)

    asyncio.run(story())
