"""`ks boards`: what it prints is what the flash really holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.punch_flash import Bench
from ks_chip.rack import NoInterpreter, program_command
from ks_simulator import chip_application, vfs_image
from ks_simulator.application import build
from ks_tools.board_file import device_record, read_board
from ks_tools.boards import BOARDS, CREDENTIALS, Board, punches_a_segment, read_boards, segments
from ks_tools.chip_command import PSRAM_HEAP
from ks_tools.chip_command import _setups as chip_setups
from ks_tools.cli import run
from ks_tools.console import ToolError

KIB = 1024


def test_every_board_of_4_mb_holds_100_000_punches_of_a_card() -> None:
    found = read_boards()
    assert {board.name for board in found} >= {"esp32_generic", "esp32s3", "esp32c3"}
    for board in found:
        assert board.capacity(CREDENTIALS["card of 8 hex digits"]) >= 100_000, board.name


@pytest.mark.parametrize("kib", [256, 512])
def test_what_is_printed_is_what_a_real_littlefs_of_that_size_takes(kib: int) -> None:
    bench = Bench(kib * KIB)
    real = bench.fill()
    held = bench.journal.last - bench.journal.first + 1
    board = Board("b", "c", 0, 0, kib * KIB)
    assert 0.95 * held <= board.segments() <= held
    assert 0.95 * real <= board.capacity("12E45678") <= 1.02 * real


@pytest.mark.parametrize("board", read_boards(), ids=lambda board: board.name)
def test_a_software_chip_has_the_heap_of_the_boards_module(board: Board, tmp_path: Path) -> None:
    try:
        program_command()
    except NoInterpreter as error:
        pytest.skip(str(error))
    (setup,) = chip_setups(board.name, tmp_path / "unit.bin", 1, "", 0)
    assert (PSRAM_HEAP in setup.command) == bool(board.psram)
    assert "heapsize=" in " ".join(setup.command)


def test_longer_credentials_are_fewer() -> None:
    counts = [punches_a_segment(text) for text in ("10427", "k.schneider2", "x" * 64)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] >= 45
    assert segments(0) == 0


def test_the_table_and_the_json_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["boards"]) == 0
    table = capsys.readouterr().out
    assert run(["boards", "--json"]) == 0
    for board in json.loads(capsys.readouterr().out):
        assert board["name"] in table
        assert board["micropython"] in table
        assert f" {board['image']} " in table
        for count in (*board["punches"].values(), *board["punches_beside_allow_list"].values()):
            assert str(count) in table


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[",
        "name = 1",
        'name = "b"\nchip = "c"\nflash = "x"',
        'name = "other"\nchip = "c"\nflash = 1\n[partitions]\ndata = { size = 1 }',
    ],
)
def test_a_board_that_is_none_is_refused_and_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "board.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ToolError, match=r"b/board\.toml"):
        read_boards(tmp_path)


# What is left is for a release that grows, and for the file that is being fetched.
SPARE_BYTES = 64 * KIB


@pytest.mark.long
@pytest.mark.parametrize("board", read_boards(), ids=lambda board: board.name)
def test_two_slots_and_what_the_factory_writes_fit_into_vfs(board: Board) -> None:
    files = chip_application.compiled_application(board.arch)
    release = build(files, version="1.0.0", counter=1).signed(bytes(32))
    everything = chip_application.vfs_files(release, board.arch)
    everything |= {f"slot_b/{path}": data for path, data in release.slot_files().items()}
    everything["board.toon"] = device_record(read_board(BOARDS / board.name / "board.toml"))
    assert vfs_image.make(everything, board.vfs).free_bytes > SPARE_BYTES
