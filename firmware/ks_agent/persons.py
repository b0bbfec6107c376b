"""The last punch of each person: for the duplicate window, and for directions that toggle.

A table of at most 7 KB with the latest punches of MOST persons; a further one takes the place that
was filled longest ago. At boot it is made anew from the journal.
"""

# First 6 bytes of SHA-256 of E1; UP in s, of this boot or 0; day as 2 bytes; direction.
KEY_BYTES = 6
ENTRY_BYTES = 13
MOST = 512
GROWTH = 32


class Persons:
    def __init__(self, sha256):
        self.sha256 = sha256
        self._table = bytearray()
        self._used = 0

    def find(self, e1):
        """(UP in s or 0, day, index of the direction) of the last punch; None without one."""
        at = self._place(self._key(e1))
        if at is None:
            return None
        entry = self._table[at + KEY_BYTES : at + ENTRY_BYTES]
        return int.from_bytes(entry[:4], "big"), int.from_bytes(entry[4:6], "big"), entry[6]

    def remember(self, e1, up_s, day, direction):
        key = self._key(e1)
        at = self._place(key)
        if at is None:
            at = self._free()
        entry = key + up_s.to_bytes(4, "big") + (day & 0xFFFF).to_bytes(2, "big")
        self._table[at : at + ENTRY_BYTES] = entry + bytes((direction,))

    def _key(self, e1):
        digest = self.sha256()
        digest.update(e1.encode())
        return digest.digest()[:KEY_BYTES]

    def _place(self, key):
        table = memoryview(self._table)
        for at in range(0, min(self._used * ENTRY_BYTES, len(table)), ENTRY_BYTES):
            if table[at : at + KEY_BYTES] == key:
                return at
        return None

    def _free(self):
        """Where the next person goes; the table grows while there is memory for it."""
        size = len(self._table)
        if self._used * ENTRY_BYTES == size < MOST * ENTRY_BYTES:
            try:
                self._table.extend(bytes(GROWTH * ENTRY_BYTES))
            except MemoryError:
                if not size:
                    raise
        at = self._used * ENTRY_BYTES % len(self._table)
        self._used += 1
        return at
