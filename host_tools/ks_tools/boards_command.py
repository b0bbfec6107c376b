"""`ks boards`: the boards, and how many punches each holds while its server is away."""

from __future__ import annotations

from dataclasses import asdict

from .asking import JsonOption, show_json, show_table
from .boards import CREDENTIALS, Board, read_boards
from .console import say

KIB = 1024
HEADER = ("board", "chip", "flash", "data")
DOWNLOADS = ("board", "its MicroPython", "which you download from", "versions")


def boards(as_json: JsonOption = False) -> None:
    """Show the boards, and how many punches that no server has acknowledged each one holds."""
    found = read_boards()
    if as_json:
        show_json([_as_json(board) for board in found])
        return
    show_table(HEADER, map(_row, found), right="flash data")
    for allow_list in (False, True):
        beside = "beside an allow list of 10,000" if allow_list else "without an allow list"
        say("")
        show_table(
            (f"punches {beside}", *(board.name for board in found)),
            _capacities(found, allow_list),
            right=" ".join(board.name for board in found),
        )
    say("")
    show_table(DOWNLOADS, [[board.name, *_download(board)] for board in found])


def _row(board: Board) -> list[object]:
    return [board.name, board.chip, f"{board.flash // KIB} KiB", f"{board.data // KIB} KiB"]


def _download(board: Board) -> list[str]:
    return [board.image, board.micropython, ", ".join(board.versions)]


def _capacities(found: list[Board], allow_list: bool) -> list[list[object]]:
    return [
        [name, *(board.capacity(text, allow_list) for board in found)]
        for name, text in CREDENTIALS.items()
    ]


def _as_json(board: Board) -> dict[str, object]:
    capacity = {name: board.capacity(text) for name, text in CREDENTIALS.items()}
    beside = {name: board.capacity(text, True) for name, text in CREDENTIALS.items()}
    return {**asdict(board), "punches": capacity, "punches_beside_allow_list": beside}
