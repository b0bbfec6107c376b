"""A version of the allow list, downloaded page by page and then taken up at once.

Also what pages and versions are, shared with the server. `sha256` is a function without arguments
that gives a new hash; `rows` are those of the list CRED of a page: dicts with C1 and E1, sorted by
C1. Pages that the list in force has already are copied, not downloaded. A download that was
interrupted goes on where the file was synced last.

Heap, on 32 bits: 10,000 credentials in 128 pages take 30 KB at the most, while the signature of an
answer is verified, of the index or of a page; 17 KB between answers. An index of 256 pages takes
43 KB, a page of PAGE_MAX_ROWS 33 KB. The caller lets go of this module afterwards, of 6 KB.
"""

from binascii import crc32, unhexlify

from .allow_list import HEAD_BYTES, PATH, scan
from .effects import Sleep
from .errors import Corrupt, Malformed, Refused

OP = "allow-list"
NONE = "none"
NO_ROOM = "NO_ROOM"
DIGEST_CHARACTERS = 16
PAGES_MAX = 256
# More rows, and an answer has more than the 256 tokens that a terminal reads.
PAGE_MAX_ROWS = 120
E1_MAX_BYTES = 64

PARTIAL_PATH = PATH + ".new"
COPY_BYTES = 64
# Each sync of a part of a block costs an erase: a compromise with what is to be repeated.
SYNC_BYTES = 16384
RESERVE_BYTES = 65536
_HEX = "0123456789abcdef"


def credential_hash(sha256, credential):
    """C1 of a credential: 16 hex digits."""
    return _text(sha256, (credential.encode(),))


def page_of(c1, pages):
    """The page, from 0, that a credential belongs to when the list has so many pages."""
    return int(c1[:4], 16) * pages >> 16


def page_digest(sha256, rows):
    """AL4 of a page: 16 hex digits."""
    return _text(sha256, (("%s:%s\n" % (row["C1"], row["E1"])).encode() for row in rows))


def list_digest(sha256, digests):
    """AL1, the version of a list whose pages have these AL4: 16 hex digits."""
    return _text(sha256, ((digest + "\n").encode() for digest in digests))


