"""A software ESP32's flash, programmed as the factory leaves it, for tests of the driver."""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path

from ks_agent import toon
from ks_agent.store import as_text
from ks_driver import esp_image
from ks_simulator import chip_application, vfs_image
from ks_simulator.application import ENTRY, Release, build
from ks_simulator.keys import RoleKeys, encode_trust
from ks_simulator.provision import FACTORY, factory_message
from ks_tools.board_file import BOARDS, Board, device_record, read_board
from ks_tools.image_partitions import TABLE_OFFSET, table

ERASED = b"\xff"
NVS_NAMESPACE = "ks"


def board_named(name: str) -> Board:
    return read_board(BOARDS / name / "board.toml")


def nvs_image(values: Mapping[str, bytes]) -> bytes:
    """The first copy of the vault, as simulator/ks_chip/device/esp32.py has it."""
    rows = [f"{NVS_NAMESPACE}/{name} {(b'b' + values[name]).hex()}" for name in sorted(values)]
    data = "\n".join(rows).encode()
    head = b"KSNV" + (1).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    return head + binascii.crc32(data, binascii.crc32(head)).to_bytes(4, "little") + data


def release_of(
    files: Mapping[str, bytes], keys: RoleKeys, version: str = "1.0.0", counter: int = 1
) -> Release:
    return build(files, version=version, counter=counter).signed(keys.release)


def factory_files(d1: str, server: str, keys: RoleKeys, **words: str) -> dict[str, bytes]:
    """What the factory writes for one unit, besides its vault."""
    certificate = words.pop("ca", "")
    message = factory_message(d1, server, **words)
    if certificate:
        message["CA"] = certificate
    return {
        "trust.toon": encode_trust(keys.trusted()),
        FACTORY: bytes(toon.encode(message, as_text)) + b"\n",
    }


def write_flash(
    path: Path,
    board: Board,
    files: Mapping[str, bytes],
    vault: Mapping[str, bytes],
    erased: Sequence[str] = (),
) -> None:
    """The whole flash as a file. `files`: of the partition `vfs`."""
    flash = bytearray(ERASED * board.flash)

    def put(offset: int, data: bytes) -> None:
        flash[offset : offset + len(data)] = data

    put(TABLE_OFFSET, table(board))
    parts = board.partitions
    put(parts[board.app].offset, esp_image.make("1.25.0", "6.3", "x64"))
    put(parts["nvs"].offset, nvs_image(vault))
    everything = {"board.toon": device_record(board), **files}
    put(parts["vfs"].offset, vfs_image.make(everything, parts["vfs"].size).data)
    for name in erased:
        put(parts[name].offset, ERASED * parts[name].size)
    path.write_bytes(flash)


def files_in(path: Path, board: Board, name: str) -> dict[str, bytes]:
    """What is in a partition's LittleFS now, by path."""
    part = board.partitions[name]
    flash = path.read_bytes()
    return vfs_image.read(flash[part.offset : part.offset + part.size])


__all__ = [
    "ENTRY",
    "board_named",
    "chip_application",
    "factory_files",
    "files_in",
    "release_of",
    "write_flash",
]
