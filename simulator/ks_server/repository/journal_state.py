"""What heartbeats tell of journals: how far they go, and how full they are.

A heartbeat that tells nothing new writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from ..punch_chain import Finding
from . import findings, journals
from .journals import Journal

FULL: Final = 4
# J1 from which, or J2 down to which, a journal is at that level
_PERCENT: Final = ((2, 95), (1, 80))
_LAST: Final = (3, 99)


class Told(NamedTuple):
    """SEQ, J1 and J2 of a heartbeat that names its journal; None where it does not tell."""

    d1: str
    jid: str
    now_ms: int
    seq: int | None
    j1: int | None
    j2: int | None


Kept = tuple[int, list[findings.Event]]


async def store(connection: AsyncConnection, told: Mapping[int, Told]) -> dict[int, Kept]:
    """Store what heartbeats of one transaction tell; for each ACK_SEQ of its journal, and the
    events to announce after the commit."""
    before: dict[tuple[str, str], Journal | None] = {}
    after: dict[tuple[str, str], Journal] = {}
    kept = {}
    for number, one in told.items():
        key = (one.d1, one.jid)
        if key not in before:
            before[key] = await _known(connection, one)
        known = after.get(key) or before[key]
        if known is None:
            kept[number] = (0, list[findings.Event]())
            continue
        after[key] = _told_of(known, one)
        kept[number] = (known.ack_seq, await _find(connection, one, known, after[key]))
    changed = [(*key, journal) for key, journal in after.items() if journal != before[key]]
    if changed:
        await journals.save_told(connection, changed)
    return kept


async def _known(connection: AsyncConnection, told: Told) -> Journal | None:
    """The journal; one that has punches is made, so that their loss could be noticed."""
    journal = await journals.find(connection, told.d1, told.jid)
    if journal is None and told.seq:
        journal = await journals.create(connection, told.d1, told.jid, told.now_ms)
    return journal


def _told_of(known: Journal, told: Told) -> Journal:
    """The journal as it is after the heartbeat."""
    seq_top = max(known.seq_top or 0, told.seq or 0)
    return known._replace(
        seq_top=seq_top if seq_top else known.seq_top,
        j1=known.j1 if told.j1 is None else min(told.j1, 100),
        j2=known.j2 if told.j2 is None else told.j2,
        level=known.level if told.j1 is None and told.j2 is None else level_of(told.j1, told.j2),
        behind=bool(known.behind) if told.seq is None else told.seq < known.ack_seq,
    )


def level_of(j1: int | None, j2: int | None) -> int:
    """How urgent the filling of a journal is: 0 not, 1 from 80 %, 2 from 95 %, 3 when no more than
    99 punches fit, FULL when none does."""
    if j2 == 0:
        return FULL
    if j2 is not None and j2 <= _LAST[1]:
        return _LAST[0]
    for level, percent in _PERCENT:
        if j1 is not None and j1 >= percent:
            return level
    return 0


async def _find(
    connection: AsyncConnection, told: Told, known: Journal, now: Journal
) -> list[findings.Event]:
    """Record what has become worse, once, and resolve what has become better."""
    found = []
    if now.level > known.level:
        kind = "journal_full" if now.level == FULL else "journal_warning"
        found.append(Finding(kind, None, now.seq_top, f"J1 {now.j1} J2 {now.j2}"))
    elif now.level < known.level:
        kinds = ("journal_full",) if now.level else ("journal_full", "journal_warning")
        await findings.resolve(connection, told.d1, told.jid, kinds, told.now_ms)
    if now.behind and not known.behind:
        detail = f"the journal ends at {told.seq}, acknowledged is {known.ack_seq}"
        found.append(Finding("behind", (told.seq or 0) + 1, known.ack_seq, detail))
    return await findings.record(connection, told.d1, told.jid, told.now_ms, found)
