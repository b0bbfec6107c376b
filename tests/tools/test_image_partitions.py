"""The partition table, read back by a tool that has nothing to do with this project."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from mp_image_tool_esp32.partition_table import PartitionError, PartitionTable

from ks_tools.board_file import BOARDS, read_board
from ks_tools.image_partitions import TABLE_BYTES, table

BOARD_FILES = sorted(BOARDS.glob("*/board.toml"))


@pytest.mark.parametrize("path", BOARD_FILES, ids=lambda path: path.parent.name)
def test_another_reader_finds_the_same_partitions(path: Path) -> None:
    board = read_board(path)
    read = PartitionTable.from_bytes(table(board), board.flash)
    read.check()
    assert {part.name: (part.type_name, part.offset, part.size) for part in read} == {
        name: (part.type, part.offset, part.size) for name, part in board.partitions.items()
    }
    for part in read:
        assert part.subtype_name == board.partitions[part.name].subtype
        assert part.flags == 0
    assert read.app_part.name == board.app


def test_it_is_byte_for_byte_what_the_other_tool_writes() -> None:
    made = table(read_board(BOARD_FILES[0]))
    assert PartitionTable.from_bytes(made).to_bytes()[:TABLE_BYTES] == made


def test_a_changed_byte_is_noticed() -> None:
    made = bytearray(table(read_board(BOARD_FILES[0])))
    made[40] ^= 1
    with pytest.raises(PartitionError, match="Checksum"):
        PartitionTable.from_bytes(bytes(made))


def test_the_table_of_a_board_stays_the_same() -> None:
    """Units in the field have it: another one would make them lose what they remember."""
    known = {path.parent.name: hashlib.sha256(table(read_board(path))).hexdigest()[:16]
             for path in BOARD_FILES}  # fmt: skip
    four_megabytes = "c6ca1d37f576c14d"
    assert known == {
        "esp32_generic": four_megabytes,
        "esp32c3": four_megabytes,
        "esp32s3": "0054aaace7aa2a1f",
        "ks_clock": four_megabytes,
    }
