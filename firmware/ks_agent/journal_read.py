"""Reading the journal: the punches that the server lacks, oldest first, and where to go on.

A place is (number of the segment, position in it, Tail before the record there, lowest SEQ from
which on every punch is held). Position 0 is the head of a segment that is not read yet.
"""

from .errors import Corrupt
from .segment import HEADER_BYTES, RECORD_MAX_BYTES
from .segment_read import parse_header, parse_record

# Not there, a folder, or what LittleFS calls corrupt: nothing that passes.
GONE = (2, 21, 84)


class Segment:
    """The records of one segment; a context manager. Raises OSError, Corrupt where it is gone."""

    def __init__(self, journal, number):
        self._journal = journal
        self._number = number
        self._buffer = memoryview(bytearray(RECORD_MAX_BYTES))

    def __enter__(self):
        try:
            self._file = self._journal.fs.open(self._journal.path(self._number), "rb")
        except OSError as error:
            if not error.args or error.args[0] not in GONE:
                raise
            raise Corrupt("a segment is gone")
        return self

    def __exit__(self, *_):
        self._file.close()

    def head(self):
        """The Tail that the first record follows. Raises Corrupt."""
        return parse_header(bytes(self._read(0, HEADER_BYTES)))

    def next(self, at, tail):
        """(punch, Tail after it, position after it); None at the end. Raises Corrupt."""
        data = self._read(at, RECORD_MAX_BYTES)
        if not data:
            return None
        punch, following, length = parse_record(data, tail, self._journal.sha256)
        return punch, following, at + length

    def _read(self, at, count):
        if self._number == self._journal.last:  # what a failed append left is no record
            count = max(min(count, self._journal.size - at), 0)
        self._file.seek(at)
        view = self._buffer[:count]
        return view[: self._file.readinto(view)] if count else view


def at_head(number, tail=None, low=None):
    return (number, 0, tail, low)


def batch(journal, limit):
    """The oldest punches that are not acknowledged, at most `limit`, all of one journal id.

    (punches, place after them, numbers of damaged segments that were passed by). Raises OSError.
    """
    punches = []
    damaged = []
    place = journal.place or at_head(journal.first)
    while place[0] <= journal.last:
        try:
            with Segment(journal, place[0]) as segment:
                entered = _entered(segment, place)
                if punches and not _goes_on(place, entered):
                    break
                place, ended = _take(segment, entered, punches, limit)
        except Corrupt:
            if not punches:  # else what came before the damage goes first
                damaged.append(place[0])
                place = at_head(place[0] + 1)
                continue
            break
        if not ended or place[0] == journal.last:
            break
        place = at_head(place[0] + 1, *place[2:])
    return punches, place, damaged


def _goes_on(place, entered):
    """Another journal id, and what follows a hole, is for another batch."""
    return (place[2].jid, place[3]) == (entered[2].jid, entered[3])


def _entered(segment, place):
    """The place, behind the head of its segment."""
    number, at, before, low = place
    if at:
        return place
    tail = segment.head()
    if before is None or (before.jid, before.seq) != (tail.jid, tail.seq):
        low = tail.seq + 1
    return (number, HEADER_BYTES, tail, low)


def _take(segment, place, punches, limit):
    """(place after the punches added to the list, whether the segment ends there).

    Raises Corrupt where the first one that would be added is damaged.
    """
    number, at, tail, low = place
    ended = False
    while len(punches) < limit and not ended:
        try:
            found = segment.next(at, tail)
        except Corrupt:
            if at == place[1]:
                raise
            break
        if found is None:
            ended = True
        else:
            punch, tail, at = found
            punches.append(punch)
    return (number, at, tail, low), ended


def settle(journal, place, ack_seq):
    """The server answered the batch that ends at `place`: it holds all up to `ack_seq`.

    False where it holds more than this journal ever had: the flash has lost its end, and the
    numbers must not be used again.
    """
    tail = place[2]
    mine = journal.tail is not None and tail.jid == journal.tail.jid
    lost = mine and ack_seq > journal.tail.seq
    if ack_seq != tail.seq and not lost:
        found = find(journal, tail.jid, ack_seq)
        # A number that is there twice never leads back, which would go on for ever.
        if ack_seq < tail.seq or found[:2] > place[:2]:
            place = found
    _advance(journal, place)
    if lost and journal.is_settled():
        journal.begin_anew()
        return False
    return True


def believe(journal, ack_seq):
    """What a heartbeat's answer said of the newest journal id; older ones are for batches."""
    tail = journal.tail
    if tail is None or ack_seq > tail.seq:
        return
    place = journal.place
    if place is None:
        try:
            with Segment(journal, journal.first) as segment:
                if segment.head().jid != tail.jid:
                    return
        except Corrupt:
            return
    elif place[2] is None or place[2].jid != tail.jid or place[2].seq == ack_seq:
        return
    _advance(journal, find(journal, tail.jid, ack_seq))


def _advance(journal, place):
    journal.place = place
    journal.settled = min(place[0], journal.last)  # lower again for a server that lost some


def find(journal, jid, ack_seq):
    """The place after the punch `ack_seq` of a journal id, or the first one after that is held."""
    place = at_head(journal.first)
    for number in range(journal.first, journal.last + 1):
        try:
            with Segment(journal, number) as segment:
                head = segment.head()
        except Corrupt:
            continue
        if head.jid == jid and (place[2] is None or place[2].seq < head.seq <= ack_seq):
            place = (number, HEADER_BYTES, head, head.seq + 1)
        elif place[2] is not None:
            break
    return place if place[2] is None else _walk(journal, place, ack_seq)


def _walk(journal, place, ack_seq):
    number, at, tail, low = place
    try:
        with Segment(journal, number) as segment:
            while tail.seq < ack_seq:
                found = segment.next(at, tail)
                if found is None:
                    break
                _, tail, at = found
    except Corrupt:
        return (number, at, tail, low)  # for the next batch to find, and to tell
    if tail.seq < ack_seq and number < journal.last:
        return at_head(number + 1)
    return (number, at, tail, low)
