"""Who may punch: the allow list on flash, looked up without loading it. Made by allow_pages.

One file, replaced by one rename, so never a mix of versions:

    for each page  number 1, width 1, rows 1, AL4 8, then per row C1 8 and E1 filled up with 0xFF
                   to the page's width (no UTF-8 has that byte), then crc32 4 over all of these
    at the end     for each page its start 4, then "A1", pages - 1 in 1, AL1 8, crc32 4 over this

in bytes, little-endian. What is checked when: digests, order and buckets while downloading; the
end of the file when it is loaded, at boot; the crc32 of the one page that a lookup reads, by that
lookup. 10,000 credentials with E1 of 8 characters take 163,840 bytes of flash in blocks of 4 KiB
(122,880 with 4 characters), and twice that while a new version arrives. A lookup among them
allocates 2.8 KB on 32 bits in small pieces, of which it holds 0.6 KB at a time.
"""

from binascii import crc32, hexlify

from .errors import Corrupt

PATH = "data/allow/list.bin"
HEAD_BYTES = 11
TAIL_BYTES = 15


class AllowList:
    """`version`: AL1, or "" when none is held that is whole; `pages`: 0 when there is none."""

    def __init__(self, fs, sha256):
        self._fs = fs
        self._sha256 = sha256
        self.load()

    def load(self):
        """Take up what is on flash now; a list whose end is damaged counts as none."""
        self.version = ""
        self.pages = 0
        try:
            size = self._fs.stat(PATH)
            with self._fs.open(PATH, "rb") as file:
                file.seek(max(size - TAIL_BYTES, 0))
                tail = file.read(TAIL_BYTES)
                if tail[:2] != b"A1":
                    return
                pages = tail[2] + 1
                self._table = size - TAIL_BYTES - 4 * pages
                file.seek(max(self._table, 0))
                crc = crc32(tail[:11], crc32(file.read(4 * pages)))
        except (OSError, IndexError):
            return
        if number(tail[11:]) == crc:
            self.pages = pages
            self.version = hexlify(tail[3:11]).decode()

    def find(self, credential):
        """E1 of a credential; None for one that is not listed.

        Raises Corrupt when its page cannot be read: treat the credential as unknown. `version` is
        "" from then on, so that the list is asked for again; all other pages stay of use.
        """
        if not self.pages:
            return None
        digest = self._sha256()
        digest.update(credential.encode())
        c1 = digest.digest()[:8]
        page = (c1[0] << 8 | c1[1]) * self.pages >> 16
        try:
            with self._fs.open(PATH, "rb") as file:
                found = scan(file, self.start(file, page), page, c1)
        except (OSError, Corrupt) as error:
            self.version = ""
            raise Corrupt("allow list: " + str(error))
        return None if found is None else str(found.rstrip(b"\xff"), "utf-8")

    def start(self, file, page):
        """Where the page begins in the open file."""
        file.seek(self._table + 4 * page)
        return number(file.read(4))


def scan(file, start, page, c1):
    """The filled up E1 beside `c1` in the page that begins at `start`, or None.

    Reads the whole page, a row at a time. Raises Corrupt unless it is that page, and undamaged.
    """
    file.seek(start)
    head = file.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES or head[0] != page:
        raise Corrupt("page")
    row = bytearray(8 + head[1])
    key = memoryview(row)[:8]
    crc = crc32(head)
    found = None
    for _ in range(head[2]):
        file.readinto(row)  # one that is too short shows in the checksum
        crc = crc32(row, crc)
        if key == c1:
            found = bytes(row[8:])
    if number(file.read(4)) != crc:
        raise Corrupt("checksum")
    return found


def number(data):
    return int.from_bytes(data, "little")
