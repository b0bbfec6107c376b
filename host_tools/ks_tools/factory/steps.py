"""What is done to a unit, in order, and the states that a unit can be in.

A step is recorded when it is done, before the next begins. Each can be done again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Step:
    """A step: what it does and, where it fails, what a person does, each one line."""

    name: str
    does: str
    advice: str


STEPS: Final = (
    Step(
        "detected",
        "looks for a chip at the port",
        "check cable and power; hold BOOT while pressing EN where the board has no auto-reset",
    ),
    Step(
        "identified",
        "reads MAC, chip, flash size, eFuses, and whether the flash holds an identity",
        "take the board that batch.toml names; one with an identity is for: ks factory rework",
    ),
    Step(
        "flashed",
        "erases the flash and writes partition table, MicroPython and files",
        "try a shorter cable or a hub with its own supply; then put the board aside",
    ),
    Step(
        "verified",
        "compares the flash with the image, by MD5",
        "plug it in again: it is written anew; a second time, the flash is bad",
    ),
    Step(
        "booted",
        "starts it and waits for its first word",
        "read the unit's log: what the chip printed at its start is at its end",
    ),
    Step(
        "tested",
        "tests flash, clock, memory, Wi-Fi and every reader, key and light",
        "look at the part that the line names; then: ks factory rework",
    ),
    Step(
        "keyed",
        "lets it make its key, gives it a serial number",
        "give this station more serial numbers in batch.toml, if they are used up",
    ),
    Step(
        "proven",
        "lets it prove that it holds that key",
        "put the board aside: it answers for another key than it has told",
    ),
    Step(
        "written",
        "writes configuration, trusted keys, Wi-Fi and registration token",
        "check server, Wi-Fi and trust in batch.toml",
    ),
    Step(
        "whitelisted",
        "tells the server of it, or the file that is imported there later",
        "check that the server answers, and its token: ADMIN_TOKEN",
    ),
    Step(
        "sealed",
        "makes it a terminal: from now on its serial port is closed",
        "plug it in again: it is looked up whether it was sealed",
    ),
    Step(
        "labelled",
        "prints its label, and compares what the scanner reads from it",
        "check the printer; print again with: ks factory label SERIAL",
    ),
    Step(
        "done",
        "closes its record",
        "check Wi-Fi and server: the terminal has not been heard of",
    ),
)
NAMES: Final = tuple(step.name for step in STEPS)
BY_NAME: Final = {step.name: step for step in STEPS}

OPEN: Final = "open"
DONE: Final = "done"
REJECT: Final = "reject"
REWORK: Final = "rework"

# (state, what happens) -> state; what is not here cannot happen.
TRANSITIONS: Final = {
    (OPEN, "finished"): DONE,
    (OPEN, "failed"): REJECT,
    (OPEN, "rework"): REWORK,
    (REJECT, "rework"): REWORK,
    (DONE, "rework"): REWORK,
    (REWORK, "finished"): DONE,
    (REWORK, "failed"): REJECT,
    (REWORK, "rework"): REWORK,
}


def number(name: str) -> int:
    """The place of a step; -1 for "", before the first."""
    return NAMES.index(name) if name else -1


def left(name: str) -> tuple[str, ...]:
    """The steps after this one."""
    return NAMES[number(name) + 1 :]
