"""The journal: each punch on flash, synced, before anybody hears the beep; kept until the server
has it.

Segments of one flash block, numbered in order, are appended to and dropped whole. Reading them back
is in journal_read, finding the end of them at boot in journal_boot; see segment for the format.
"""

from .errors import LocalError
from .ports import random_hex
from .punch import punch_hash
from .segment import HEADER_BYTES, RECORD_MAX_BYTES, Tail, header, record

FOLDER = "data/journal"
SEGMENT_BYTES = 4096
# What the file system itself and the records beside the journal need.
RESERVE_BYTES = 98304
DEFAULT_KIB = 16384
# Segments that the server has acknowledged stay for a server that comes back from a backup.
KEPT = 16
# LittleFS keeps names and places of files in blocks of their own.
SEGMENTS_A_NAME_BLOCK = 22
# At least so many punches fit into a segment, whatever is punched.
FEWEST = (SEGMENT_BYTES - HEADER_BYTES) // RECORD_MAX_BYTES
NO_SPACE = 28


class Full(LocalError):
    """No room for another punch: nothing is ever overwritten."""

    code = "FULL"


class Journal:
    """`first` and `last` are the numbers of the oldest and the newest segment; segments below
    `settled` hold nothing that the server has not acknowledged.

    `tail` is what the next punch follows, None where it begins a journal with an id of its own.
    `place` is where the first punch lies that is not acknowledged: (number of the segment,
    position in it, Tail before it, lowest SEQ from which on all are there); None: not known yet.
    """

    def __init__(self, fs, crypto, rng):
        self.fs = fs
        self.sha256 = crypto.sha256
        self._rng = rng
        self._file = None
        self.limit_kib = DEFAULT_KIB
        self.forget()

    def forget(self):
        """Nothing is known of what is on flash: recover() finds it out."""
        self.close()
        self.opened = False
        self.first = 0
        self.last = -1
        self.settled = 0
        self.size = SEGMENT_BYTES
        self.capacity = 0
        self.damaged = False
        self.tail = None
        self.place = None

    def begin_anew(self):
        """The next punch begins a journal with an id of its own."""
        self.close()
        self.opened = True
        self.tail = None
        self.size = SEGMENT_BYTES
        self.place = (self.last + 1, 0, None, None)

    def path(self, number):
        return "%s/%08x.seg" % (FOLDER, number)

    def close(self):
        file = self._file
        self._file = None
        self.opened = False
        if file is not None:
            try:
                file.close()
            except OSError:
                pass

    def append(self, e1, a2, method, synced, boot, up_ms, time_ms):
        """The punch, stored. Raises Full, and OSError when the flash fails: then the punch may be
        there nevertheless, but nobody heard a beep, and who punched punches again.
        """
        if not self.opened:
            self.recover()
        tail = self.tail
        if tail is None:
            tail = Tail(random_hex(self._rng, 8), 0, "")
        punch = tail.punch(e1, a2, method, synced, boot, up_ms, time_ms)
        digest = punch_hash(self.sha256, punch)
        given = (digest, e1, a2, method, synced, boot, up_ms, time_ms)
        data = b"" if tail.boot is None else record(tail, *given)
        following = tail.after(digest, boot, up_ms, time_ms)
        try:
            if data and self.size + len(data) <= SEGMENT_BYTES:
                self._write(data)
            else:
                bare = Tail(tail.jid, tail.seq, tail.prev)
                self._begin(header(bare) + record(bare, *given))
        except Full:
            raise
        except BaseException as error:
            self.close()  # what is on flash now is found out before the next punch
            if isinstance(error, OSError) and error.args[:1] == (NO_SPACE,):
                raise Full("no space")
            raise
        self.tail = following
        return punch

    def _write(self, data):
        if self._file is None:
            self._file = self.fs.open(self.path(self.last), "ab")
        self._file.write(data)
        self.fs.sync(self._file)
        self.size += len(data)

    def _begin(self, data):
        """A new segment, with its first record: one without a record is no segment."""
        self._make_room()
        if self._file is not None:
            self._file.close()
        self._file = self.fs.open(self.path(self.last + 1), "wb")
        self._file.write(data)
        self.fs.sync(self._file)
        self.last += 1
        self.size = len(data)

    def _make_room(self):
        while self.first < self.settled and (
            self.settled - self.first > KEPT or self._held() >= self.capacity
        ):
            self.fs.remove(self.path(self.first))
            self.first += 1
        if self._held() >= self.capacity:
            raise Full("no room for a segment")

    def _held(self):
        return self.last - self.first + 1

    def measure(self):
        """How many segments there may be: by configuration, and by what the flash has left.

        Not while somebody waits for the beep: it takes thousands of reads.
        """
        free = max(self.fs.room()[1] - RESERVE_BYTES, 0) // SEGMENT_BYTES
        free -= free // SEGMENTS_A_NAME_BLOCK
        self.capacity = min(self.limit_kib * 1024 // SEGMENT_BYTES, self._held() + free)

    def used_percent(self):
        """What the server has not acknowledged, of the capacity (J1)."""
        used = self.last - self.settled + 1
        return min(used * 100 // self.capacity, 100) if self.capacity else 100

    def left(self):
        """At least so many more punches fit (J2)."""
        free = self.capacity - (self.last - self.settled + 1)
        here = (SEGMENT_BYTES - self.size) // RECORD_MAX_BYTES
        return max(free, 0) * FEWEST + here

    def is_settled(self):
        """Whether the server has acknowledged all that is there."""
        if self.last < self.first:
            return True
        place = self.place
        return place is not None and place[0] * SEGMENT_BYTES + place[1] >= self._end()

    def _end(self):
        return self.last * SEGMENT_BYTES + self.size

    def recover(self):
        """Find the end of what is on flash, and cut off what is torn. Raises OSError."""
        from .journal_boot import recover

        recover(self)

    def clear(self):
        """WIPE: nothing is left; may be interrupted and done again."""
        self.forget()
        while self.fs.is_dir(FOLDER):
            names = []
            for name in self.fs.listdir(FOLDER):
                names.append(name)
                if len(names) == KEPT:  # all of a full journal's would take too much memory
                    break
            if not names:
                return
            for name in names:
                self.fs.remove(FOLDER + "/" + name)
