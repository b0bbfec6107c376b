"""One batch of punches, judged: each by itself, and as links of its journal's chain.

Pure functions. PREV of a punch is the hash of the one before it (ks_agent.punch), BOOT never falls
and UP never falls within a boot. What does not fit is found, never refused: a punch is stored
whatever its chain says. Two punches are compared when their numbers follow each other, or when one
batch has them one after the other.

A punch under a number that is taken, with other content, is a conflict, of two kinds:

- `fork`: it continues the chain as well as the stored one does. Two terminals write one journal,
  or one went on from an older copy of its flash.
- `rewritten`: it does not, or what follows it in its own batch continues the stored one: that
  record was changed where it lay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

from ks_agent import schema, timetext, tokens
from ks_agent.errors import Malformed
from ks_agent.punch import DIRECTIONS, HASHED, METHODS, PREV_BYTES, prev_of, punch_hash

SYNCED: Final = "SYNCED"
CLOCKS: Final = (SYNCED, "UNSYNCED")
_REQUIRED: Final = ("A1", "E1", "A2", "A3")
_ID_MAX_CHARACTERS: Final = 64
_JUDGED: Final = frozenset(schema.EVENT_FIELDS)
_HASHED_TEXT: Final = "|".join(f"{key}:%s" for key in HASHED)
_hashed: Final = itemgetter(*HASHED)
_NUMBER_MAX_DIGITS: Final = 15


class Stored(NamedTuple):
    """As much of a stored punch as its neighbours need; `hash` is None from older servers."""

    seq: int
    hash: str | None
    prev: str | None
    boot_number: int | None
    up_ms: int | None
    clk: str | None = None
    time_ms: int | None = None
    uncertainty_ms: int | None = None


class Punch(NamedTuple):
    """A row of the list EVENT, read. Of one with `err1` the numbers are None."""

    seq: int
    row: Mapping[str, str]
    hash: str
    err1: str | None
    raw_ms: int | None
    boot_number: int | None
    up_ms: int | None
    is_plain: bool = False  # all fields are there, and printable

    @property
    def prev(self) -> str | None:
        return self.row.get("PREV")


class Finding(NamedTuple):
    """Something wrong with a journal, for a person to see. Never with personal data."""

    kind: str
    first_seq: int | None
    last_seq: int | None
    detail: str | None = None


def read(jid: str, row: dict[str, str]) -> Punch:
    """Judge one punch by itself; `err1` says why it belongs in quarantine."""
    digest, is_plain = _digest(row | {"JID": jid})
    seq = int(row["SEQ"])
    try:
        return Punch(seq, row, digest, None, *_numbers(row), is_plain)
    except _Incomplete:
        return Punch(seq, row, digest, "MISSING_TOKEN", None, None, None)
    except Malformed:
        return Punch(seq, row, digest, "MALFORMED", None, None, None)


def _digest(punch: dict[str, str]) -> tuple[str, bool]:
    """PREV of the punch after this one, and whether all fields are there and printable."""
    try:
        text = _HASHED_TEXT % _hashed(punch)
    except KeyError:
        text = ""
    # what nothing is to be escaped in is its own canonical string, and found so much faster
    if text.isprintable() and "%" not in text and text.count("|") == len(HASHED) - 1:
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[: 2 * PREV_BYTES], True
    return prev_of(punch_hash(hashlib.sha256, punch)), False


class _Incomplete(Exception):
    pass


def _numbers(row: dict[str, str]) -> tuple[int, int | None, int | None]:
    """A3, BOOT and UP. Raises Malformed, _Incomplete."""
    for name in _REQUIRED:
        if not row.get(name):
            raise _Incomplete
    if row["A2"] not in DIRECTIONS or row.get("CLK", "SYNCED") not in CLOCKS:
        raise Malformed("bad A2 or CLK")
    if row.get("METHOD", "RFID") not in METHODS:
        raise Malformed("bad METHOD")
    if len(row["A1"]) > _ID_MAX_CHARACTERS or len(row["E1"]) > _ID_MAX_CHARACTERS:
        raise Malformed("an id too long")
    if not row.keys() <= _JUDGED:
        for name, value in row.items():
            if name not in _JUDGED:
                tokens.check_value(name, value)
    return _time_ms(row["A3"]), _count(row, "BOOT"), _count(row, "UP")


def _time_ms(text: str) -> int:
    """timetext.parse_ms, for many texts of the same hours. Raises Malformed."""
    # HH:MM:SS.mmmZ, with digits where digits belong
    rest = text[14:16] + text[17:19] + text[20:23]
    marks = text[13:14] + text[16:17] + text[19:20] + text[23:]
    if marks != "::.Z" or not (rest.isascii() and rest.isdigit()):
        return int(timetext.parse_ms(text))
    minute, second = int(rest[:2]), int(rest[2:4])
    if minute > 59 or second > 59:
        raise Malformed("no such time of day")
    return _hour_ms(text[:13]) + (minute * 60 + second) * 1000 + int(rest[4:])


@lru_cache(maxsize=4096)
def _hour_ms(text: str) -> int:
    return int(timetext.parse_ms(text + ":00:00Z"))


def _count(row: dict[str, str], name: str) -> int | None:
    text = row.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _NUMBER_MAX_DIGITS:
        raise Malformed("bad " + name)
    if text[0] == "0" and text != "0":
        raise Malformed("bad " + name)
    return int(text)


def check(new: Sequence[Punch], stored: Mapping[int, Stored]) -> list[Finding]:
    """What is wrong between new punches (in order of SEQ) and those beside them."""
    broken: list[int] = []
    reordered: list[int] = []
    numbers = {punch.seq for punch in new}
    before: Punch | Stored | None = None
    for punch in new:
        if before is None or before.seq != punch.seq - 1:
            before = stored.get(punch.seq - 1, before)
        _compare(before, punch, broken, reordered)
        if punch.seq + 1 not in numbers:
            after = stored.get(punch.seq + 1)
            if after is not None:
                _compare(punch, after, broken, reordered)
        before = punch
    return [
        *ranges("broken_chain", broken, "PREV is not the hash of the punch before"),
        *ranges("reordered", reordered, "BOOT or UP is below that of the punch before"),
    ]


def _compare(
    before: Punch | Stored | None,
    after: Punch | Stored,
    broken: list[int],
    reordered: list[int],
) -> None:
    if after.prev is not None and not _continues(before, after):
        broken.append(after.seq)
    if before is None or before.boot_number is None or after.boot_number is None:
        return
    time_base = (after.boot_number, after.up_ms or 0)
    if time_base < (before.boot_number, before.up_ms or 0):
        reordered.append(after.seq)


def _continues(before: Punch | Stored | None, after: Punch | Stored) -> bool:
    """Whether PREV fits, as far as that can be told."""
    if after.seq == 1:
        return after.prev == ""
    if before is None or before.seq != after.seq - 1 or before.hash is None:
        return True
    return after.prev == before.hash


def judge_conflicts(
    conflicts: Sequence[Punch],
    batch: Mapping[int, Punch],
    stored: Mapping[int, Stored],
    kept: Iterable[tuple[int, str]],
) -> list[Finding]:
    """Findings about conflicts (in order of SEQ); `kept`: (SEQ, hash) of conflicts known before."""
    branches = set(kept) | {(punch.seq, punch.hash) for punch in conflicts}
    forks: list[int] = []
    rewritten: list[int] = []
    for punch in conflicts:
        before = stored.get(punch.seq - 1)
        fits = (
            punch.seq == 1
            or (before is not None and punch.prev == before.hash)
            or (punch.seq - 1, punch.prev or "") in branches
        )
        following = batch.get(punch.seq + 1)
        old = stored.get(punch.seq)
        goes_on = following is None or old is None or following.prev != old.hash
        (forks if fits and goes_on else rewritten).append(punch.seq)
    return [
        *ranges("fork", forks, "another continuation of the chain came under these numbers"),
        *ranges("rewritten", rewritten, "other content came under these numbers"),
    ]


def ranges(kind: str, numbers: Iterable[int], detail: str) -> list[Finding]:
    """One finding for each run of numbers."""
    found: list[Finding] = []
    for number in sorted(set(numbers)):
        if found and found[-1].last_seq == number - 1:
            found[-1] = found[-1]._replace(last_seq=number)
        else:
            found.append(Finding(kind, number, number, detail))
    return found


def missing(numbers: Iterable[int], first: int, end: int) -> Iterable[tuple[int, int]]:
    """The ranges (inclusive) of [first, end) that hold none of the ascending numbers."""
    for number in numbers:
        if number >= end:
            break
        if number > first:
            yield first, number - 1
        first = number + 1
    if first < end:
        yield first, end - 1
