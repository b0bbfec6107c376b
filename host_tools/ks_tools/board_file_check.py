"""What can be wrong with a board that is well-formed: its flash and its pins.

Each rule gives the place in the board.toml and the reason. The bootloader, not this project, asks
for the alignments; the pins are `boards_chips`'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from .board_file import Board, Feature, Partition
from .boards_chips import CHIPS, FEATURES_HEAP_BYTES, HEAP_BYTES, Chip
from .boards_lines import Place

Problem = tuple[Place, str]

TABLE_END: Final = 0x9000
SECTOR_BYTES: Final = 0x1000
APP_ALIGNMENT: Final = 0x10000
NAME_CHARACTERS: Final = 15
OTADATA_BYTES: Final = 0x2000
NVS_MIN_BYTES: Final = 0x3000
FLASH_SIZES: Final = tuple(megabytes << 20 for megabytes in (2, 4, 8, 16, 32))
NEEDED: Final = ("nvs", "vfs", "data")
# Subtypes as ESP-IDF's gen_esp32part.py numbers them, by type.
SUBTYPES: Final = {
    "app": {"factory": 0x00, **{f"ota_{number}": 0x10 + number for number in range(16)}},
    "data": {"ota": 0, "phy": 1, "nvs": 2, "nvs_keys": 4, "fat": 0x81, "littlefs": 0x83},
}

IN, OUT = "an input", "an output"


@dataclass(frozen=True)
class Kind:
    """A kind of feature. `pins`: by role IN or OUT; of `lists` there may be several; of `groups`,
    one whole set of roles is there."""

    pins: dict[str, str]
    groups: tuple[frozenset[str], ...]
    lists: frozenset[str] = frozenset()
    options: dict[str, Callable[[object, Chip], str]] | None = None


def _one_of(*allowed: object) -> Callable[[object, Chip], str]:
    def check(value: object, _: Chip) -> str:
        if value in allowed:
            return ""
        return f"is {value!r}, and not one of {', '.join(map(repr, allowed))}"

    return check


def _uart(value: object, chip: Chip) -> str:
    if value in chip.uarts:
        return ""
    free = " or ".join(map(str, chip.uarts))
    return f"is {value!r}: on the {chip.name} it is {free}, UART 0 being the serial line"


def _spi(value: object, chip: Chip) -> str:
    if value in chip.spis:
        return ""
    return f"is {value!r}: on the {chip.name} it is {' or '.join(map(str, chip.spis))}"


def _bits(value: object, _: Chip) -> str:
    widths = value.split(",") if isinstance(value, str) else []
    if widths and len(set(widths)) == len(widths) and set(widths) <= {"26", "34"}:
        return ""
    return f'is {value!r}, and not "26", "34" or "26,34"'


def _keys(value: object, _: Chip) -> str:
    if isinstance(value, str) and value and set(value) <= set("0123456789*#ABCD"):
        return ""
    return f"is {value!r}, and not the keys row by row, of 0 to 9, *, # and A to D"


def _address(value: object, _: Chip) -> str:
    return "" if isinstance(value, int) and 8 <= value < 0x78 else f"is {value!r}, no I2C address"


def _roles(*names: str) -> tuple[frozenset[str], ...]:
    return (frozenset(names),)


KINDS: Final = {
    "wiegand": Kind({"d0": IN, "d1": IN}, _roles("d0", "d1"), options={"bits": _bits}),
    # It sends nothing, but its UART wants a pin for that, which is that of rx unless given.
    "rdm6300": Kind(
        {"rx": IN, "tx": OUT},
        (frozenset(("rx",)), frozenset(("rx", "tx"))),
        options={"uart": _uart},
    ),
    "mfrc522": Kind(
        {"sck": OUT, "mosi": OUT, "miso": IN, "cs": OUT, "rst": OUT},
        _roles("sck", "mosi", "miso", "cs", "rst"),
        options={"spi": _spi},
    ),
    "keypad": Kind(
        {"rows": OUT, "cols": IN},
        _roles("rows", "cols"),
        lists=frozenset(("rows", "cols")),
        options={"keys": _keys},
    ),
    "button": Kind(
        {"pin": IN},
        _roles("pin"),
        options={"active": _one_of("low", "high"), "role": _one_of("setup", "in", "out")},
    ),
    "led": Kind(
        {"pin": OUT, "red": OUT, "green": OUT},
        (frozenset(("pin",)), frozenset(("red", "green"))),
        options={"active": _one_of("low", "high")},
    ),
    "buzzer": Kind({"pin": OUT}, _roles("pin")),
    "ssd1306": Kind(
        {"sda": OUT, "scl": OUT},
        _roles("sda", "scl"),
        options={"width": _one_of(128), "height": _one_of(32, 64), "address": _address},
    ),
}


def problems(board: Board) -> list[Problem]:
    """Everything that is wrong, in no order; the name is for who knows the folder."""
    chip = CHIPS[board.chip]
    found: list[Problem] = []
    if board.arch != chip.architecture:
        reason = f"the {board.chip} runs code for {chip.architecture}, not {board.arch}"
        found.append((("arch",), reason))
    if board.flash not in FLASH_SIZES:
        found.append((("flash",), f"flash of {board.flash} bytes: it is 2, 4, 8, 16 or 32 MB"))
    if board.psram and board.psram not in chip.psram:
        known = " or ".join(chip.psram) or "none"
        found.append((("psram",), f"{board.psram} PSRAM: the {board.chip} takes {known}"))
    for pin in board.allow_strapping:
        if pin not in chip.strapping:
            reason = f"GPIO{pin} is no strapping pin of the {board.chip}"
            found.append((("allow_strapping",), reason))
    found += _flash_problems(board)
    for number, feature in enumerate(board.feature):
        found += _feature_problems(("feature", number), feature, chip)
    found += _pin_problems(board, chip)
    found += _bus_problems(board)
    found += _heap_problems(board)
    return found


def _flash_problems(board: Board) -> Iterator[Problem]:
    for name, part in board.partitions.items():
        for reason in _partition_reasons(board, name, part):
            yield ("partitions", name), reason
    ordered = sorted(board.partitions.items(), key=lambda item: item[1].offset)
    for number, (name, part) in enumerate(ordered):
        for other, before in ordered[:number]:
            if part.offset < before.end:
                reason = (
                    f"{name} begins at {part.offset:#x}, within {other}, "
                    f"which ends at {before.end:#x}"
                )
                yield ("partitions", name), reason
    for name in NEEDED:
        if name not in board.partitions:
            yield ("partitions",), f"there is no partition {name}"
    yield from _image_problems(board)


def _partition_reasons(board: Board, name: str, part: Partition) -> Iterator[str]:
    if not name.isascii() or len(name) > NAME_CHARACTERS:
        yield f"{name}: a partition's name has at most {NAME_CHARACTERS} characters"
    if part.subtype not in SUBTYPES[part.type]:
        known = ", ".join(sorted(SUBTYPES[part.type]))
        yield f"{name}: no subtype {part.subtype} of {part.type}: one of {known}"
    alignment = APP_ALIGNMENT if part.type == "app" else SECTOR_BYTES
    if part.offset % alignment:
        yield f"{name} begins at {part.offset:#x}, which is no multiple of {alignment:#x}"
    if part.offset < TABLE_END:
        yield f"{name} begins at {part.offset:#x}: bootloader and table end at {TABLE_END:#x}"
    if part.size <= 0 or part.size % SECTOR_BYTES:
        yield f"{name} has {part.size:#x} bytes, no multiple of the sectors' {SECTOR_BYTES:#x}"
    if part.end > board.flash:
        yield f"{name} ends at {part.end:#x}, beyond the flash of {board.flash:#x}"
    if part.subtype == "ota" and part.size != OTADATA_BYTES:
        yield f"{name} has {part.size:#x} bytes: the bootloader wants {OTADATA_BYTES:#x}"
    if part.subtype == "nvs" and part.size < NVS_MIN_BYTES:
        yield f"{name} has {part.size:#x} bytes: NVS needs {NVS_MIN_BYTES:#x}"


def _image_problems(board: Board) -> Iterator[Problem]:
    """MicroPython has one partition `factory`, or two of one size with `otadata` beside them."""
    names = {name: part for name, part in board.partitions.items() if part.type == "app"}
    for name, part in names.items():
        if name != part.subtype:
            yield ("partitions", name), f"{name} is of the subtype {part.subtype}: call it that"
    if "factory" in names:
        for name in set(names) - {"factory"}:
            yield ("partitions", name), f"{name} beside factory: only one of them would be written"
        return
    if set(names) != {"ota_0", "ota_1"}:
        yield ("partitions",), "MicroPython needs a partition factory, or ota_0 and ota_1"
        return
    if names["ota_0"].size != names["ota_1"].size:
        yield ("partitions", "ota_1"), "ota_0 and ota_1 differ in size"
    if not any(part.subtype == "ota" for part in board.partitions.values()):
        yield ("partitions",), "ota_0 and ota_1 need a partition otadata of the subtype ota"


def _feature_problems(place: Place, feature: Feature, chip: Chip) -> Iterator[Problem]:
    kind = KINDS.get(feature.kind)
    if kind is None:
        yield (*place, "kind"), f"no feature {feature.kind}: one of {', '.join(sorted(KINDS))}"
        return
    if frozenset(feature.pins) not in kind.groups:
        wanted = " or ".join(", ".join(sorted(group)) for group in kind.groups)
        reason = f"a {feature.kind} has the pins {wanted}, and not {', '.join(feature.pins)}"
        yield (*place, "pins"), reason
    for role, pins in feature.pins.items():
        if isinstance(pins, list) != (role in kind.lists):
            what = "a list" if role in kind.lists else "one pin"
            yield (*place, "pins", role), f"{role} of a {feature.kind} is {what}"
    known = kind.options or {}
    for name, value in feature.options.items():
        if name not in known:
            yield (*place, "options", name), f"a {feature.kind} has no option {name}"
        elif reason := known[name](value, chip):
            yield (*place, "options", name), f"{name} of the {feature.kind} {reason}"
    yield from _keypad_problems(place, feature)


def _keypad_problems(place: Place, feature: Feature) -> Iterator[Problem]:
    keys = feature.options.get("keys")
    if feature.kind != "keypad" or not {"rows", "cols"} <= set(feature.pins) or keys is None:
        return
    count = len(feature.numbers("rows")) * len(feature.numbers("cols"))
    if len(str(keys)) != count or len(set(str(keys))) != count:
        yield (*place, "options", "keys"), f"rows and columns meet at {count} keys, not at {keys!r}"


def _pin_problems(board: Board, chip: Chip) -> Iterator[Problem]:
    used: dict[int, str] = {}
    for number, feature in enumerate(board.feature):
        for role in feature.pins:
            place: Place = ("feature", number, "pins", role)
            what = f"{role} of the {feature.kind}"
            for pin in feature.numbers(role):
                if reason := _unfit(board, chip, pin):
                    yield place, f"{what}: GPIO{pin} {reason}"
                elif pin in chip.input_only and (reason := _needs_output(feature, role)):
                    yield place, f"{what}: GPIO{pin} is an input only, and {reason}"
                if pin in used:
                    yield place, f"{what}: GPIO{pin} is {used[pin]} already"
                used.setdefault(pin, what)


def _bus_problems(board: Board) -> Iterator[Problem]:
    """A UART or SPI of the chip serves one feature; what is not told is the first."""
    used: dict[tuple[str, object], str] = {}
    for number, feature in enumerate(board.feature):
        kind = KINDS.get(feature.kind)
        for bus in ("uart", "spi"):
            if kind is None or bus not in (kind.options or {}):
                continue
            value = feature.options.get(bus, 1)
            if (bus, value) in used:
                place: Place = ("feature", number, "options", bus)
                yield place, f"{bus} {value} of the {feature.kind} is the {used[bus, value]}'s"
            used.setdefault((bus, value), feature.kind)


def _heap_problems(board: Board) -> Iterator[Problem]:
    """What a chip without PSRAM has left beside the terminal."""
    if board.psram or board.chip not in FEATURES_HEAP_BYTES:
        return
    left = FEATURES_HEAP_BYTES[board.chip]
    for number, feature in enumerate(board.feature):
        left -= HEAP_BYTES.get(feature.kind, 0)
        if left < 0:
            reason = f"the heap has no room for it without PSRAM: {-left} bytes are missing"
            yield ("feature", number), f"{feature.kind}: {reason}"
            return


def _needs_output(feature: Feature, role: str) -> str:
    """Why a pin that can only be read does not do; "" where it does."""
    kind = KINDS.get(feature.kind)
    if kind and kind.pins.get(role) == OUT:
        return "this is an output"
    if feature.kind == "rdm6300" and "tx" not in feature.pins:
        return "without tx it is the UART's pin for sending, too"
    return ""


def _unfit(board: Board, chip: Chip, pin: int) -> str:
    """Why nothing may be attached to a pin; "" where something may."""
    if pin not in chip.pins:
        return f"does not exist on the {chip.name}"
    if pin in chip.flash:
        return "belongs to the flash"
    if board.psram and pin in chip.psram.get(board.psram, ()):
        return "belongs to the PSRAM"
    if pin in chip.serial:
        return f"is {chip.serial[pin]}, over which units are flashed and set up"
    if pin in chip.others:
        return chip.others[pin]
    if pin in chip.strapping and pin not in board.allow_strapping:
        return f"is a strapping pin ({chip.strapping[pin]}): allow_strapping = [{pin}] takes it"
    return ""