def _text(sha256, pieces):
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return "".join(["%02x" % byte for byte in digest.digest()[: DIGEST_CHARACTERS // 2]])


def refresh(agent, allow_list, version, reserve_bytes=RESERVE_BYTES):
    """Steps that make `version` (AL1) the list in force; `none` removes the list.

    Until the last step the list in force is the old one. Raises PeerError for answers that are no
    such list (Refused NOT_FOUND: that version is not the current one any more), Refused NO_ROOM
    when less than `reserve_bytes` of flash would stay free, OSError when link or flash fail.
    """
    if version == NONE:
        agent.store.remove(PARTIAL_PATH)
        agent.store.remove(PATH)
        allow_list.load()
        return
    names = yield from _index(agent, version)
    try:
        yield from _build(agent, allow_list, version, names, reserve_bytes)
    except _NoRoom:
        agent.store.remove(PARTIAL_PATH)
        raise
    agent.ports.fs.rename(PARTIAL_PATH, PATH)
    allow_list.load()


def _build(agent, allow_list, version, names, reserve_bytes):
    partial = _Partial(agent.ports.fs, names, unhexlify(version.encode()), reserve_bytes)
    try:
        while partial.page < partial.pages:
            if partial.copy(allow_list):
                yield Sleep(0)  # whoever punches comes first
            else:
                # Under no name, which would hold a page while the next one takes its room.
                partial.add((yield from _rows(agent, version, partial)))
        partial.finish()
    finally:
        partial.close()


def _index(agent, version):
    """The AL4 of all pages, 8 bytes each."""
    answer = yield from agent.exchange.call(OP, {"AL1": version})
    digests = [row.get("AL4", "") for row in _list(answer, "PAGE")]
    pages = len(digests)
    if str(pages) != answer.get("AL3") or not 1 <= pages <= PAGES_MAX or pages & (pages - 1):
        raise Malformed("bad AL3")
    for digest in digests:
        _check_hex("AL4", digest)
    if answer.get("AL1") != version or version != list_digest(agent.ports.crypto.sha256, digests):
        raise Malformed("an index of another AL1")
    names = bytearray()
    for digest in digests:
        names.extend(unhexlify(digest.encode()))
    return names


def _rows(agent, version, partial):
    """The rows of the next page, which are what the index says."""
    number_text = str(partial.page)
    answer = yield from agent.exchange.call(OP, {"AL1": version, "AL2": number_text})
    if answer.get("AL1") != version or answer.get("AL2") != number_text:
        raise Malformed("another page")
    rows = _list(answer, "CRED")
    if len(rows) > PAGE_MAX_ROWS:
        raise Malformed("too many rows")
    last = ""
    for row in rows:
        c1 = row.get("C1", "")
        e1 = row.get("E1", "")
        _check_hex("C1", c1)
        if c1 <= last or page_of(c1, partial.pages) != partial.page:
            raise Malformed("C1 out of place")
        last = c1
        # A line break in E1 would make the digest that of other rows too.
        if not 0 < len(e1.encode()) <= E1_MAX_BYTES or min(e1) < " " or "\x7f" in e1:
            raise Malformed("bad E1")
    if unhexlify(page_digest(agent.ports.crypto.sha256, rows).encode()) != partial.name():
        raise Malformed("a page of another AL4")
    return rows


def _list(answer, key):
    rows = answer.get(key, [])
    if isinstance(rows, str):
        raise Malformed(key + " is no list")
    return rows


def _check_hex(key, text):
    if len(text) != DIGEST_CHARACTERS or text.strip(_HEX):
        raise Malformed("bad " + key)


class _Partial:
    """The file to be: `page` is the one that comes next of `pages`."""

    def __init__(self, fs, names, version, reserve_bytes):
        self._fs = fs
        self._names = names
        self._version = version
        self._reserve_bytes = reserve_bytes
        self.pages = len(names) // 8
        self._begin()
        self._make_room()
        mode = "ab"
        if not self._resume():
            self._begin()
            mode = "wb"
        self._file = fs.open(PARTIAL_PATH, mode)

    def _begin(self):
        self.page = 0
        self._size = 0
        self._synced = 0
        self._ended = False
        self._starts = bytearray()

    def _make_room(self):
        for folder in ("data", "data/allow"):
            if not self._fs.is_dir(folder):
                self._fs.mkdir(folder)
        self._check_room()

    def _check_room(self):
        if self._fs.room()[1] < self._reserve_bytes:
            raise _NoRoom(NO_ROOM, {"RTY": "3600"})

    def _resume(self):
        """Go over what an interrupted download left; False when it is not of use as it is."""
        try:
            size = self._fs.stat(PARTIAL_PATH)
            with self._fs.open(PARTIAL_PATH, "rb") as file:
                while self.page < self.pages and self._size < size:
                    self._count(self._checked(file, self._size))
                file.seek(self._size)
                rest = file.read(4 * PAGES_MAX + 64)
        except (OSError, Corrupt):
            return False
        self._synced = size
        self._ended = bool(rest)
        return not rest or (self.page == self.pages and rest == self._end())

    def name(self):
        return bytes(self._names[8 * self.page : 8 * self.page + 8])

    def _checked(self, file, start):
        """Bytes of the next page, which begins at `start`. Raises Corrupt for any other one."""
        file.seek(start)
        head = file.read(HEAD_BYTES)
        if head[3:] != self.name():
            raise Corrupt("another page")
        scan(file, start, self.page, b"")
        return HEAD_BYTES + head[2] * (8 + head[1]) + 4

    def copy(self, allow_list):
        """The next page from the list in force; False when that has not got it, undamaged."""
        if allow_list.pages != self.pages:
            return False
        try:
            with self._fs.open(PATH, "rb") as file:
                start = allow_list.start(file, self.page)
                length = self._checked(file, start)
        except (OSError, Corrupt):
            return False
        with self._fs.open(PATH, "rb") as file:
            file.seek(start)
            for position in range(0, length, COPY_BYTES):
                self._file.write(file.read(min(COPY_BYTES, length - position)))
        self._added(length)
        return True

    def add(self, rows):
        """The next page from its rows."""
        width = 0
        for row in rows:
            width = max(width, len(row["E1"].encode()))
        head = bytes((self.page, width, len(rows))) + self.name()
        self._file.write(head)
        crc = crc32(head)
        for row in rows:
            e1 = row["E1"].encode()
            data = unhexlify(row["C1"].encode()) + e1 + b"\xff" * (width - len(e1))
            self._file.write(data)
            crc = crc32(data, crc)
        self._file.write(crc.to_bytes(4, "little"))
        self._added(HEAD_BYTES + len(rows) * (8 + width) + 4)

    def _added(self, length):
        self._count(length)
        if self._size - self._synced >= SYNC_BYTES:
            self._fs.sync(self._file)
            self._synced = self._size
            self._check_room()

    def _count(self, length):
        self._starts.extend(self._size.to_bytes(4, "little"))
        self._size += length
        self.page += 1

    def _end(self):
        end = bytes(self._starts) + b"A1" + bytes((self.pages - 1,)) + self._version
        return end + crc32(end).to_bytes(4, "little")

    def finish(self):
        if not self._ended:
            self._file.write(self._end())
        self._fs.sync(self._file)

    def close(self):
        self._file.close()


class _NoRoom(Refused):
    """Refused by this terminal itself: trying again soon would wear the flash."""
