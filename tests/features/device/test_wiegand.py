"""Wiegand: pulses as readers send them, and as wires and a busy chip spoil them."""

try:
    from micropython import heap_lock, heap_unlock
except ImportError:

    def heap_lock():
        pass

    heap_unlock = heap_lock

from feature_bench import Bench, wiegand
from feature_machine import Pin

# Facility 123, card 45678, and 34 bits of which the first is set, so that they fit no small int.
CARD_26 = "10111101110110010011011101"
HEX_26 = "7BB26E"
CARD_34 = "1110111101000011001001000110011001"
HEX_34 = "DE8648CC"


def made(bits="26,34"):
    bench = Bench("punch_refused")
    bench.make(wiegand, {"d0": 34, "d1": 35}, bits=bits)
    return bench


async def send(bench, bits, gap_ms=2):
    for bit in bits:
        Pin.of(35 if bit == "1" else 34).pulse()
        await bench.pass_ms(gap_ms)


def played(*frames, pause_ms=200, gap_ms=2, bits="26,34"):
    """The bench after these frames, each followed by a pause."""

    async def story(bench):
        for frame in frames:
            await send(bench, frame, gap_ms)
            await bench.pass_ms(pause_ms)

    bench = made(bits)
    bench.play(story)
    return bench


def test_lines_are_inputs_that_are_pulled_up():
    made()
    for number in (34, 35):
        assert (Pin.of(number).mode, Pin.of(number).pull) == (Pin.IN, Pin.PULL_UP)


def test_26_bits_are_facility_and_card_in_six_digits():
    assert played(CARD_26).punches == [(HEX_26, "RFID", "")]
    assert int(HEX_26[:2], 16) == 123 and int(HEX_26[2:], 16) == 45678


def test_34_bits_are_eight_digits():
    assert played(CARD_34).punches == [(HEX_34, "RFID", "")]


def test_small_numbers_are_padded():
    assert wiegand.decode([0] * 25 + [1], [26]) == "000000"
    assert wiegand.decode([0] * 33 + [1], [34]) == "00000000"


def test_every_bit_counts():
    """All frames of one set bit, with parities as appendix B of the WEC200 manual sums them."""
    for length in (26, 34):
        half = length // 2
        for at in range(1, length - 1):
            bits = [0] * length
            bits[at] = 1
            bits[0] = 1 if at < half else 0
            bits[-1] = 1 if at < half else 0
            value = int(wiegand.decode(bits, [26, 34]), 16)
            assert value == 1 << (length - 2 - at)
            for flipped in range(length):
                bits[flipped] ^= 1
                assert wiegand.decode(bits, [26, 34]) == ""
                bits[flipped] ^= 1


def test_the_times_of_the_standard_are_all_understood():
    for gap_ms in (0, 1, 2, 20):
        assert played(CARD_26, gap_ms=gap_ms).punches == [(HEX_26, "RFID", "")]


def test_two_cards_are_two_punches():
    bench = played(CARD_26, CARD_34, CARD_26)
    assert [punch[0] for punch in bench.punches] == [HEX_26, HEX_34, HEX_26]


def test_two_frames_are_told_apart_even_where_nobody_looked_between_them():
    async def story(bench):
        for frame in (CARD_26, CARD_34):
            for bit in frame:
                Pin.of(35 if bit == "1" else 34).pulse()
                bench.ms += 2
            bench.ms += 100
        await bench.pass_ms(100)

    bench = made()
    bench.play(story)
    assert [punch[0] for punch in bench.punches] == [HEX_26, HEX_34]


def test_a_length_that_the_board_does_not_have_is_refused():
    bench = played(CARD_34, bits="26")
    assert bench.punches == []
    assert bench.refusals() == ["unread"]


def test_a_lost_pulse_an_extra_one_and_a_wrong_one_are_refused_and_told():
    wrong = CARD_26[:5] + ("0" if CARD_26[5] == "1" else "1") + CARD_26[6:]
    bench = played(CARD_26[1:], CARD_26[:9] + "1" + CARD_26[9:], wrong, CARD_26)
    assert [punch[0] for punch in bench.punches] == [HEX_26]
    assert bench.refusals() == ["unread"] * 3


def test_a_glitch_before_a_card_costs_nothing():
    bench = played("0", CARD_26, "101")
    assert [punch[0] for punch in bench.punches] == [HEX_26]
    assert bench.refusals() == []


def test_a_card_that_comes_within_a_gap_after_a_glitch_is_read_again_by_the_person():
    bench = made()

    async def story(bench):
        await send(bench, "1" + CARD_26)
        await bench.pass_ms(200)
        await send(bench, CARD_26)
        await bench.pass_ms(200)

    bench.play(story)
    assert [punch[0] for punch in bench.punches] == [HEX_26]
    assert bench.refusals() == ["unread"]


def test_noise_without_end_takes_no_more_room_and_ends_with_the_noise():
    bench = played("01" * 500, CARD_26)
    assert [punch[0] for punch in bench.punches] == [HEX_26]
    assert bench.refusals() == ["unread"]


def test_pulses_that_nobody_could_collect_do_not_harm_the_next_card():
    async def story(bench):
        for _ in range(1000):
            Pin.of(34).pulse()
        await bench.pass_ms(200)
        await send(bench, CARD_26)
        await bench.pass_ms(200)

    bench = made()
    bench.play(story)
    assert [punch[0] for punch in bench.punches] == [HEX_26]


def test_the_interrupts_allocate_nothing():
    bench = made()
    zero, one = Pin.of(34).handler, Pin.of(35).handler
    bench.ms = 123456
    reader = bench.features["wiegand"]
    # The fake clock of a bench makes no difference: it is a small int, as the chip's.
    heap_lock()
    for _ in range(200):
        zero(None)
        one(None)
    heap_unlock()
    assert reader._in != reader._out


def test_a_card_is_seen_by_the_factory_test():
    bench = made()
    bench.begin("wiegand")

    async def story(bench):
        await send(bench, CARD_26)
        await bench.pass_ms(200)

    bench.play(story)
    assert bench.end("wiegand") == [HEX_26]
    assert bench.features["wiegand"].test() == {}
