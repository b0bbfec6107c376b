"""What does which step: a function of the run that gives what is recorded of the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from . import steps_flash, steps_office, steps_serial
from .run import UnitRun
from .steps import NAMES

Handler = Callable[[UnitRun], dict[str, Any]]

HANDLERS: Final[dict[str, Handler]] = {
    "detected": steps_flash.detected,
    "identified": steps_flash.identified,
    "flashed": steps_flash.flashed,
    "verified": steps_flash.verified,
    "booted": steps_serial.booted,
    "tested": steps_serial.tested,
    "keyed": steps_serial.keyed,
    "proven": steps_serial.proven,
    "written": steps_serial.written,
    "whitelisted": steps_office.whitelisted,
    "sealed": steps_serial.sealed,
    "labelled": steps_office.labelled,
    "done": steps_office.done,
}
assert tuple(HANDLERS) == NAMES
