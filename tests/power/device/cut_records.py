"""Scenarios of state records: after a cut a record is the old one or the new one, never neither.

Runs on CPython and MicroPython. A scenario has prepare(fs) before the cuts, run(fs, note) with a
cut somewhere, and recover(fs, told, note) on what that left, which may be cut itself; `told` are
the notes up to the cut.
"""

from ks_agent.store import STATE, Store

SMALL = STATE + "small.toon"
LARGE = STATE + "large.toon"
GONE = STATE + "gone.toon"


class Records:
    """Small records, which LittleFS keeps in its directories, and larger ones, which get blocks."""

    name = "records"

    def __init__(self, store=Store):
        self._store = store

    def prepare(self, fs):
        store = self._store(fs)
        for path in (SMALL, LARGE, GONE):
            store.write(path, _record(path, 0))

    def run(self, fs, note):
        store = self._store(fs)
        for number in range(1, 7):
            for path in (SMALL, LARGE):
                note((path, number, False))
                store.write(path, _record(path, number))
                note((path, number, True))
            if number == 4:
                note((GONE, None, False))
                store.remove(GONE)
                note((GONE, None, True))

    def recover(self, fs, told, note):
        store = self._store(fs)
        for path in (SMALL, LARGE, GONE):
            allowed = [self.first]
            # Those that were begun since, in this boot and in those before.
            for of, number, done in told:
                if of == path:
                    allowed = [number] if done else allowed + [number]
            found = store.read(path)
            assert found in [_record(path, number) for number in allowed], (path, found)
        note((SMALL, 99, False))
        store.write(SMALL, _record(SMALL, 99))
        note((SMALL, 99, True))
        assert Store(fs).read(SMALL) == _record(SMALL, 99)

    first = 0


def _record(path, number):
    if number is None:
        return None
    rest = "x" * (400 if path == LARGE else 8)
    return {"A1": "a" + str(number), "MSG1": rest}


class First(Records):
    """The first records of a terminal, and with them the folders."""

    name = "first records"
    first = None

    def prepare(self, fs):
        pass


SCENARIOS = (Records, First)
