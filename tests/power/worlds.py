"""Flashes with a file system, and scenarios on them."""

from __future__ import annotations

from typing import Any

from ks_simulator.littlefs import LittleFsPort, make_filesystem
from ks_simulator.nor import NorFlash

from .sweep import cuts, cuts_of_recoveries

BLOCKS = 64


def formatted(blocks: int = BLOCKS) -> NorFlash:
    flash = NorFlash(blocks)
    make_filesystem(flash)
    return flash


def sweep(scenario: Any, seed: int = 0, every: int = 1) -> int:
    """Cuts survived by a scenario of tests/power/device. Raises CutFailed."""
    return cuts(scenario.run, scenario.recover, prepared(scenario), seed, every)


def sweep_recoveries(scenario: Any, seed: int, every: int, every_second: int = 1) -> int:
    """Cuts of recoveries survived. Raises CutFailed."""
    flash = prepared(scenario)
    return cuts_of_recoveries(scenario.run, scenario.recover, flash, seed, every, every_second)


def prepared(scenario: Any) -> NorFlash:
    """A flash as it is when the scenario begins."""
    flash = formatted()
    fs = LittleFsPort(flash)
    scenario.prepare(fs)
    fs.unmount()
    return flash
