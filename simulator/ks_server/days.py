"""Local days of a site: which date an instant falls on there, and which instants a date holds.

Times are Unix milliseconds, as everywhere. The days of a zone follow each other without a hole or
an overlap: one on which clocks change has 23 or 25 hours (or another length, as the zone says), one
whose midnight is skipped begins when the clocks have jumped, one whose midnight comes twice begins
with the second, and a date that a zone left out altogether (Samoa, 2011-12-30) holds nothing.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_FAR: Final = timedelta(hours=36)  # more than any zone is away from UTC, and than any jump


class UnknownZone(ValueError):
    """The IANA database on this machine has no such time zone."""


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name. Raises UnknownZone."""
    try:
        # zoneinfo reads files by that name: only what is a name may reach it
        if not name or name.startswith(("/", ".")) or "\\" in name or "\x00" in name:
            raise ValueError(name)
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise UnknownZone("no such time zone") from error


def local_day(unix_ms: int, time_zone: ZoneInfo) -> date:
    """The date there at that instant: the one whose `day_range` holds it.

    Raises OverflowError outside the years 1 to 9999.
    """
    shown = local_time(unix_ms, time_zone).date()
    if unix_ms < _start(shown, time_zone):  # clocks are about to go back over midnight
        return shown - timedelta(days=1)
    return shown


def local_time(unix_ms: int, time_zone: ZoneInfo) -> datetime:
    """The instant as a clock there shows it, aware of its offset."""
    return (_EPOCH + unix_ms * _MS).astimezone(time_zone)


def day_range(day: date, time_zone: ZoneInfo) -> tuple[int, int]:
    """The UTC range [first, end) of `day` there; the two are equal when the zone left it out.

    Raises OverflowError for the first and last days that a date can name.
    """
    return _start(day, time_zone), _start(day + timedelta(days=1), time_zone)


@lru_cache(maxsize=4096)
def _start(day: date, time_zone: ZoneInfo) -> int:
    """The instant from which on the local date is never before `day` again."""
    local = datetime(day.year, day.month, day.day, fold=1, tzinfo=time_zone)
    guess = _ms(local.astimezone(UTC))
    if _shows(guess, time_zone) >= day > _shows(guess - 1, time_zone):
        return guess
    # midnight was skipped: the jump is searched for
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    low, high = _ms(midnight - _FAR), _ms(midnight + _FAR)
    while high - low > 1:
        middle = (low + high) // 2
        if _shows(middle, time_zone) >= day:
            high = middle
        else:
            low = middle
    return high


def _shows(unix_ms: int, time_zone: ZoneInfo) -> date:
    return local_time(unix_ms, time_zone).date()


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MS
