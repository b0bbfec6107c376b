"""Each mistake in a board.toml is refused with its line and the reason."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ks_agent import toon
from ks_agent.store import MAX_RECORD_BYTES, trailer
from ks_tools.board_file import BOARDS, BoardError, device_record, find_board, read_board
from ks_tools.boards_chips import CHIPS, FEATURES_HEAP_BYTES
from ks_tools.boards_lines import Lines
from ks_tools.console import ToolError

GOOD = """\
name = "b"
chip = "esp32"
flash = 0x400000
arch = "xtensawin"
micropython = { image = "ESP32_GENERIC", versions = ["1.25.0"] }

[partitions]
nvs = { type = "data", subtype = "nvs", offset = 0x9000, size = 0x6000 }
factory = { type = "app", subtype = "factory", offset = 0x10000, size = 0x1c0000 }
vfs = { type = "data", subtype = "fat", offset = 0x1d0000, size = 0xf0000 }
data = { type = "data", subtype = "fat", offset = 0x2c0000, size = 0x140000 }

[[feature]]
kind = "led"
pins = { red = 16, green = 17 }

[[feature]]
kind = "keypad"
pins = { rows = [13, 14], cols = [25, 33] }
options = { keys = "1234" }

[[feature]]
kind = "rdm6300"
pins = { rx = 34, tx = 4 }
options = { uart = 1 }
"""
NVS, FACTORY, VFS, DATA, LED, ROWS, KEYS, RX, UART = 8, 9, 10, 11, 15, 19, 20, 24, 25
OTA = 'ota_{0} = {{ type = "app", subtype = "ota_{0}", offset = {1}, size = {2} }}\n'


LIMITS = dict(FEATURES_HEAP_BYTES)


@pytest.fixture(autouse=True)
def there_is_heap_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boards are about one mistake at a time here."""
    monkeypatch.setitem(FEATURES_HEAP_BYTES, "esp32", 100_000)


def problems(tmp_path: Path, text: str, name: str = "b") -> list[tuple[int, str]]:
    path = tmp_path / name / "board.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BoardError) as refused:
        read_board(path)
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    return refused.value.problems


