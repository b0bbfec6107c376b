"""Going on with a unit that was begun earlier: what its flash holds decides, not its record alone.

| its firmware says       | its record says           | it goes on                              |
|-------------------------|---------------------------|-----------------------------------------|
| nothing                 | whitelisted or later      | after `sealed`, if its flash is sealed  |
| nothing                 | anything else             | with `flashed`                          |
| blank                   | it has a key              | with `keyed`: somebody has erased it    |
| another key             | it has a key              | with `keyed`                            |
| the key                 | not proven yet or later   | with the next step                      |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import contents
from .errors import Interrupted, Silent, UnitFailed
from .steps import number

if TYPE_CHECKING:
    from .run import UnitRun


def resume(run: UnitRun) -> None:
    """Set the unit's record to what is true. Raises FactoryError."""
    unit = run.unit
    if number(unit.step) >= number("whitelisted") and is_sealed(run):
        if number(unit.step) < number("sealed"):
            run.log.add("it was sealed, which was not recorded yet")
            run.unit = run.store.note(unit, step="sealed")
        return
    try:
        told = run.hello()
    except Silent:
        run.close_link()
        run.go_back("identified", "its firmware does not answer")
        return
    if number(unit.step) >= number("sealed"):
        raise UnitFailed("it was sealed, and is not any more")
    if number(unit.step) >= number("keyed") and told.public != unit.public_key:
        run.go_back("tested", "its flash was erased meanwhile", public_key=None)


def is_sealed(run: UnitRun) -> bool:
    """Whether its flash says who it is: read by esptool, since its port is closed then."""
    run.close_link()
    chip = run.flasher.detect()
    if chip.mac != run.unit.mac:
        raise Interrupted(f"another board is at {run.port} now: {chip.mac}")
    d1 = contents.read_d1(chip.table, run.flasher.read)
    if d1 and d1 != run.unit.d1:
        raise UnitFailed(f"it holds the identity of {d1}, and should be {run.unit.d1}")
    return bool(d1)
