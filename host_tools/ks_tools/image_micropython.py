"""The MicroPython image that the user has downloaded: bootloader, partition table and application.

It is one file for a whole chip, as micropython.org has it, from the bootloader's offset on: 0x1000
on an ESP32, 0 on an ESP32-S3 and -C3. Taken out of it are the bootloader and the application; the
table is the board's own. Their form is ESP-IDF's, see `ks_driver.esp_image`.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ks_driver import esp_image

from .board_file import Board
from .boards_chips import CHIPS
from .console import ToolError
from .image_partitions import TABLE_OFFSET
from .security_signature import signature_end

APP_OFFSET: Final = 0x10000
_CHIP_ID: Final = 12  # in the header, two bytes
_BANNER: Final = re.compile(rb"MicroPython v(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)")
# What the prompt says behind the version: MICROPY_HW_BOARD_NAME, chip (shared/runtime/pyexec.c).
_NAME: Final = re.compile(rb"; ([ -~]{1,100}) with ESP32[0-9A-Z]*[\0\r]")
# The words by which images for PSRAM name it (ports/esp32/boards/*/mpconfigvariant_SPIRAM*.cmake).
# Those for an ESP32-S3 find PSRAM with four lines themselves.
_PSRAM: Final = {("esp32", "quad"): "SPIRAM", ("esp32s3", "octal"): "Octal-SPIRAM"}
_OF_MICROPYTHON_ORG: Final = "Generic ESP32"


@dataclass(frozen=True)
class MicroPythonImage:
    """What is taken out of the file. `version` and `name`, that of the board that MicroPython was
    built for, are "" where the image does not say."""

    path: Path
    sha256: str
    bootloader: bytes = field(repr=False)
    application: bytes = field(repr=False)
    version: str = ""
    name: str = ""


def read_image(path: Path, board: Board) -> MicroPythonImage:
    """Raises ToolError for what is no whole image of MicroPython for the board's chip."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror}; it comes from {_from(board)}") from None
    chip = CHIPS[board.chip]
    _check_chip(path, data, board)
    start = APP_OFFSET - chip.bootloader_offset
    if len(data) <= start:
        raise ToolError(
            f"{path}: there is no application behind the bootloader; "
            f"the file that is needed is the .bin (not .app-bin) from {_from(board)}"
        )
    bootloader = _whole(path, "bootloader", data[: TABLE_OFFSET - chip.bootloader_offset], board)
    application = _whole(path, "application", data[start:], board)
    banner = _BANNER.search(application)
    if banner is None:
        raise ToolError(f"{path}: an image for the {board.chip}, but not of MicroPython")
    named = _NAME.search(application)
    name = named[1].decode() if named else ""
    _check_psram(path, name, board)
    digest = hashlib.sha256(data).hexdigest()
    return MicroPythonImage(path, digest, bootloader, application, banner[1].decode(), name)


def _from(board: Board) -> str:
    return board.micropython.page


def _check_chip(path: Path, data: bytes, board: Board) -> None:
    """The chip that the first header names; what is no image at all is told apart."""
    if len(data) < esp_image.HEADER_BYTES or data[0] != esp_image.MAGIC:
        raise ToolError(
            f"{path}: no image for an ESP32: it does not begin with 0xE9; "
            f"the file that is needed is the .bin from {_from(board)}"
        )
    number = struct.unpack_from("<H", data, _CHIP_ID)[0]
    wanted = CHIPS[board.chip]
    if number == wanted.image_id:
        return
    names = {chip.image_id: chip.name for chip in CHIPS.values()}
    found = names.get(number, f"another chip (number {number})")
    raise ToolError(
        f"{path}: an image for the {found}, and {board.name} has the {board.chip}; "
        f"its image is {board.micropython.image} from {_from(board)}"
    )


def _check_psram(path: Path, name: str, board: Board) -> None:
    """That the image uses the PSRAM that is there, and no pins for one that is not.

    Boards of the user's own have names of their own, which need not say.
    """
    says = next((word for word in ("Octal-SPIRAM", "SPIRAM") if word in name), "")
    wanted = _PSRAM.get((board.chip, board.psram or ""), "")
    if says == wanted or not (says or name.startswith(_OF_MICROPYTHON_ORG)):
        return
    has = f"{board.psram} PSRAM" if board.psram else "no PSRAM"
    raise ToolError(
        f"{path}: an image for a {name}, and {board.name} has {has}; "
        f"its image is {board.micropython.image} from {_from(board)}"
    )


def _whole(path: Path, what: str, data: bytes, board: Board) -> bytes:
    """An image with its signature, if any, without what follows in the file; its hash checked."""

    def read(offset: int, count: int) -> bytes:
        return data[offset : offset + count].ljust(count, b"\xff")

    try:
        esp_image.check(read, len(data))
    except esp_image.BadImage as error:
        raise ToolError(f"{path}: its {what} is damaged: {error}") from None
    _check_chip(path, data, board)
    end = esp_image.HEADER_BYTES
    for _ in range(data[1]):
        end += 8 + struct.unpack("<II", read(end, 8))[1]
    end += 16 - end % 16 + esp_image.HASH_BYTES
    return data[: signature_end(data, end)]
