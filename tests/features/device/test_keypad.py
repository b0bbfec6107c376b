"""The keypad: bouncing contacts, several keys at once, PINs, and that nobody sees them."""

from feature_bench import Bench, keypad
from feature_machine import Pin

ROWS, COLS = (13, 14, 27, 26), (25, 33, 32)
KEYS = "123456789*0#"


class Keys:
    """Which are down; the columns follow from the rows, as wires do."""

    def __init__(self, keys=KEYS, rows=ROWS, cols=COLS):
        self.keys, self.rows, self.cols = keys, rows, cols
        self.down = set()
        for number in cols:
            Pin.of(number).wired = self.reader(number)

    def reader(self, number):
        return lambda: self.level(number)

    def level(self, number):
        """Low where a chain of keys that are down leads to a row that is pulled low."""
        reached, before = {number}, set()
        while reached != before:
            before = set(reached)
            for key in self.down:
                index = self.keys.index(key)
                row = self.rows[index // len(self.cols)]
                col = self.cols[index % len(self.cols)]
                if row in reached or col in reached:
                    reached |= {row, col}
        return 0 if [row for row in self.rows if row in reached and not Pin.of(row).level] else 1


def made(keys=KEYS, rows=ROWS, cols=COLS):
    bench = Bench("punch_refused", "pin", "direction", "key")
    bench.make(keypad, {"rows": rows, "cols": cols}, keys=keys)
    bench.keys = Keys(keys, rows, cols)
    return bench


async def press(bench, text, ms=80):
    for key in text:
        bench.keys.down = {key}
        await bench.pass_ms(ms)
        bench.keys.down = set()
        await bench.pass_ms(ms)


def typed(text, ms=80):
    async def story(bench):
        await press(bench, text, ms)

    bench = made()
    bench.play(story)
    return bench


def echo(bench):
    return [detail["S1"] for event, detail in bench.told if event == "pin"]


def test_a_pin_is_ended_by_the_hash_key():
    assert typed("1234#").punches == [("1234", "PIN", "")]
    assert typed("1234").punches == []
    assert typed("1234567890#").punches == [("1234567890", "PIN", "")]


def test_the_star_takes_all_back():
    bench = typed("12*34#")
    assert bench.punches == [("34", "PIN", "")]
    assert echo(bench) == ["*", "**", "", "*", "**"]


def test_no_digits_are_no_punch():
    assert typed("#").punches == []
    assert typed("12*#").punches == []


def test_the_echo_and_every_event_are_masked():
    bench = typed("9876#")
    assert echo(bench) == ["*", "**", "***", "****"]
    said = str(bench.told) + str(bench.log) + str(bench.faults)
    assert not [digit for digit in "9876" if digit in said]


def test_digits_are_forgotten_ten_seconds_after_the_last():
    async def story(bench):
        await press(bench, "12")
        await bench.pass_ms(9000)
        await press(bench, "34")
        await bench.pass_ms(11000)
        await press(bench, "56#")

    bench = made()
    bench.play(story)
    assert bench.punches == [("56", "PIN", "")]
    assert echo(bench)[4] == ""


def test_a_pin_of_more_than_twelve_digits_is_refused_and_not_cut():
    assert typed("123456789012#").punches == [("123456789012", "PIN", "")]
    bench = typed("1234567890123#")
    assert bench.punches == []
    assert bench.refusals() == ["too_long"]


def test_a_key_that_is_held_counts_once():
    assert typed("5#", ms=3000).punches == [("5", "PIN", "")]


def test_contacts_that_bounce_count_once():
    async def story(bench):
        for key in "47#":
            for level in (1, 0, 1, 0, 1):  # within 5 ms
                bench.keys.down = {key} if level else set()
                await bench.pass_ms(1)
            await bench.pass_ms(80)
            for level in (0, 1, 0, 1, 0):
                bench.keys.down = {key} if level else set()
                await bench.pass_ms(1)
            await bench.pass_ms(80)

    bench = made()
    bench.play(story)
    assert bench.punches == [("47", "PIN", "")]


def test_a_spike_is_no_key():
    async def story(bench):
        for _ in range(50):
            bench.keys.down = {"5"}
            await bench.pass_ms(3)
            bench.keys.down = set()
            await bench.pass_ms(60)
        await press(bench, "#")

    bench = made()
    bench.play(story)
    assert bench.punches == []


def test_several_keys_at_once_are_none_even_where_a_fourth_seems_to_be():
    async def story(bench):
        for down in ({"1", "2"}, {"1", "3", "7"}, {"1", "2", "4"}):
            bench.keys.down = down
            await bench.pass_ms(100)
            bench.keys.down = {"1"}  # fingers leave one after the other
            await bench.pass_ms(100)
            bench.keys.down = set()
            await bench.pass_ms(100)
        await press(bench, "8#")

    bench = made()
    bench.play(story)
    assert bench.punches == [("8", "PIN", "")]


def test_every_key_of_a_matrix_of_16_is_found():
    keys = "123A456B789C*0#D"
    bench = made(keys, ROWS, (25, 33, 32, 4))
    bench.begin("keypad")

    async def story(bench):
        await press(bench, keys)

    bench.play(story)
    assert bench.end("keypad") == list(keys)


def test_letters_choose_the_direction_of_the_punch():
    bench = made("123A456B789C*0#D", ROWS, (25, 33, 32, 4))

    async def story(bench):
        await press(bench, "A12#12#B34#")
        await press(bench, "56C#D")

    bench.play(story)
    assert bench.punches == [
        ("12", "PIN", "IN"),
        ("12", "PIN", ""),
        ("34", "PIN", "OUT"),
        ("56", "PIN", "BREAK_START"),
    ]
    directions = [detail["A2"] for event, detail in bench.told if event == "direction"]
    assert directions[-1] == "BREAK_END"


def test_rows_are_open_drain_and_rest_low_without_being_touched():
    bench = typed("1#")
    for number in ROWS:
        Pin.of(number).history.clear()

    async def story(bench):
        await bench.pass_ms(1000)

    bench.play(story)
    for number in ROWS:
        assert Pin.of(number).history == []
        assert (Pin.of(number).mode, Pin.of(number).level) == (Pin.OPEN_DRAIN, 0)
    for number in COLS:
        assert (Pin.of(number).mode, Pin.of(number).pull) == (Pin.IN, Pin.PULL_UP)


def test_a_single_row_is_a_matrix():
    bench = made("12#", rows=(13,), cols=COLS)
    bench.keys = Keys("12#", (13,), COLS)

    async def story(bench):
        await press(bench, "21#")

    bench.play(story)
    assert bench.punches == [("21", "PIN", "")]


def test_keys_that_are_not_rows_times_columns_are_refused():
    try:
        made("12345")
    except ValueError:
        return
    raise AssertionError("taken")
