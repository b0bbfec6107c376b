"""What a boot does for the journal: find its end, cut off what is torn, count itself."""

from .errors import Corrupt, Malformed
from .journal import DEFAULT_KIB, FOLDER, SEGMENT_BYTES
from .journal_read import Segment
from .punch import DIRECTIONS
from .segment import (
    ANCHOR,
    BOOT_END,
    CHECK_BYTES,
    E1_MAX_BYTES,
    HEADER_BYTES,
    RECORD_MAX_BYTES,
    TIME_BYTES,
)
from .segment_read import parse_header
from .store import STATE
from .timetext import parse_ms

BOOTS_PATH = STATE + "boots.toon"
SUFFIX = ".seg"
NUMBERS_END = 1 << 30
PIECE_BYTES = 256
# How far back a day is looked for; more is not worth the time of a boot.
DAY_SEGMENTS = 4


def open_punches(agent):
    """Ready to take punches, and told of what was wrong. Without a journal each is refused."""
    punches = agent.punches
    journal = punches.journal
    journal.limit_kib = int(agent.config.get("JOURNAL_KIB", str(DEFAULT_KIB)))
    try:
        recover(journal)
        punches.boot = _count_boot(agent.store, journal.tail)
        if journal.tail is not None:
            agent.clock.not_before(journal.tail.time_ms)
        _remember_day(punches)
    except OSError as error:
        agent.log.add("FATAL", "journal not readable: %s" % error)
        try:
            punches.boot = punches.boot or _count_boot(agent.store, None)
        except OSError:
            pass  # nothing can be stored, so that none is taken
    if journal.damaged:
        agent.log.add("FATAL", "the journal's end is damaged: a new one begins")
    punches.reserve()
    punches.warn()


def _count_boot(store, tail):
    """BOOT, from 1: never one that a punch in the journal has already."""
    record = store.read_as(BOOTS_PATH, ("BOOT",)) or {}
    boot = int(record.get("BOOT", "0"))
    if not 0 <= boot < BOOT_END:
        boot = 0
    if tail is not None:
        boot = max(boot, tail.boot)
    store.write(BOOTS_PATH, {"BOOT": str(boot + 1)})
    return boot + 1


def _remember_day(punches):
    """Who punched last in which direction, on the day that the journal ends with."""
    journal = punches.journal
    if journal.tail is None:
        return
    day = punches.day(journal.tail.time_ms)
    first = journal.last
    while first > max(journal.first, journal.last - DAY_SEGMENTS + 1):
        if _days(punches, first, 1) < day:
            break
        first -= 1
    for number in range(first, journal.last + 1):
        _days(punches, number, None)


def _days(punches, number, most):
    """Remember the punches of a segment, at most so many; the day of the last of them."""
    day = 0
    try:
        with Segment(punches.journal, number) as segment:
            found = segment.next(HEADER_BYTES, segment.head())
            while found is not None:
                punch, tail, at = found
                day = punches.day(parse_ms(punch["A3"]))
                punches.persons.remember(punch["E1"], 0, day, DIRECTIONS.index(punch["A2"]))
                if most == 1:
                    break
                found = segment.next(at, tail)
    except (Corrupt, Malformed):
        pass
    return day


def recover(journal):
    """Make the journal ready for the next punch. Raises OSError.

    Only an append that the power interrupted is cut off: less than one record, which nobody heard a
    beep for. More than that is damage: it stays where it is, and the next punch begins a journal
    with another id, so that no number is used twice.
    """
    numbers = _numbers(journal.fs)
    journal.first = numbers[0] if numbers and numbers[-1] < NUMBERS_END else 0
    journal.last = journal.first - 1
    for number in numbers:
        journal.last += 1
        if number != journal.last:  # nobody is to look for what is gone, one after the other
            journal.fs.rename(journal.path(number), journal.path(journal.last))
            journal.settled = 0
            journal.place = None
    journal.tail = None
    while journal.last >= journal.first:
        size = journal.fs.stat(journal.path(journal.last))
        journal.size = size
        at, tail = _end(journal)
        if not _is_torn(journal, at):
            journal.damaged = True
            break
        if at:
            if size > at:
                _cut(journal.fs, journal.path(journal.last), at)
            journal.size = at
            journal.tail = tail
            break
        journal.fs.remove(journal.path(journal.last))
        journal.last -= 1
    if journal.tail is None:
        journal.size = SEGMENT_BYTES
    journal.settled = max(journal.settled, journal.first)
    journal.measure()
    journal.opened = True


def _numbers(fs):
    numbers = []
    for folder in ("data", FOLDER):
        if not fs.is_dir(folder):
            fs.mkdir(folder)
    torn = []
    for name in fs.listdir(FOLDER):
        digits = name[: -len(SUFFIX)]
        if name.endswith(SUFFIX) and len(digits) == 8 and not digits.strip("0123456789abcdef"):
            numbers.append(int(digits, 16))
        elif name.endswith(".new"):
            torn.append(name)  # what an interrupted cut left
    for name in torn:
        fs.remove(FOLDER + "/" + name)
    numbers.sort()
    return numbers


def _end(journal):
    """(position, Tail) after the last whole record of the newest segment; (0, None) for none."""
    at, tail = 0, None
    try:
        with Segment(journal, journal.last) as segment:
            found = segment.next(HEADER_BYTES, segment.head())
            while found is not None:
                _, tail, at = found
                found = segment.next(at, tail)
    except Corrupt:
        pass
    return at, tail


def _is_torn(journal, at):
    """Whether there is no more after `at` than the power left of one append: not a whole record.

    Whatever else is there had beeped. Bytes at the end that were never written do not count.
    """
    if journal.size - at > RECORD_MAX_BYTES + HEADER_BYTES:
        return False
    with journal.fs.open(journal.path(journal.last), "rb") as file:
        file.seek(at)
        data = file.read().rstrip(b"\xff\0")
    if not at and len(data) > HEADER_BYTES:
        try:
            parse_header(data[:HEADER_BYTES])
        except Corrupt:
            return False
        data = data[HEADER_BYTES:]
    elif not at:
        return True
    return len(data) < _record_bytes(data)


def _record_bytes(data):
    """How long the record is that begins so; more than is there where that cannot be told."""
    try:
        at = 2
        for _ in range(2 if data[1] & ANCHOR else 1):
            while data[at] > 127:
                at += 1
            at += 1
    except IndexError:
        return len(data) + 1
    if data[1] & ANCHOR:
        at += TIME_BYTES
    return at + (data[1] & 127) + CHECK_BYTES if data[1] & 127 <= E1_MAX_BYTES else 0


def _cut(fs, path, size):
    """Leave the first `size` bytes of a file, or all of it where the power goes."""
    shorter = path + ".new"
    with fs.open(path, "rb") as file, fs.open(shorter, "wb") as copy:
        while size:
            piece = file.read(min(size, PIECE_BYTES))
            copy.write(piece)
            size -= len(piece)
        fs.sync(copy)
    fs.rename(shorter, path)
