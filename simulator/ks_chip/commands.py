"""The testers' commands that change the chip; `world` lists them."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from .boot import Cause
from .world import BadCommand

if TYPE_CHECKING:
    from .chip import Chip

MAX_GARBAGE_BYTES: Final = 65_536
OFF: Final = "off"

Perform = Callable[["Chip", list[str]], Awaitable[str | None]]


async def perform(chip: Chip, words: list[str]) -> str:
    """Do one; what follows `ok`. Raises BadCommand, and OSError where the line cannot be had."""
    command = _COMMANDS.get(words[0])
    if command is not None:
        try:
            return await command(chip, words[1:]) or ""
        except (ValueError, IndexError):
            pass
    raise BadCommand(f"not understood: {' '.join(words)}")


async def _reset(chip: Chip, _: list[str]) -> None:
    if chip.state.value == OFF:
        raise BadCommand("no power")
    await chip.boot(Cause.PIN)


async def _power(chip: Chip, words: list[str]) -> None:
    if words == ["on"]:
        if chip.state.value == OFF:
            await chip.boot(Cause.POWER)
    elif words == ["off"]:
        await chip.switch_off()
    else:
        raise ValueError


async def _cut(chip: Chip, words: list[str]) -> None:
    if words == ["-"]:
        chip.limit_operations(None)
        return
    if words[0] != "after" or words[2:] not in ([], ["unplug"]):
        raise ValueError
    chip.limit_operations(_count(words[1]))
    chip.faults.unplug_at_cut = words[2:] == ["unplug"]


async def _unplug(chip: Chip, _: list[str]) -> None:
    chip.line.unplug()


async def _plug(chip: Chip, _: list[str]) -> None:
    await chip.line.plug(chip)


async def _noise(chip: Chip, words: list[str]) -> None:
    chip.faults.noise_above_baud = _count(words[1]) if words[1:] else 0
    chip.faults.noise_every = _count(words[0])


async def _slow(chip: Chip, words: list[str]) -> None:
    chip.faults.bytes_a_second = _count(words[0])


async def _garbage(chip: Chip, words: list[str]) -> None:
    count = _count(words[0])
    garbage = random.Random(count).randbytes(min(count, MAX_GARBAGE_BYTES))  # noqa: S311
    chip.line.write(garbage)


async def _state(chip: Chip, _: list[str]) -> str:
    operations = chip.flash.operations
    left = "-" if operations.left is None else operations.left
    return (
        f"{chip.state.value} starts={chip.starts} operations={operations.done}"
        f" left={left} plugged={int(chip.line.is_plugged)}"
    )


def _count(word: str) -> int:
    count = 0 if word == "-" else int(word)
    if count < 0:
        raise ValueError
    return count


_COMMANDS: Final[dict[str, Perform]] = {
    "reset": _reset,
    "power": _power,
    "cut": _cut,
    "unplug": _unplug,
    "plug": _plug,
    "noise": _noise,
    "slow": _slow,
    "garbage": _garbage,
    "state": _state,
}
