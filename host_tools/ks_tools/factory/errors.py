"""How work on a unit ends early.

FactoryError (a ToolError)
    Interrupted     cable, power, Ctrl-C: the next run goes on where this one was
    Silent          its firmware does not answer: once it is written anew, then it is a reject
    Differs         its flash holds something else than was written: likewise
    UnitFailed      the unit is at fault: it becomes a reject
    StationFailed   the station is at fault, the unit waits: no paper, no server, no serial number
    Refused         nothing was done, on purpose: the board belongs to somebody
"""

from __future__ import annotations

from ..console import ToolError


class FactoryError(ToolError):
    """Work on a unit has ended early."""


class Interrupted(FactoryError):
    """Cable, power or Ctrl-C."""


class Silent(FactoryError):
    """Its firmware does not answer."""


class Differs(FactoryError):
    """Its flash holds something else than was written."""


class UnitFailed(FactoryError):
    """The unit is at fault."""


class StationFailed(FactoryError):
    """The station is at fault."""


class Refused(FactoryError):
    """The board belongs to somebody."""
