"""Deliberate mistakes, one a class: what the harness is for must notice each of them.

Each stands beside the scenarios in which it does its harm.
"""

import cut_journals
import cut_records

from ks_agent.journal import SEGMENT_BYTES, Journal
from ks_agent.segment import Tail
from ks_agent.store import Store


class BeepBeforeSync(Journal):
    """The punch is written, but not synced when the beep sounds."""

    def _write(self, data):
        if self._file is None:
            self._file = self.fs.open(self.path(self.last), "ab")
        self._file.write(data)
        self.size += len(data)


class NewSegmentNotSynced(Journal):
    """Each punch is synced, but for the first of a segment."""

    def _begin(self, data):
        fs = self.fs
        self.fs = _WithoutSync(fs)
        try:
            Journal._begin(self, data)
        finally:
            self.fs = fs


class HeadLeftAlone(Journal):
    """The head of a segment is synced before its first record; alone, it passes for an end."""

    def _begin(self, data):
        Journal._begin(self, data[:28])
        self._write(data[28:])

    def recover(self):
        numbers = self.fs.listdir("data/journal") if self.fs.is_dir("data/journal") else []
        for name in numbers:
            if self.fs.stat("data/journal/" + name) <= 28:
                self.first = self.last = int(name[:8], 16)
                self.settled = self.last
                self.size = SEGMENT_BYTES
                self.capacity = 9
                self.opened = True
                return
        Journal.recover(self)


class TailNotCut(Journal):
    """Whatever an interrupted append left stays, and the next record comes after it."""

    def recover(self):
        from ks_agent import journal_boot

        cut = journal_boot._cut
        journal_boot._cut = _nothing
        try:
            Journal.recover(self)
        finally:
            journal_boot._cut = cut


class DroppedBeforeAcknowledged(Journal):
    """The oldest segment makes room, whoever has it."""

    def _make_room(self):
        self.measure()
        while self._held() >= self.capacity and self.first < self.last:
            self.fs.remove(self.path(self.first))
            self.first += 1


class DroppedInTheMiddle(Journal):
    """Acknowledged segments are removed, the newest of them first."""

    def _make_room(self):
        self.measure()
        for number in range(self.settled - 1, self.first - 1, -1):
            self.fs.remove(self.path(number))
        self.first = self.settled


class NumberUsedTwice(Journal):
    """After a boot, the last number is given once more."""

    def recover(self):
        Journal.recover(self)
        tail = self.tail
        if tail is not None:
            self.tail = Tail(tail.jid, tail.seq - 1, tail.prev, tail.boot, tail.up_ms, tail.time_ms)


class ChainForgotten(Journal):
    """After a boot, the chain begins anew."""

    def recover(self):
        Journal.recover(self)
        tail = self.tail
        if tail is not None:
            self.tail = Tail(tail.jid, tail.seq, "0" * 16, tail.boot, tail.up_ms, tail.time_ms)


class OverwritesWhenFull(Journal):
    """No room: the newest segment is written anew."""

    def _make_room(self):
        Journal.measure(self)
        if self._held() >= self.capacity:
            self.last -= 1


class WrittenTwice(Journal):
    """After a failure to read its own end, the journal adds the last record again."""

    def append(self, e1, a2, method, synced, boot, up_ms, time_ms):
        before = self.tail
        punch = Journal.append(self, e1, a2, method, synced, boot, up_ms, time_ms)
        if before is not None and before.seq % 3 == 0:
            Journal.append(self, e1, a2, method, synced, boot, up_ms, time_ms)
        return punch


class WipedByHalves(Journal):
    """WIPE leaves the newest segment."""

    def clear(self):
        self.forget()
        names = sorted(self.fs.listdir("data/journal"))
        for name in names[:-1]:
            self.fs.remove("data/journal/" + name)


JOURNALS = (
    (BeepBeforeSync, (cut_journals.Append, cut_journals.AppendLate)),
    (NewSegmentNotSynced, (cut_journals.Append, cut_journals.Roll)),
    (HeadLeftAlone, (cut_journals.Roll,)),
    (TailNotCut, (cut_journals.TornTail,)),
    (DroppedBeforeAcknowledged, (cut_journals.FullJournal, cut_journals.DropWhenFull)),
    (DroppedInTheMiddle, (cut_journals.Drop,)),
    (NumberUsedTwice, (cut_journals.Append, cut_journals.AppendLate)),
    (ChainForgotten, (cut_journals.Append, cut_journals.AppendLate)),
    (OverwritesWhenFull, (cut_journals.FullJournal,)),
    (WrittenTwice, (cut_journals.Append,)),
    (WipedByHalves, (cut_journals.Wiped,)),
)


class RenameBeforeSync(Store):
    """The record takes its place before its bytes are on flash."""

    def write_bytes(self, path, data):
        self._make_folders(path)
        file = self._fs.open(path + ".new", "wb")
        file.write(data)
        self._fs.rename(path + ".new", path)
        file.close()


class RemoveBeforeRename(Store):
    """The old record goes before the new one has taken its place."""

    def write_bytes(self, path, data):
        self._make_folders(path)
        with self._fs.open(path + ".new", "wb") as file:
            file.write(data)
            self._fs.sync(file)
        if self.exists(path):
            self._fs.remove(path)
        self._fs.rename(path + ".new", path)


class WrittenInPlace(Store):
    """The record is written over itself, in two pieces."""

    def write_bytes(self, path, data):
        self._make_folders(path)
        with self._fs.open(path, "wb") as file:
            for piece in (data[:40], data[40:]):
                file.write(piece)
                self._fs.sync(file)


STORES = (
    (RenameBeforeSync, (cut_records.Records, cut_records.First)),
    (RemoveBeforeRename, (cut_records.Records,)),
    (WrittenInPlace, (cut_records.Records, cut_records.First)),
)


def _nothing(*_):
    pass


class Through:
    """An `fs` port that hands on what it does not change."""

    def __init__(self, fs):
        self._fs = fs

    def __getattr__(self, name):
        return getattr(self._fs, name)


class _WithoutSync(Through):
    def sync(self, file):
        pass
