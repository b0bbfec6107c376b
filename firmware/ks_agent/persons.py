"""The last punch of each person: for the duplicate window, and for directions that toggle.

A table of a few KB with the latest punches of at most MOST persons; with more of them, whoever's
place is taken is forgotten. At boot it is made anew from the journal.
"""

# First 6 bytes of SHA-256 of E1; UP in s, of this boot or 0; day + 1 as 2 bytes; direction.
KEY_BYTES = 6
ENTRY_BYTES = 13
FEWEST = 32
MOST = 512
PROBES = 8


class Persons:
    def __init__(self, sha256):
        self.sha256 = sha256
        self._slots = FEWEST
        self._table = bytearray(FEWEST * ENTRY_BYTES)

    def find(self, e1):
        """(UP in s or 0, day, index of the direction) of the last punch; None without one."""
        at, known = self._place(self._key(e1))
        if not known:
            return None
        entry = self._table[at + KEY_BYTES : at + ENTRY_BYTES]
        return int.from_bytes(entry[:4], "big"), int.from_bytes(entry[4:6], "big"), entry[6]

    def remember(self, e1, up_s, day, direction):
        key = self._key(e1)
        at = self._place(key)[0]
        if at is None:
            self._grow()
            at = self._place(key)[0]
            if at is None:
                at = self._first(key)
        entry = key + up_s.to_bytes(4, "big") + (day & 0xFFFF).to_bytes(2, "big")
        self._table[at : at + ENTRY_BYTES] = entry + bytes((direction,))

    def _key(self, e1):
        digest = self.sha256()
        digest.update(e1.encode())
        return digest.digest()[:KEY_BYTES]

    def _first(self, key):
        return int.from_bytes(key[:2], "big") % self._slots * ENTRY_BYTES

    def _place(self, key):
        """(position of the person's entry or of a free one, whether it is the person's)."""
        free = None
        at = self._first(key)
        for _ in range(PROBES):
            found = self._table[at : at + KEY_BYTES]
            if found == key:
                return at, True
            if free is None and not any(found):
                free = at
            at = (at + ENTRY_BYTES) % len(self._table)
        return free, False

    def _grow(self):
        """Twice as large, where there is memory for it."""
        old = self._table
        if self._slots >= MOST:
            return
        try:
            self._table = bytearray(len(old) * 2)
        except MemoryError:
            return
        self._slots *= 2
        for start in range(0, len(old), ENTRY_BYTES):
            key = bytes(old[start : start + KEY_BYTES])
            if any(key):
                at = self._place(key)[0]
                if at is None:
                    at = self._first(key)
                self._table[at : at + ENTRY_BYTES] = old[start : start + ENTRY_BYTES]
