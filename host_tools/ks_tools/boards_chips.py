"""What the pins of each chip are for, so that a board's layout can be checked before it is built.

Every fact is in the chip's data sheet (chapters "Pin Definitions" and, for what is sampled at a
reset, "Strapping Pins" or "Boot Configurations"; their numbers change from one edition to the next)
and, shorter, in ESP-IDF's programming guide under "GPIO & RTC GPIO", from which the tables are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


def _pins(*ranges: tuple[int, int]) -> frozenset[int]:
    return frozenset(pin for first, last in ranges for pin in range(first, last + 1))


@dataclass(frozen=True)
class Chip:
    """One chip. `image_id`: how ESP-IDF's image header names it, at byte 12; `psram`: by its kind,
    the pins that it takes besides those of the flash."""

    name: str
    architecture: str
    image_id: int
    bootloader_offset: int
    pins: frozenset[int]
    flash: frozenset[int]
    psram: Mapping[str, frozenset[int]]
    input_only: frozenset[int]
    strapping: Mapping[int, str]
    serial: Mapping[int, str]
    uarts: tuple[int, ...]
    spis: tuple[int, ...]
    others: Mapping[int, str] = field(default_factory=dict)


_DOWNLOAD: Final = "low at a reset starts the ROM loader instead of the terminal"

CHIPS: Final = {
    chip.name: chip
    for chip in (
        # ESP32 Series Datasheet. GPIO20 is on the package of the ESP32-PICO-V3 alone, 24 and 28 to
        # 31 are on none. PSRAM: ESP32-WROVER-E Datasheet, "Pin Definitions".
        Chip(
            name="esp32",
            architecture="xtensawin",
            image_id=0,
            bootloader_offset=0x1000,
            pins=_pins((0, 19), (21, 23), (25, 27), (32, 39)),
            flash=_pins((6, 11)),
            psram={"quad": _pins((16, 17))},
            input_only=_pins((34, 39)),
            strapping={
                0: _DOWNLOAD,
                2: "has to be low or open for the ROM loader to start",
                5: "sets the timing of the SDIO slave",
                12: "high at a reset sets the flash to 1.8 V, with which most cannot start",
                15: "low at a reset silences the ROM's messages",
            },
            serial={1: "TX of the serial line", 3: "RX of the serial line"},
            uarts=(1, 2),
            spis=(1, 2),
        ),
        # ESP32-S3 Series Datasheet, and ESP32-S3-WROOM-1 Datasheet, "Pin Definitions": 33 to 37
        # belong to octal PSRAM; one with four lines has its CS at 26, beside the flash.
        Chip(
            name="esp32s3",
            architecture="xtensawin",
            image_id=9,
            bootloader_offset=0x0,
            pins=_pins((0, 21), (26, 48)),
            flash=_pins((26, 32)),
            psram={"quad": frozenset(), "octal": _pins((33, 37))},
            input_only=frozenset(),
            strapping={
                0: _DOWNLOAD,
                3: "chooses where JTAG's signals come from",
                45: "sets the voltage of the flash",
                46: "chooses the ROM's messages and, with GPIO0, its loader",
            },
            serial={
                19: "USB D-",
                20: "USB D+",
                43: "TX of the serial line",
                44: "RX of the serial line",
            },
            uarts=(1, 2),
            spis=(1, 2),
        ),
        # ESP32-C3 Series Datasheet.
        Chip(
            name="esp32c3",
            architecture="rv32imc",
            image_id=5,
            bootloader_offset=0x0,
            pins=_pins((0, 21)),
            flash=_pins((12, 17)),
            psram={},
            input_only=frozenset(),
            strapping={
                2: "has to be high at a reset",
                8: "has to be high for the ROM loader to start",
                9: _DOWNLOAD,
            },
            serial={
                18: "USB D-",
                19: "USB D+",
                20: "RX of the serial line",
                21: "TX of the serial line",
            },
            uarts=(1,),
            spis=(1,),
            others={11: "is VDD_SPI, the supply of the flash"},
        ),
    )
}

# Of the heap, code and objects together, on a 32-bit interpreter: what each kind of feature takes,
# which the features' own tests measure, and what a terminal with Wi-Fi leaves for all of them on a
# stock image without PSRAM. Other chips than the ESP32 have more, nobody has measured how much.
HEAP_BYTES: Final = {
    "wiegand": 1900,
    "rdm6300": 1600,
    "mfrc522": 3500,
    "keypad": 2200,
    "button": 1000,
    "led": 2500,
    "buzzer": 2400,
    "ssd1306": 3200,
}
FEATURES_HEAP_BYTES: Final = {"esp32": 4500}
