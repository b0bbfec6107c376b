"""Scenarios of the journal: a punch that beeped is there after any cut, once and in order.

Runs on CPython and MicroPython; see cut_records.py for what a scenario is. Notes are ("try", E1)
before an append, ("beep", punch) after it, ("held", punch) for what a boot found that may have had
no beep, ("sent", punch) for what a server has got, and ("acked", SEQ).
"""

import hashlib

from ks_agent import journal as journal_module
from ks_agent.journal import Full, Journal
from ks_agent.journal_read import batch, settle
from ks_agent.punch import prev_of, punch_hash

START_MS = 1795000000000
# With E1 as long as it can be, few punches fill a segment.
LONG = "employee-" * 7
BATCH = 20
# Notes of punches that are not to be lost.
KNOWN = ("beep", "held", "sent")
LAST_MS = 10**9


class Crypto:
    def sha256(self):
        return hashlib.sha256()


class Rng:
    """Ids that tell journals apart: each begins with another digit."""

    count = 0

    def random_bytes(self, count):
        Rng.count += 1
        return bytes([Rng.count % 256]) * count


class Punching:
    """What all of them share; `journal` is the class under test."""

    limit_kib = 64
    kept = journal_module.KEPT
    reserve_bytes = journal_module.RESERVE_BYTES

    def __init__(self, journal=Journal):
        self._class = journal
        self._up_ms = 0

    def open(self, fs):
        journal_module.KEPT = self.kept
        journal_module.RESERVE_BYTES = self.reserve_bytes
        journal = self._class(fs, Crypto(), Rng())
        journal.limit_kib = self.limit_kib
        journal.recover()
        return journal

    def prepare(self, fs):
        """Before the first cut; "beep" notes of it are in self.before."""
        if not fs.is_dir("data"):
            fs.mkdir("data")
        self.before = []
        self._up_ms = 0
        self.fill(self.open(fs), self.before.append)

    def fill(self, journal, note):
        pass

    def run(self, fs, note):
        self.work(self.open(fs), note)

    def punch(self, journal, e1, note):
        self._up_ms += 700
        note(("try", e1))
        up_ms = self._up_ms
        punch = journal.append(e1, "IN", "RFID", True, 3, up_ms, START_MS + up_ms)
        note(("beep", punch))

    def punches(self, journal, count, note, e1=None):
        for number in range(count):
            self.punch(journal, e1 or "%08X" % (number * 2654435761 & 0xFFFFFFFF), note)

    def to_the_end_of_the_segment(self, journal, note, spare=0):
        """At least one, and as many as leave less than a long record's room, or `spare` fewer."""
        self.punch(journal, LONG, note)
        while journal.size + 90 * (spare + 1) <= journal_module.SEGMENT_BYTES:
            self.punch(journal, LONG, note)

    def fill_up(self, journal, note):
        """Until it is refused, and whether that was so; else a recovery says what it thinks."""
        for _ in range(120):
            try:
                self.punch(journal, LONG, note)
            except Full:
                note(("full", ""))
                return True
        return False

    def upload(self, journal, note):
        """All of it, acknowledged batch by batch."""
        while not journal.is_settled():
            punches, place, damaged = batch(journal, BATCH)
            assert punches and not damaged, damaged
            for punch in punches:
                note(("sent", punch))
            settle(journal, place, int(punches[-1]["SEQ"]))
            note(("acked", int(punches[-1]["SEQ"])))

    def recover(self, fs, told, note):
        told = self.before + list(told)
        journal = self.open(fs)
        assert not journal.damaged
        present = read_all(journal)
        check(present, told)
        for punch in present[-1:]:
            note(("held", punch))
        note(("try", "AFTER"))
        try:
            extra = journal.append("AFTER", "OUT", "PIN", False, 4, LAST_MS, START_MS + LAST_MS)
        except Full:
            assert self.may_be_full, "full"
            return
        note(("beep", extra))
        again = read_all(self.open(fs))
        check(again, [("beep", punch) for punch in (present + [extra])[-len(again) :]])
        assert again[-1] == extra, "what was punched after the cut"

    may_be_full = False


def read_all(journal):
    """Everything that is held, whether acknowledged or not."""
    journal.place = None
    punches = []
    while True:
        found, place, damaged = batch(journal, 1000)
        assert not damaged, "damaged segments %s" % damaged
        if not found:
            return punches
        punches += found
        journal.place = place


