"""The MFRC522: cards of all sizes, several at once, broken ones, and a chip that is not there."""

import feature_cards
from feature_bench import Bench, mfrc522
from feature_cards import HALT, Card, Chip
from feature_machine import SPI, Pin

PINS = {"sck": 18, "mosi": 23, "miso": 19, "cs": 5, "rst": 17}
FOUR = b"\xde\xad\xbe\xef"
# The NTAG213 of e2e.ti.com, "TRF7963A: UID mismatch": its first answer is 88 04 0C AC and 20.
SEVEN = b"\x04\x0c\xac\x12\xed\x4c\x81"
TEN = b"\x04\x01\x02\x03\x04\x05\x06\x07\x08\x09"


def made(*cards, version=0x92):
    bench = Bench("punch_refused")
    SPI.chip = Chip(version)
    SPI.chip.cards = list(cards)
    bench.make(mfrc522, PINS, spi=1)
    return bench


def played(*cards, ms=3000, version=0x92):
    async def story(bench):
        await bench.pass_ms(ms)

    bench = made(*cards, version=version)
    bench.play(story)
    return bench


def credentials(bench):
    return [punch[0] for punch in bench.punches]


def test_crc_a_is_that_of_the_standard():
    # ISO/IEC 14443-3, annex B; and the SAK of cards that everybody has.
    assert mfrc522.crc_a(b"\x00\x00") == b"\xa0\x1e"
    assert mfrc522.crc_a(b"\x12\x34") == b"\x26\xcf"
    assert mfrc522.crc_a(b"\x50\x00") == b"\x57\xcd"
    assert mfrc522.crc_a(b"\x08") == b"\xb6\xdd"
    assert mfrc522.crc_a(b"\x04") == b"\xda\x17"
    for number in range(256):
        data = bytes((number, number ^ 0x5A, 7))
        assert mfrc522.crc_a(data) == feature_cards.crc_a(data)


def test_the_chip_is_reset_and_told_what_the_data_sheet_wants():
    bench = played(ms=200)
    assert Pin.of(17).history == [0, 1]
    assert bytes(SPI.chip.registers[0x2A:0x2E]) == b"\x80\xa9\x00\x50"
    assert SPI.chip.registers[0x14] & 3 == 3
    assert (SPI.chip.registers[0x15], SPI.chip.registers[0x11]) == (0x40, 0x3D)
    assert bench.faults == {}


def test_identifiers_of_4_7_and_10_bytes_are_read():
    assert credentials(played(Card(FOUR))) == ["DEADBEEF"]
    assert credentials(played(Card(SEVEN, sak=0x00))) == ["040CAC12ED4C81"]
    assert credentials(played(Card(TEN, sak=0x20))) == ["04010203040506070809"]
    assert played(Card(FOUR)).punches[0][1] == "RFID"


def test_what_a_card_of_seven_bytes_is_sent_is_the_sequence_of_the_standard():
    played(Card(SEVEN, sak=0x00), ms=200)
    first = b"\x88\x04\x0c\xac\x2c"
    second = b"\x12\xed\x4c\x81\x32"
    sent = SPI.chip.sent[:6]
    assert sent == [
        b"\x26",
        b"\x93\x20",
        b"\x93\x70" + first + feature_cards.crc_a(b"\x93\x70" + first),
        b"\x95\x20",
        b"\x95\x70" + second + feature_cards.crc_a(b"\x95\x70" + second),
        b"\x50\x00\x57\xcd",
    ]


def test_a_card_that_stays_is_one_punch_and_sleeps():
    card = Card(FOUR)
    assert credentials(played(card, ms=60000)) == ["DEADBEEF"]
    assert card.state == HALT


def test_a_card_at_the_edge_of_the_field_is_one_punch():
    card = Card(FOUR)

    async def story(bench):
        for _ in range(20):
            await bench.pass_ms(300)
            SPI.chip.cards = []
            await bench.pass_ms(200)
            card.state = feature_cards.IDLE
            SPI.chip.cards = [card]

    bench = made(card)
    bench.play(story)
    assert credentials(bench) == ["DEADBEEF"]


def test_a_card_that_was_away_is_another_punch_and_so_is_another_card():
    async def story(bench):
        for cards in ([Card(FOUR)], [], [Card(FOUR)], [Card(SEVEN)]):
            SPI.chip.cards = cards
            await bench.pass_ms(1000)

    bench = made()
    bench.play(story)
    assert credentials(bench) == ["DEADBEEF", "DEADBEEF", "040CAC12ED4C81"]


