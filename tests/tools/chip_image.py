"""Well-formed stand-ins for MicroPython's images: no real one is at hand, and none would run here.

What the bootloader and this project's tools look at is as in a real image: headers with the chip's
number, checksum and hash of bootloader and application, a partition table between them, MicroPython
in the text of the application. `ks_driver.esp_image.make` adds what a software chip goes by.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from ks_driver import esp_image
from ks_tools.boards_chips import CHIPS

APP_OFFSET = 0x10000
TABLE_OFFSET = 0x8000
# As ports/esp32/boards name them, by chip and PSRAM.
NAMES = {
    ("esp32", ""): "Generic ESP32 module",
    ("esp32", "quad"): "Generic ESP32 module with SPIRAM",
    ("esp32s3", ""): "Generic ESP32S3 module",
    ("esp32s3", "octal"): "Generic ESP32S3 module with Octal-SPIRAM",
    ("esp32c3", ""): "ESP32C3 module",
}
_SIZES = {2 << 20: 1, 4 << 20: 2, 8 << 20: 3, 16 << 20: 4}


def whole(image: bytes, chip: str, flash: int = 4 << 20) -> bytes:
    """An image with the chip's number and the flash's size in its header, its hash made anew."""
    data = bytearray(image[: -esp_image.HASH_BYTES])
    data[2] = 2  # DIO
    data[3] = _SIZES[flash] << 4 | 0xF
    struct.pack_into("<H", data, 12, CHIPS[chip].image_id)
    struct.pack_into("<H", data, 17, 0xFFFF)  # the newest revision that it runs on: any
    return bytes(data) + hashlib.sha256(data).digest()


def application(
    chip: str, version: str = "1.25.0", content: bytes = b"", name: str | None = None
) -> bytes:
    """The application alone, as micropython.org's .app-bin has it; `name` of the board, or ""."""
    name = NAMES[chip, ""] if name is None else name
    text = f"MicroPython v{version} on 2025-04-15\0"
    if name:
        text += f"; {name} with {chip.upper()}\0"
    made = esp_image.make(version, "6.3", CHIPS[chip].architecture, text.encode() + content)
    return whole(made, chip)


def micropython(
    chip: str,
    version: str = "1.25.0",
    size: int = 0,
    flash: int = 4 << 20,
    banner: bool = True,
    name: str | None = None,
) -> bytes:
    """A whole image, from the bootloader's offset on; `size`: bytes of the application at least."""
    start = CHIPS[chip].bootloader_offset
    bootloader = whole(esp_image.make("boot", "-", "-", b"stand-in for a bootloader"), chip, flash)
    body = application(chip, version, b"\x5a" * size, name)
    if not banner:
        body = whole(esp_image.make(version, "6.3", "-", b"something else"), chip)
    data = bootloader.ljust(TABLE_OFFSET - start, b"\xff")
    return data.ljust(APP_OFFSET - start, b"\xff") + body


def write_micropython(
    path: Path, chip: str, version: str = "1.25.0", size: int = 0, psram: str = ""
) -> Path:
    """The same as a file; the flash's size in its bootloader is that of the download: 4 MB."""
    path.write_bytes(micropython(chip, version, size, name=NAMES[chip, psram]))
    return path
