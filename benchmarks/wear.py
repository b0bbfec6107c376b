"""What a terminal does to its flash when nothing happens, and in an update."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ks_simulator import wear
from ks_tools.boards import read_boards

from .figure import Figure

BOARD: Final = "esp32_generic"
IDLE_DAYS: Final = 28


def measure() -> Iterator[Figure]:
    """Per day and per update; `worst` is of the block that is erased most often."""
    board = next(board for board in read_boards() if board.name == BOARD)
    terminal = wear.WornTerminal(wear.release_of("1.0.0"), board.vfs, board.data)
    _, data = wear.idle_days(terminal, IDLE_DAYS)
    yield Figure.limited("wear/idle-day/programs", round(data.programs / IDLE_DAYS, 1), "a day")
    yield Figure.limited("wear/idle-day/erases", round(data.erases / IDLE_DAYS, 2), "a day")
    years = data.times_to_wear_out() * IDLE_DAYS / wear.DAYS_A_YEAR
    if data.worst:
        yield Figure.limited("wear/idle-day/years", round(years), "years to 100,000 cycles")
    for name, change in (("update", b""), ("one-file update", b"changed")):
        version = "1.1.0" if not change else "1.2.0"
        for use in wear.update(terminal, wear.release_of(version, change)):
            at = f"wear/{name}/{use.volume}"
            yield Figure.limited(f"{at}/programs", use.programs, "programs")
            yield Figure.limited(f"{at}/erases", use.erases, "erases")
            yield Figure.limited(f"{at}/worst", use.worst, "erases of one block")
