"""When a punch really was, as far as can be known: pure functions of what terminals tell.

A terminal says with each punch what its clock showed (A3), whether that had been set from the
server since the boot (CLK), the number of the boot and the milliseconds since then (UP). A3 is
kept as it is; here is what the server believes, and how far off it may be.

`source` of a moment:

- `clock`: CLK was SYNCED, so A3 it is. A terminal sets its clock only from answers whose round
  trip took less than 10 s, corrected by half of it: it is wrong by 5 s at most (SYNC_MS; typically
  by less than one), and from then on drifts by at most 100 ppm (DRIFT_PPM: 8.6 s a day), for no
  longer than UP. Where the upload tells the same boot's UP together with a checked TS, A3 is held
  against that as well, and the better of the two bounds counts; the worse one, where the two
  contradict each other.
- `record`, `reference`: not SYNCED, but in the same boot there is a synchronised punch or request.
  The time is its time and the difference of UP; the uncertainty its own and the drift meanwhile.
- `between`: nothing is known of that boot but that it came after the last known moment before it,
  and ended before the next one began (or before the punch was received): the middle of both.
- `raw`: there is nothing to go by. A3 as it is, with an unknown uncertainty (None).

For every uncertainty that is not None the truth is within `time_ms` +- `uncertainty_ms`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ks_agent.timetext import LAST_MS

SYNC_MS: Final = 5_000
DRIFT_PPM: Final = 100

CLOCK: Final = "clock"
RECORD: Final = "record"
REFERENCE: Final = "reference"
BETWEEN: Final = "between"
RAW: Final = "raw"
# what a later reference may still make better
UNCERTAIN: Final = (BETWEEN, RAW)


class Reference(NamedTuple):
    """A moment known in both time bases: `up_ms` after boot `boot` it was `unix_ms`."""

    boot: int
    up_ms: int
    unix_ms: int
    uncertainty_ms: int
    source: str


class Moment(NamedTuple):
    """What is believed; `uncertainty_ms` is None when nothing bounds it."""

    time_ms: int
    uncertainty_ms: int | None
    source: str


class Around(NamedTuple):
    """What is known around the punches of one boot: references of the boot itself, the last one of
    an earlier boot, the first one of a later boot."""

    same: tuple[Reference, ...] = ()
    earlier: Reference | None = None
    later: Reference | None = None


def drift_ms(span_ms: int) -> int:
    """How far a terminal's clock may be off after `span_ms` (of either sign), rounded up."""
    return -(-abs(span_ms) * DRIFT_PPM // 1_000_000)


def of_request(boot: int, up_ms: int, ts_ms: int, now_ms: int) -> Reference:
    """The reference that a request with CLK:SYNCED is; `now_ms`: when the server read it, which is
    at most SYNC_MS after it was sent."""
    ahead_ms = ts_ms - now_ms
    uncertainty_ms = max(SYNC_MS, -ahead_ms, ahead_ms + SYNC_MS)
    return Reference(boot, up_ms, ts_ms, uncertainty_ms, REFERENCE)


def synced(boot: int, up_ms: int, raw_ms: int, request: Reference | None) -> Moment:
    """The moment of a punch whose clock was SYNCED."""
    bound_ms = SYNC_MS + drift_ms(up_ms)
    if request is not None and request.boot == boot:
        away_ms = up_ms - request.up_ms
        off_ms = abs(raw_ms - (request.unix_ms + away_ms))
        width_ms = request.uncertainty_ms + drift_ms(away_ms)
        by_request_ms = off_ms + width_ms
        # both cannot be true: then the clock was not as SYNCED as it said
        contradicts = off_ms > bound_ms + width_ms
        bound_ms = by_request_ms if contradicts else min(bound_ms, by_request_ms)
    return Moment(raw_ms, bound_ms, CLOCK)


def unsynced(up_ms: int, raw_ms: int, around: Around, received_ms: int) -> Moment:
    """The moment of a punch whose clock was not SYNCED; `received_ms` is the server's own time."""
    if around.same:
        return min((_by(one, up_ms) for one in around.same), key=_width)
    if around.earlier is None:
        return Moment(raw_ms, None, RAW)
    earlier = around.earlier
    low_ms = earlier.unix_ms - earlier.uncertainty_ms + up_ms - drift_ms(up_ms)
    high_ms = received_ms
    if around.later is not None:
        later = around.later
        high_ms = later.unix_ms + later.uncertainty_ms - later.up_ms + drift_ms(later.up_ms)
    middle_ms = (low_ms + high_ms) // 2
    return Moment(_written(middle_ms), abs(high_ms - low_ms) // 2 + 1, BETWEEN)


def _by(reference: Reference, up_ms: int) -> Moment:
    away_ms = up_ms - reference.up_ms
    uncertainty_ms = reference.uncertainty_ms + drift_ms(away_ms)
    return Moment(_written(reference.unix_ms + away_ms), uncertainty_ms, reference.source)


def _width(moment: Moment) -> int:
    return moment.uncertainty_ms or 0


def _written(unix_ms: int) -> int:
    # a time that the protocol can write
    return max(0, min(unix_ms, LAST_MS))
