"""A journal on its flash."""

from fake_ports import CRYPTO, NOW_MS, Fs, Rng

from ks_agent.journal import SEGMENT_BYTES, Journal
from ks_agent.journal_read import batch, settle
from ks_agent.punch import prev_of, punch_hash

SEGMENT = SEGMENT_BYTES


class Desk:
    """A journal on its flash; a boot forgets all but the flash."""

    def __init__(self, segments=None):
        self.fs = Fs()
        self.rng = Rng()
        self.ticks = 0
        self.limit_kib = None if segments is None else segments * SEGMENT // 1024
        self.boot()

    def boot(self):
        self.journal = Journal(self.fs, CRYPTO, self.rng)
        if self.limit_kib is not None:
            self.journal.limit_kib = self.limit_kib
        self.ticks = 0

    def punch(self, e1="12E45678"):
        self.ticks += 172000
        return self.journal.append(e1, "IN", "RFID", True, 1, self.ticks, NOW_MS + self.ticks)

    def fill(self, count, e1="12E45678"):
        return [self.punch(e1) for _ in range(count)]

    def segments(self):
        return sorted(path for path in self.fs.files if path.startswith("data/journal/"))

    def sent(self, limit=20, whole=True):
        """All that is not acknowledged, read in batches, or the SEQs; nothing is settled."""
        journal = self.journal
        journal.recover() if not journal.opened else None
        kept = journal.place
        punches = []
        while True:
            rows, place, damaged = batch(journal, limit)
            if not rows and not damaged:
                break
            punches += rows if whole else [int(row["SEQ"]) for row in rows]
            journal.place = place
        journal.place = kept
        return punches

    def acknowledge(self, limit=20):
        """One batch is sent and settled; the punches in it."""
        rows, place, _ = batch(self.journal, limit)
        if rows:
            settle(self.journal, place, place[2].seq)
        return rows


def check_chain(punches):
    for number in range(1, len(punches)):
        before, after = punches[number - 1], punches[number]
        assert after["JID"] != before["JID"] or (
            int(after["SEQ"]) == int(before["SEQ"]) + 1
            and after["PREV"] == prev_of(punch_hash(CRYPTO.sha256, before))
        )