def check(present, told):
    """What is present, in the light of what was told before the cut."""
    for index in range(1, len(present)):
        before, after = present[index - 1], present[index]
        assert int(after["SEQ"]) == int(before["SEQ"]) + 1, "SEQ after %s" % before["SEQ"]
        assert after["PREV"] == prev_of(punch_hash(hashlib.sha256, before)), "PREV"
        assert after["JID"] == before["JID"], "JID"
    by_seq = {punch["SEQ"]: punch for punch in present}
    known = [int(what["SEQ"]) for kind, what in told if kind in KNOWN]
    acked = max([0] + [what for kind, what in told if kind == "acked"])
    for kind, what in told:
        if kind in KNOWN:
            held = by_seq.get(what["SEQ"])
            assert held == what or (held is None and int(what["SEQ"]) <= acked), (
                "%s of SEQ %s: %s" % (kind, what["SEQ"], held)
            )
    highest = max([0] + known)
    more = [punch for punch in present if int(punch["SEQ"]) > highest]
    assert len(more) <= 1, "%d more than beeped" % len(more)
    assert not more or told[-1] == ("try", more[0]["E1"]), "a punch that nobody tried"
    assert present or highest <= acked, "nothing"


class Append(Punching):
    """The first punches of a terminal, folders included, and some more."""

    name = "append"

    def work(self, journal, note):
        self.punches(journal, 12, note)
        self.punch(journal, LONG, note)


class AppendLate(Punching):
    """Punches into a segment that is nearly full already."""

    name = "append late"

    def fill(self, journal, note):
        self.to_the_end_of_the_segment(journal, note, 4)

    def work(self, journal, note):
        self.punches(journal, 3, note)


class Roll(Punching):
    """From one segment to the next."""

    name = "roll"

    def fill(self, journal, note):
        self.to_the_end_of_the_segment(journal, note, 1)

    def work(self, journal, note):
        self.punches(journal, 4, note, LONG)


class Drop(Punching):
    """Acknowledged segments make room, some at once."""

    name = "drop"
    kept = 1
    limit_kib = 16

    def fill(self, journal, note):
        for _ in range(4):
            self.to_the_end_of_the_segment(journal, note)

    def work(self, journal, note):
        self.upload(journal, note)
        self.punches(journal, 3, note, LONG)
        assert journal.first > 0, "nothing was dropped"


class DropWhenFull(Drop):
    """A full journal is uploaded in part: punches fit again, and drop one segment after another."""

    name = "drop when full"
    limit_kib = 8
    kept = journal_module.KEPT

    def fill(self, journal, note):
        self.fill_up(journal, note)

    def work(self, journal, note):
        try:
            self.punch(journal, LONG, note)
            raise AssertionError("one more than fits")
        except Full:
            note(("full", ""))
        self.upload(journal, note)
        self.punches(journal, 3, note, LONG)
        assert journal.first > 0, "nothing was dropped"


class FullJournal(Punching):
    """The last punches that fit, and those that are refused."""

    name = "full journal"
    limit_kib = 4
    may_be_full = True

    def fill(self, journal, note):
        while journal.left() > 3:
            self.punch(journal, LONG, note)

    def work(self, journal, note):
        self.fill_up(journal, note)


class NoSpace(Punching):
    """Something else has taken the flash's last blocks, the reserve too."""

    name = "no space"
    may_be_full = True
    reserve_bytes = 0

    def fill(self, journal, note):
        self.to_the_end_of_the_segment(journal, note, 1)
        with journal.fs.open("data/other", "wb") as file:
            while journal.fs.room()[1]:
                file.write(bytes(512))
                journal.fs.sync(file)
        # There are two more for each of the two folders than it says; one of the four stays.
        with journal.fs.open("data/more", "wb") as file:
            for _ in range(3):
                file.write(bytes(4000))

    def work(self, journal, note):
        assert self.fill_up(journal, note), "never full"


class TornTail(Punching):
    """A record that is there in part, as a file system may leave it that is no LittleFS."""

    name = "torn tail"
    torn_bytes = 5

    def fill(self, journal, note):
        for _ in range(3):
            self.to_the_end_of_the_segment(journal, note, 30)
        path = journal.path(journal.last)
        before = journal.size
        self.punch(journal, LONG, [].append)
        journal.close()
        with journal.fs.open(path, "rb") as file:
            data = file.read(journal.size - self.torn_bytes)
        assert len(data) > before
        with journal.fs.open(path, "wb") as file:
            file.write(data)

    def work(self, journal, note):
        self.punches(journal, 2, note)


class Wiped(Punching):
    """WIPE: afterwards there is the journal, the end of it, or nothing, and never a new beginning
    under an old id."""

    name = "wipe"

    def fill(self, journal, note):
        for _ in range(3):
            self.to_the_end_of_the_segment(journal, note)

    def work(self, journal, note):
        note(("wipe", ""))
        journal.clear()
        note(("wiped", ""))

    def recover(self, fs, told, note):
        if not told:
            Punching.recover(self, fs, told, [].append)
            return
        journal = self.open(fs)
        journal.clear()
        journal = self.open(fs)
        assert read_all(journal) == []
        old = self.before[-1][1]["JID"]
        punch = journal.append("AFTER", "IN", "RFID", True, 4, 1, START_MS)
        assert punch["SEQ"] == "1" and punch["JID"] != old and punch["PREV"] == ""


SCENARIOS = (Append, AppendLate, Roll, Drop, DropWhenFull, FullJournal, NoSpace, TornTail, Wiped)
