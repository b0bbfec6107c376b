"""`ks boards`: what it prints is what the flash really holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from littlefs import lfs

from benchmarks.punch_flash import Bench
from ks_simulator import recovery
from ks_simulator.application import build, installed_files
from ks_simulator.littlefs import LittleFsPort, make_filesystem
from ks_simulator.nor import BLOCK_BYTES, NorFlash
from ks_simulator.provision import stage_0_files
from ks_tools.boards import CREDENTIALS, Board, punches_a_segment, read_boards, segments
from ks_tools.cli import run
from ks_tools.console import ToolError
from tests.only_once import Compiler

KIB = 1024


def test_every_board_of_4_mb_holds_100_000_punches_of_a_card() -> None:
    found = read_boards()
    assert {board.name for board in found} >= {"esp32_generic", "esp32s3", "esp32c3"}
    for board in found:
        assert board.capacity(CREDENTIALS["card of 8 hex digits"]) >= 100_000, board.name


def test_partitions_lie_one_after_the_other_within_the_flash() -> None:
    import tomllib

    for path in Path("boards").glob("*/board.toml"):
        board = tomllib.loads(path.read_text(encoding="utf-8"))
        end = 0x9000
        for part in sorted(board["partitions"].values(), key=lambda part: part["offset"]):
            assert part["offset"] >= end and part["offset"] % 0x1000 == 0, path
            assert part["type"] != "app" or part["offset"] % 0x10000 == 0, path
            end = part["offset"] + part["size"]
        assert end <= board["flash"], path


@pytest.mark.parametrize("kib", [256, 512])
def test_what_is_printed_is_what_a_real_littlefs_of_that_size_takes(kib: int) -> None:
    bench = Bench(kib * KIB)
    real = bench.fill()
    held = bench.journal.last - bench.journal.first + 1
    board = Board("b", "c", 0, 0, kib * KIB)
    assert 0.95 * held <= board.segments() <= held
    assert 0.95 * real <= board.capacity("12E45678") <= 1.02 * real


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


ARCHITECTURES = {"esp32": "xtensawin", "esp32s3": "xtensawin", "esp32c3": "rv32imc"}
# What is left is for a release that grows, and for the file that is being fetched.
SPARE_BYTES = 64 * KIB


@pytest.mark.long
@pytest.mark.parametrize("board", read_boards(), ids=lambda board: board.name)
def test_two_slots_and_what_the_factory_writes_fit_into_vfs(
    board: Board, compiler: Compiler
) -> None:
    files = compiler(installed_files(), architecture=ARCHITECTURES[board.chip])
    release = build(files, version="1.0.0", counter=1).signed(bytes(32))
    flash = NorFlash(board.vfs // BLOCK_BYTES)
    make_filesystem(flash)
    fs = LittleFsPort(flash)
    everything = stage_0_files(release) | recovery.folder_files(release)
    for slot in ("slot_a", "slot_b"):
        everything |= {f"{slot}/{path}": data for path, data in release.slot_files().items()}
    for path, data in everything.items():
        folders = path.split("/")[:-1]
        for count in range(1, len(folders) + 1):
            if not fs.is_dir("/".join(folders[:count])):
                fs.mkdir("/".join(folders[:count]))
        with fs.open(path, "wb") as file:
            file.write(data)
    used = int(fs.call(lfs.fs_size))
    assert (flash.block_count - used) * BLOCK_BYTES > SPARE_BYTES
    fs.unmount()
