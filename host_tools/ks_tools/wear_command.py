"""`ks wear`: what idle days and an update do to a board's flash."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ks_simulator import wear
from ks_simulator.wear import FlashUse

from .asking import JsonOption, show_json, show_table
from .boards import read_boards
from .console import ToolError, say

HEADER = ("", "programs", "bytes", "erases", "most of one block", "blocks erased", "lasts")


def wear_report(
    board: Annotated[str, typer.Option(help="Whose flash; see ks boards.")] = "esp32_generic",
    days: Annotated[int, typer.Option(min=1, max=365, help="Idle days to live.")] = 7,
    blocks: Annotated[bool, typer.Option("--blocks", help="Each block that was touched.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Live idle days of 1,440 heartbeats and take an update, on a simulated flash that counts."""
    found = [one for one in read_boards() if one.name == board]
    if not found:
        raise ToolError(f"there is no board {board}; see: ks boards")
    terminal = wear.WornTerminal(wear.release_of("1.0.0"), found[0].vfs, found[0].data)
    uses = {f"{days} idle days": wear.idle_days(terminal, days)}
    uses["an update"] = wear.update(terminal, wear.release_of("1.1.0"))
    if as_json:
        show_json({name: [asdict(use) for use in several] for name, several in uses.items()})
        return
    rows = []
    for name, several in uses.items():
        for use in several:
            rows.append(_row(name, use, days if "idle" in name else None))
    show_table(HEADER, rows, right="programs bytes erases")
    say(f"\nA block is rated for {wear.CYCLES:,} erases; the one erased most often decides.")
    if blocks:
        for name, several in uses.items():
            for use in several:
                _show_blocks(name, use)


def _row(name: str, use: FlashUse, days: int | None) -> list[object]:
    return [
        f"{name}, {use.volume}",
        use.programs,
        use.bytes_programmed,
        use.erases,
        use.worst,
        f"{use.blocks_erased} of {use.blocks}",
        _lasts(use, days),
    ]


def _lasts(use: FlashUse, days: int | None) -> str:
    times = use.times_to_wear_out()
    if times == float("inf"):
        return "no block was erased"
    if days is None:
        return f"{int(times):,} updates"
    return f"{int(times * days / wear.DAYS_A_YEAR):,} years"


def _show_blocks(name: str, use: FlashUse) -> None:
    rows = [
        [block, erases, programs]
        for block, (erases, programs) in enumerate(
            zip(use.erases_by_block, use.programs_by_block, strict=True)
        )
        if erases or programs
    ]
    say(f"\n{name}, {use.volume}")
    show_table(("block", "erases", "programs"), rows, right="block erases programs")
