"""Whatever readers, cards, keys and records say: a credential of its form, or nothing."""

import re
from importlib import import_module
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

bench: Any = import_module("feature_bench")
machine: Any = import_module("feature_machine")
cards: Any = import_module("feature_cards")

wiegand, rdm6300, mfrc522, keypad = bench.wiegand, bench.rdm6300, bench.mfrc522, bench.keypad
KEYS = "123A456B789C*0#D"
MFRC522_PINS = {"sck": 18, "mosi": 23, "miso": 19, "cs": 5, "rst": 17}


def credentials(desk: Any) -> list[str]:
    return [punch[0] for punch in desk.punches]


def framed(value: int, length: int) -> list[int]:
    """The bits of a Wiegand frame."""
    half = length // 2
    payload = [value >> shift & 1 for shift in range(length - 3, -1, -1)]
    return [sum(payload[: half - 1]) & 1, *payload, 1 - sum(payload[half - 1 :]) & 1]


@given(st.lists(st.integers(0, 1), max_size=70))
def test_any_bits_are_a_frame_or_none(bits: list[int]) -> None:
    credential = wiegand.decode(bits, [26, 34])
    assert re.fullmatch("|[0-9A-F]{6}|[0-9A-F]{8}", credential)
    if credential:
        assert framed(int(credential, 16), len(bits)) == bits


@given(st.sampled_from([26, 34]), st.data())
def test_every_number_is_read_as_it_was_sent(length: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, (1 << (length - 2)) - 1))
    assert int(wiegand.decode(framed(value, length), [26, 34]), 16) == value


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0, 1, 20, 60])), max_size=120))
def test_any_pulses_harm_no_card_after_them(pulses: list[tuple[int, int]]) -> None:
    async def story(desk: Any) -> None:
        for bit, gap_ms in pulses:
            machine.Pin.of(35 if bit else 34).pulse()
            await desk.pass_ms(gap_ms)
        await desk.pass_ms(100)
        for bit in framed(0x123456, 26):
            machine.Pin.of(35 if bit else 34).pulse()
            await desk.pass_ms(1)
        await desk.pass_ms(100)

    desk = bench.Bench()
    desk.make(wiegand, {"d0": 34, "d1": 35})
    desk.play(story)
    assert credentials(desk)[-1] == "123456"
    assert all(re.fullmatch("[0-9A-F]{6}|[0-9A-F]{8}", text) for text in credentials(desk))


def tag_frame(tag: bytes) -> bytes:
    check = 0
    for byte in tag:
        check ^= byte
    return b"\x02" + (tag + bytes((check,))).hex().upper().encode() + b"\x03"


NOISE = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.text("0123456789ABCDEFabcdef\x02\x03", max_size=20).map(str.encode),
        st.binary(min_size=5, max_size=5).map(tag_frame),
    ),
    max_size=8,
).map(b"".join)


@given(NOISE, st.binary(min_size=5, max_size=5))
def test_any_bytes_harm_no_tag_after_them(noise: bytes, tag: bytes) -> None:
    frames = rdm6300.Frames()
    found = [frames.hear(byte) for byte in noise + tag_frame(tag)]
    assert found[-1] == tag.hex().upper()
    for end, text in enumerate(found, 1):
        if text:
            frame = (noise + tag_frame(tag))[end - 14 : end]
            assert frame.upper() == tag_frame(bytes.fromhex(text))


@given(st.binary(max_size=20))
def test_any_answers_are_parts_of_identifiers_or_not(answer: bytes) -> None:
    if mfrc522.is_part(answer):
        assert answer[4] == answer[0] ^ answer[1] ^ answer[2] ^ answer[3]
    if mfrc522.is_sak(answer):
        assert answer == answer[:1] + cards.crc_a(answer[:1])


def play_cards(*held: Any) -> Any:
    async def story(desk: Any) -> None:
        await desk.pass_ms(400)

    desk = bench.Bench()
    machine.SPI.chip = cards.Chip()
    machine.SPI.chip.cards = list(held)
    desk.make(mfrc522, MFRC522_PINS)
    desk.play(story)
    assert desk.faults == {}
    return desk


@settings(max_examples=40)
@given(
    st.sampled_from([4, 7, 10]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.integers(0, 255).filter(lambda sak: not sak & 0x04),
)
def test_every_identifier_is_read_as_the_card_has_it(uid: bytes, sak: int) -> None:
    # By the standard, 88 begins no identifier and none of the second part of three.
    if uid[0] == 0x88 or (len(uid) > 4 and uid[3] == 0x88) or (len(uid) == 10 and uid[6] == 0x88):
        return
    is_random = len(uid) == 4 and uid[0] == 0x08
    assert credentials(play_cards(cards.Card(uid, sak))) == (
        [] if is_random else [uid.hex().upper()]
    )


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=70)), min_size=1, max_size=12))
def test_a_hostile_card_gives_credentials_of_their_form_or_none(answers: list[bytes]) -> None:
    class Hostile:
        def __init__(self) -> None:
            self.left = list(answers)

        def hear(self, data: bytes, bits: int) -> bytes | None:
            return self.left.pop(0) if self.left else None

    for text in credentials(play_cards(Hostile())):
        assert re.fullmatch("([0-9A-F]{8}|[0-9A-F]{14}|[0-9A-F]{20})", text)


@settings(max_examples=40)
@given(st.text(KEYS, max_size=40))
def test_keys_give_the_pins_that_were_typed(typed: str) -> None:
    wanted, digits = [], ""
    for key in typed:
        if key == "#":
            wanted += [digits] if digits else []
            digits = ""
        elif key == "*" or (key.isdigit() and len(digits) == 12):
            digits = ""
        elif key.isdigit():
            digits += key
    desk = bench.Bench()
    entry = keypad.Entry(desk)
    for key in typed:
        entry.press(key)
    assert credentials(desk) == wanted


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "FEATURE": st.lists(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "KIND": st.sampled_from(["wiegand", "led", "keypad", "x", "__init__", ""]),
                        "PINS": st.text("d01=, pinrowsc", max_size=20),
                        "OPTIONS": st.text("keysbits=,26 ", max_size=20),
                    },
                ),
                max_size=3,
            )
        },
    )
)
def test_any_record_leaves_a_terminal_that_starts(record: dict[str, Any]) -> None:
    desk = bench.Bench()
    rows = [row for row in record.get("FEATURE", []) if "KIND" in row]
    with bench.Installed():
        bench.features.load({"FEATURE": rows}, desk)
    made = [each for each in desk.features.values() if each is not None]
    assert len(made) + len(desk.faults) == len(rows)