def test_a_board_without_a_mistake_is_read(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    path = tmp_path / "b" / "board.toml"
    path.write_text(GOOD, encoding="utf-8")
    board = read_board(path)
    assert board.feature[1].numbers("rows") == [13, 14]
    assert board.app == "factory"
    assert not board.is_updatable


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        # flash
        ("offset = 0x1d0000", "offset = 0x1c0000", VFS, "within factory, which ends at 0x1d0000"),
        ("offset = 0x2c0000", "offset = 0x10000", DATA, "within factory"),
        ("offset = 0x9000", "offset = 0x8000", NVS, "bootloader and table end at 0x9000"),
        ("offset = 0x9000", "offset = 0x9800", NVS, "no multiple of 0x1000"),
        ("offset = 0x10000,", "offset = 0x11000,", FACTORY, "no multiple of 0x10000"),
        ("size = 0x140000", "size = 0x141000", DATA, "ends at 0x401000, beyond the flash"),
        ("size = 0xf0000", "size = 0xf0001", VFS, "no multiple of the sectors' 0x1000"),
        ("size = 0xf0000", "size = 0", VFS, "no multiple of the sectors"),
        ("size = 0xf0000", "size = -4096", VFS, "no multiple of the sectors"),
        ("size = 0x6000", "size = 0x2000", NVS, "NVS needs 0x3000"),
        ('subtype = "nvs"', 'subtype = "nfs"', NVS, "no subtype nfs of data"),
        ("nvs = {", "a_name_of_16_char = {", NVS, "at most 15 characters"),
        ("nvs = {", "other = {", 7, "there is no partition nvs"),
        ("factory = {", "app0 = {", FACTORY, "call it that"),
        ('subtype = "factory"', 'subtype = "ota_0"', FACTORY, "of the subtype ota_0"),
        ("flash = 0x400000", "flash = 0x410000", 3, "2, 4, 8, 16 or 32 MB"),
        ("[partitions]\n", "[partitions]\n" + OTA.format(0, 0x3F0000, 0x1000), 8, "beside factory"),
        # pins
        ("red = 16", "red = 17", LED, "GPIO17 is red of the led already"),
        ("rx = 34", "rx = 16", RX, "GPIO16 is red of the led already"),
        ("red = 16", "red = 6", LED, "GPIO6 belongs to the flash"),
        ("red = 16", "red = 34", LED, "GPIO34 is an input only, and this is an output"),
        ("red = 16", "red = 24", LED, "GPIO24 does not exist on the esp32"),
        ("red = 16", "red = 40", LED, "GPIO40 does not exist"),
        ("red = 16", "red = -1", LED, "does not exist"),
        ("red = 16", "red = 1", LED, "TX of the serial line"),
        ("rx = 34", "rx = 12", RX, "strapping pin (high at a reset sets the flash to 1.8 V"),
        ("rows = [13, 14]", "rows = [13, 13]", ROWS, "GPIO13 is rows of the keypad already"),
        ('arch = "x', 'allow_strapping = [4]\narch = "x', 4, "GPIO4 is no strapping pin"),
        ("rx = 34, tx = 4", "rx = 34", RX, "without tx it is the UART's pin for sending, too"),
        ("tx = 4", "tx = 35", RX, "tx of the rdm6300: GPIO35 is an input only"),
        ("rows = [13, 14]", "rows = [13, 39]", ROWS, "GPIO39 is an input only, and this is an"),
        ('arch = "x', 'psram = "quad"\narch = "x', LED + 1, "GPIO16 belongs to the PSRAM"),
        ('arch = "x', 'psram = "quad"\narch = "x', LED + 1, "GPIO17 belongs to the PSRAM"),
        ('arch = "x', 'psram = "octal"\narch = "x', 4, "octal PSRAM: the esp32 takes quad"),
        ('arch = "x', 'psram = true\narch = "x', 4, "psram: Input should be 'quad' or 'octal'"),
        # features
        ('kind = "led"', 'kind = "lamp"', 14, "no feature lamp: one of button, buzzer"),
        ("red = 16, green = 17", "red = 16", LED, "a led has the pins pin or green, red"),
        ("rx = 34", "rx = [34]", RX, "rx of a rdm6300 is one pin"),
        ("rows = [13, 14]", "rows = 13", ROWS, "rows of a keypad is a list"),
        ("uart = 1", "uart = 0", UART, "UART 0 being the serial line"),
        ("uart = 1", "speed = 1", UART, "a rdm6300 has no option speed"),
        ('keys = "1234"', 'keys = "123"', KEYS, "rows and columns meet at 4 keys"),
        ('keys = "1234"', 'keys = "1233"', KEYS, "rows and columns meet at 4 keys"),
        ('keys = "1234"', 'keys = "12 4"', KEYS, "not the keys row by row"),
        # the whole
        ('arch = "xtensawin"', 'arch = "rv32imc"', 4, "runs code for xtensawin"),
        ('chip = "esp32"', 'chip = "esp8266"', 2, "chip: Input should be 'esp32'"),
        ('name = "b"', 'name = "c"', 1, "the name is c, the folder's another"),
        ("flash = 0x400000", 'flash = "4 MB"', 3, "flash: Input should be a valid integer"),
        ("flash = 0x400000", "flush = 0x400000", 1, "flash is missing"),
        ("flash = 0x400000", "flush = 0x400000", 3, "flush is nothing that a board has"),
        ("rx = 34", 'rx = "34"', RX, "valid integer"),
        ("tx = 4 }", "tx = 4", RX, "not TOML"),
        ("versions = [", "version = [", 5, "micropython.versions is missing"),
        ('["1.25.0"]', "[]", 5, "at least 1 item"),
        ("ESP32_GENERIC", "../ESP32", 5, "micropython.image: String should match"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_reason(
    old: str, new: str, line: int, reason: str, tmp_path: Path
) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert (line, reason) in [(at, reason) for at, text in found if reason in text], found


@pytest.mark.parametrize(
    ("kind", "pins", "number"),
    [
        ("led", "pin = {}", 1),
        ("led", "red = 16, green = {}", 1),
        ("buzzer", "pin = {}", 1),
        ("ssd1306", "sda = 16, scl = {}", 1),
        ("ssd1306", "scl = 16, sda = {}", 1),
        ("mfrc522", "sck = {}, mosi = {}, miso = {}, cs = {}, rst = {}", 4),
        ("keypad", "rows = [{}], cols = [{}]", 1),
        ("rdm6300", "rx = {}, tx = {}", 1),
        ("rdm6300", "rx = {}", 1),
        ("wiegand", "d0 = {}, d1 = {}", 0),
        ("button", "pin = {}", 0),
    ],
)
def test_outputs_are_refused_on_pins_that_are_inputs_only(
    kind: str, pins: str, number: int, tmp_path: Path
) -> None:
    """Of `number` of the pins; what is read may be there."""
    text = GOOD[: GOOD.index("[[feature]]")]
    text += f'[[feature]]\nkind = "{kind}"\npins = {{ {pins.format(34, 35, 36, 39, 37)} }}\n'
    (tmp_path / "b").mkdir()
    path = tmp_path / "b" / "board.toml"
    path.write_text(text, encoding="utf-8")
    found = []
    try:
        read_board(path)
    except BoardError as refused:
        found = refused.problems
    assert len(found) == number
    assert all(line == 15 and "is an input only" in text for line, text in found)


def test_a_bus_serves_one_feature(tmp_path: Path) -> None:
    other = '\n[[feature]]\nkind = "rdm6300"\npins = { rx = 35, tx = 5 }\n'
    text = GOOD.replace('arch = "x', 'allow_strapping = [5]\narch = "x') + other
    assert problems(tmp_path, text) == [(28, "uart 1 of the rdm6300 is the rdm6300's")]
    (tmp_path / "b" / "board.toml").write_text(text + "options = { uart = 2 }\n", encoding="utf-8")
    assert len(read_board(tmp_path / "b" / "board.toml").feature) == 4


S3 = """\
name = "b"
chip = "esp32s3"
flash = 0x400000
arch = "xtensawin"
psram = "octal"
""" + GOOD[GOOD.index("micropython =") : GOOD.index("[[feature]]")]


@pytest.mark.parametrize("pin", range(33, 38))
def test_octal_psram_takes_the_pins_33_to_37_of_an_esp32s3(pin: int, tmp_path: Path) -> None:
    text = S3 + f'[[feature]]\nkind = "buzzer"\npins = {{ pin = {pin} }}\n'
    reason = f"pin of the buzzer: GPIO{pin} belongs to the PSRAM"
    assert problems(tmp_path, text) == [(16, reason)]
    path = tmp_path / "b" / "board.toml"
    path.write_text(text.replace("octal", "quad"), encoding="utf-8")
    assert read_board(path).psram == "quad"


def test_more_than_the_heap_has_room_for_without_psram_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FEATURES_HEAP_BYTES, "esp32", LIMITS["esp32"])
    reason = "keypad: the heap has no room for it without PSRAM: 200 bytes are missing"
    assert problems(tmp_path, GOOD) == [(17, reason)]
    path = tmp_path / "b" / "board.toml"
    text = 'psram = "quad"\n' + GOOD.replace("red = 16, green = 17", "red = 18, green = 19")
    path.write_text(text, encoding="utf-8")
    assert len(read_board(path).feature) == 3


def test_a_chip_without_psram_takes_none(tmp_path: Path) -> None:
    text = S3.replace("esp32s3", "esp32c3").replace("xtensawin", "rv32imc")
    assert (5, "octal PSRAM: the esp32c3 takes none") in problems(tmp_path, text)


OTA_BOARD = re.sub(
    "factory = .*\n",
    'otadata = {{ type = "data", subtype = "ota", offset = 0xf000, size = {0} }}\n'
    + 'ota_0 = {{ type = "app", subtype = "ota_0", offset = 0x10000, size = 0xe0000 }}\n'
    + 'ota_1 = {{ type = "app", subtype = "ota_1", offset = 0xf0000, size = {1} }}\n',
    GOOD.replace("{", "{{").replace("}", "}}"),
)


@pytest.mark.parametrize(
    ("sizes", "line", "reason"),
    [
        (("0x1000", "0xe0000"), 9, "otadata has 0x1000 bytes: the bootloader wants 0x2000"),
        (("0x1000", "0xd0000"), 11, "ota_0 and ota_1 differ in size"),
    ],
)
def test_two_images_have_to_be_of_one_size_with_their_record_beside_them(
    sizes: tuple[str, str], line: int, reason: str, tmp_path: Path
) -> None:
    assert (line, reason) in problems(tmp_path, OTA_BOARD.format(*sizes))


def test_one_image_of_two_is_refused(tmp_path: Path) -> None:
    text = re.sub("ota_1 = .*\n", "", OTA_BOARD.format("0x1000", "0xe0000"))
    found = problems(tmp_path, text)
    assert (7, "MicroPython needs a partition factory, or ota_0 and ota_1") in found


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = GOOD.replace("red = 16", "red = 6").replace("rx = 34", "rx = 7")
    found = problems(tmp_path, text.replace("0x9000", "0x9800"))
    assert [line for line, _ in found] == [NVS, LED, RX]


def test_what_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_bytes(b"name = '\xff'\n")
    with pytest.raises(BoardError, match=r"board\.toml:1: not UTF-8"):
        read_board(path)


def test_a_board_that_is_not_there_is_refused_with_those_that_are() -> None:
    for name in ("no_such", "..", "../boards/ks_clock", ""):
        with pytest.raises(ToolError, match=r"no board .*: one of esp32_generic, .*ks_clock"):
            find_board(name)
    assert find_board(str(BOARDS / "ks_clock" / "board.toml")).name == "ks_clock"


def test_places_in_a_file_are_found_however_its_tables_are_written() -> None:
    text = '[[a]]\nx = 1\n[a.pins]\nd0 = 2\n\n[[a]]\n  y.z = 3\n[t."u"]\n[t.u]\nv = [\n  1,\n]\n'
    lines = Lines(text)
    assert [lines.of(("a", 0, "x")), lines.of(("a", 0, "pins", "d0"))] == [2, 4]
    assert [lines.of(("a", 1, "y", "z")), lines.of(("t", "u", "v", 0))] == [7, 10]
    assert lines.of(("nowhere", 1)) == 1


@pytest.mark.parametrize("path", sorted(BOARDS.glob("*/board.toml")), ids=lambda p: p.parent.name)
def test_every_board_is_right_and_the_device_reads_what_it_is_told(path: Path) -> None:
    board = read_board(path)
    data = device_record(board)
    end = len(data) - len(trailer(b""))
    assert data[end:] == trailer(data[:end])
    message = toon.decode(data[:end], *[MAX_RECORD_BYTES] * 4)
    assert (message["NAME"], message["CHIP"]) == (board.name, board.chip)
    written = tomllib.loads(path.read_text(encoding="utf-8")).get("feature", [])
    assert [row["KIND"] for row in message.get("FEATURE", [])] == [row["kind"] for row in written]
    for row, feature in zip(message.get("FEATURE", []), written, strict=True):
        pins = dict(word.split("=") for word in row["PINS"].split())
        meant = {
            role: ",".join(map(str, pins)) if isinstance(pins, list) else str(pins)
            for role, pins in feature["pins"].items()
        }
        assert pins == meant


def test_the_other_reader_of_the_example_fits_it_too(tmp_path: Path) -> None:
    text = (BOARDS / "ks_clock" / "board.toml").read_text(encoding="utf-8")
    swapped = text.replace('kind = "wiegand"', 'kind = "button"', 1)
    swapped = swapped.replace("pins = { d0 = 34, d1 = 35 }", "pins = { pin = 34 }")
    swapped = swapped.replace('options = { bits = "26,34" }\n', "", 1)
    swapped = re.sub(
        r"# (\[\[feature\]\]|kind = \"mfrc|pins = { sck|options = { spi)", r"\1", swapped
    )
    path = tmp_path / "ks_clock" / "board.toml"
    path.parent.mkdir()
    path.write_text(swapped, encoding="utf-8")
    assert "mfrc522" in [feature.kind for feature in read_board(path).feature]


def test_pins_have_one_reason_to_be_left_alone_at_most() -> None:
    for chip in CHIPS.values():
        psram = frozenset().union(*chip.psram.values())
        special = [chip.flash, psram, frozenset(chip.strapping), frozenset(chip.serial),
                   frozenset(chip.others)]  # fmt: skip
        assert frozenset().union(*special) <= chip.pins
        assert sum(map(len, special)) == len(frozenset().union(*special)), chip.name
        assert chip.input_only <= chip.pins
