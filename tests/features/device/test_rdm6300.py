"""The RDM6300: its data sheet's frame, those of tags that people posted, and what lines garble."""

from feature_bench import Bench, rdm6300
from feature_machine import UART

# The example of the data sheet: card 62E3086CED, checksum 08.
SHEET = b"\x0262E3086CED08\x03"
# From forum.seeedstudio.com, "RDM630 - Checksum Problems": the first is right, the second not.
POSTED = b"\x02010007 34E0D2\x03".replace(b" ", b"")
POSTED_WRONG = b"\x0202004DB005FC\x03"
FRAME_MS = 65


def made(pins=None, **options):
    bench = Bench("punch_refused")
    bench.make(rdm6300, pins or {"rx": 16}, **options)
    return bench


def heard(*pieces, gap_ms=FRAME_MS):
    """The bench after these bytes came, with so much time after each."""

    async def story(bench):
        for piece in pieces:
            UART.last.came += piece
            await bench.pass_ms(gap_ms)

    bench = made()
    bench.play(story)
    return bench


def test_the_line_has_9600_baud_and_no_pin_of_the_flash():
    made(uart=2)
    uart = UART.last
    assert (uart.number, uart.baudrate, uart.rx.number, uart.tx.number) == (2, 9600, 16, 16)
    made({"rx": 34, "tx": 17})
    assert (UART.last.number, UART.last.rx.number, UART.last.tx.number) == (1, 34, 17)


def test_a_tag_is_ten_digits():
    assert heard(SHEET).punches == [("62E3086CED", "RFID", "")]
    assert heard(POSTED).punches == [("01000734E0", "RFID", "")]


def test_a_module_that_sends_small_letters_gives_the_same_credential():
    assert heard(SHEET.lower()).punches == [("62E3086CED", "RFID", "")]


def test_a_tag_that_stays_is_one_punch():
    assert heard(*[SHEET] * 50).punches == [("62E3086CED", "RFID", "")]


def test_a_tag_that_was_away_for_a_second_is_another_punch():
    bench = heard(SHEET, SHEET, gap_ms=900)
    assert len(bench.punches) == 1
    bench = heard(SHEET, SHEET, SHEET, gap_ms=1200)
    assert len(bench.punches) == 3


def test_another_tag_is_a_punch_at_once():
    bench = heard(SHEET, POSTED, SHEET)
    assert [punch[0] for punch in bench.punches] == ["62E3086CED", "01000734E0", "62E3086CED"]


def test_frames_come_in_pieces_of_any_size():
    stream = SHEET + POSTED
    for size in range(1, len(stream)):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert len(heard(*pieces, gap_ms=1).punches) <= 2
        assert len(heard(*pieces).punches) == 2


def test_wrong_checksums_and_what_is_no_digit_are_no_tags():
    assert heard(POSTED_WRONG).punches == []
    assert heard(SHEET.replace(b"62", b"63")).punches == []
    assert heard(SHEET.replace(b"62", b"6G")).punches == []
    assert heard(b"\x02 62E3086CED08\x03").punches == []


def test_every_single_wrong_bit_is_noticed_or_is_a_letter_s_size():
    for at in range(1, len(SHEET) - 1):
        for bit in range(8):
            frame = bytearray(SHEET)
            frame[at] ^= 1 << bit
            frames = rdm6300.Frames()
            tags = [tag for tag in [frames.hear(byte) for byte in frame] if tag]
            assert tags == [] or (tags == ["62E3086CED"] and bit == 5)


def test_a_torn_frame_and_noise_do_not_harm_the_next_one():
    for noise in (b"\xff\x00", SHEET[:6], b"\x03\x03", b"\x02" * 30, b"A" * 300, b"\x02\x03"):
        assert heard(noise, SHEET).punches == [("62E3086CED", "RFID", "")], noise


def test_a_frame_that_is_too_long_or_short_is_none():
    assert heard(b"\x0262E3086CED0800\x03").punches == []
    assert heard(b"\x0262E3086CED\x03").punches == []


def test_a_tag_is_seen_by_the_factory_test():
    bench = made()
    bench.begin("rdm6300")

    async def story(bench):
        UART.last.came += SHEET
        await bench.pass_ms(100)

    bench.play(story)
    assert bench.end("rdm6300") == ["62E3086CED"]
    assert bench.features["rdm6300"].test() == {}