def test_two_cards_at_once_are_refused_once_until_they_are_gone():
    async def story(bench):
        SPI.chip.cards = [Card(FOUR), Card(SEVEN)]
        await bench.pass_ms(5000)
        SPI.chip.cards = []
        await bench.pass_ms(1000)
        SPI.chip.cards = [Card(FOUR), Card(b"\x01\x02\x03\x04")]
        await bench.pass_ms(1000)
        SPI.chip.cards = [Card(FOUR)]
        await bench.pass_ms(1000)

    bench = made()
    bench.play(story)
    assert bench.refusals() == ["collision"] * 2
    assert credentials(bench) == ["DEADBEEF"]


def test_a_random_identifier_is_refused_once():
    bench = played(Card(b"\x08\x11\x22\x33", sak=0x20))
    assert credentials(bench) == []
    assert bench.refusals() == ["random"]


def spoiled(change):
    """A card whose nth answer, counted from 0 as `number`, is changed."""
    state = [0]

    def spoil(answer):
        number = state[0]
        state[0] += 1
        return change(number, answer)

    return Card(SEVEN, sak=0x00, spoil=spoil)


def test_an_answer_with_a_wrong_bit_is_read_again():
    for wrong in range(1, 5):
        for bit in range(8):

            def change(number, answer):
                if number != wrong:
                    return answer
                return answer[:-1] + bytes((answer[-1] ^ 1 << bit,))

            assert credentials(played(spoiled(change), ms=1500)) == ["040CAC12ED4C81"]


def test_cards_that_answer_nonsense_are_no_punches_and_harm_nothing():
    for nonsense in (b"", b"\0", b"\xff" * 5, b"\x88" * 4 + b"\0", b"x" * 60, b"\x04\xda\x17"):
        bench = played(Card(FOUR, spoil=lambda answer: nonsense), ms=2000)
        assert credentials(bench) == []
        assert bench.faults == {}


def test_a_card_that_never_ends_its_identifier_is_none():
    class Endless(Card):
        def _answer(self, data, bits):
            if bits == 7:
                return b"\x44\x00"
            if data[1:] == b"\x20":
                return b"\x88\x01\x02\x03" + bytes((0x88 ^ 1 ^ 2 ^ 3,))
            return b"\x04" + feature_cards.crc_a(b"\x04") if data[1:2] == b"\x70" else None

    assert credentials(played(Endless(FOUR), ms=1000)) == []


def test_a_cascade_that_says_it_goes_on_without_its_tag_is_none():
    class Untagged(Card):
        def _answer(self, data, bits):
            answer = Card._answer(self, data, bits)
            return b"\x04" + feature_cards.crc_a(b"\x04") if data[1:2] == b"\x70" else answer

    assert credentials(played(Untagged(FOUR), ms=1000)) == []


def test_transmission_errors_are_no_punches():
    for fault in (0x01, 0x02, 0x10):
        bench = made(Card(FOUR))
        SPI.chip.fault = fault

        async def story(bench):
            await bench.pass_ms(1000)

        bench.play(story)
        assert credentials(bench) == []


def test_a_chip_that_finishes_nothing_does_not_hang_the_terminal():
    bench = made(Card(FOUR))
    SPI.chip.is_deaf = True

    async def story(bench):
        await bench.pass_ms(2000)

    bench.play(story)
    assert len(SPI.chip.sent) > 10


def test_no_chip_is_a_fault_until_it_answers():
    for version in (0x00, 0xFF):
        bench = made(Card(FOUR), version=version)

        async def story(bench):
            await bench.pass_ms(1000)
            assert list(bench.faults) == ["mfrc522"] and "no answer" in bench.faults["mfrc522"]
            SPI.chip.registers[0x37] = 0x91
            await bench.pass_ms(10000)

        bench.play(story)
        assert bench.faults == {}
        assert credentials(bench) == ["DEADBEEF"]


def test_a_chip_that_lost_its_power_is_begun_anew():
    async def story(bench):
        await bench.pass_ms(1000)
        SPI.chip = Chip()
        SPI.chip.cards = [Card(SEVEN)]
        await bench.pass_ms(20000)

    bench = made(Card(FOUR))
    bench.play(story)
    assert credentials(bench) == ["DEADBEEF", "040CAC12ED4C81"]
    assert bench.faults == {}


def test_the_factory_test_gets_version_and_card():
    bench = made(Card(FOUR))
    bench.begin("mfrc522")

    async def story(bench):
        await bench.pass_ms(1000)
        assert bench.features["mfrc522"].test() == {"VERSION": "92"}

    bench.play(story)
    assert bench.end("mfrc522") == ["DEADBEEF"]
