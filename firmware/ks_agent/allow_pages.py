"""A version of the allow list, downloaded page by page and then taken up at once.

Also what pages and versions are, shared with the server. A page is the text of its rows, `C1=E1`
each, sorted by C1 and joined by `;`, which TOON need not quote; an index is the digests of all
pages, in order and without anything between them. `sha256` is a function without arguments that
gives a new hash. Pages that the list in force has already are copied, not downloaded. A download
that was interrupted goes on where the file was synced last.

Heap, on 32 bits, above what lives before: 10,000 credentials in 128 pages take 23 KB at the most
with E1 of 8 characters, 20 KB with 4, while the answer of the longest page is parsed; the index of
256 pages takes 26 KB while its signature is verified. The caller lets go of this module afterwards.
"""

from binascii import crc32, hexlify, unhexlify

from . import tokens
from .allow_list import HEAD_BYTES, PATH, AllowList, scan
from .effects import Sleep
from .errors import Corrupt, Malformed, PeerError, Refused

OP = "allow-list"
NONE = "none"
NO_ROOM = "NO_ROOM"
PAGES_MAX = 256

PARTIAL_PATH = PATH + ".new"
COPY_BYTES = 64
# Each sync of a part of a block costs an erase: a compromise with what is to be repeated.
SYNC_BYTES = 16384
RESERVE_BYTES = 65536


def text_digest(sha256, text):
    """16 hex digits: C1 of a credential, the digest of a page, AL1 of an index."""
    return hexlify(_digest(sha256, text.encode())).decode()


def page_of(c1, pages):
    """The page, from 0, that a credential belongs to when the list has so many pages."""
    return int(c1[:4], 16) * pages >> 16


def page_text(rows):
    """AL5 of a page whose (C1, E1) are these, in order."""
    return ";".join([c1 + "=" + e1 for c1, e1 in rows])


def _digest(sha256, data):
    digest = sha256()
    digest.update(data)
    return digest.digest()[:8]


def take(agent, version):
    """refresh, where a list that is none holds up nothing. Raises Refused and OSError."""
    punches = agent.punches
    held = punches.allow_list or AllowList(agent.ports.fs, agent.ports.crypto.sha256)
    try:
        yield from refresh(agent, held, version)
        punches.load_list()
        punches.journal.measure()
    except Refused:
        raise
    except PeerError as error:
        agent.log.error("allow list not taken: %s %s" % (error.code, error))


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
    partial = _Partial(agent.ports.fs, names, unhexlify(version), reserve_bytes)
    try:
        while partial.page < partial.pages:
            if partial.copy(allow_list):
                yield Sleep(0)  # whoever punches comes first
            else:
                # Under no name, which would hold a page while the next one takes its room.
                partial.add((yield from _page(agent, version, partial)))
        partial.finish()
    finally:
        partial.close()


def _index(agent, version):
    """The digests of all pages, 8 bytes each."""
    answer = yield from agent.exchange.call(OP, {"AL1": version})
    text = answer.get("AL4", "")
    pages = int(answer.get("AL3", "0"))
    if not 1 <= pages <= PAGES_MAX or pages & (pages - 1) or len(text) != 16 * pages:
        raise Malformed("bad AL3")
    if answer.get("AL1") != version or version != text_digest(agent.ports.crypto.sha256, text):
        raise Malformed("an index of another AL1")
    return unhexlify(text)


def _page(agent, version, partial):
    """AL5 of the next page, in bytes: the one that the index says."""
    number_text = str(partial.page)
    answer = yield from agent.exchange.call(OP, {"AL1": version, "AL2": number_text})
    if answer.get("AL1") != version or answer.get("AL2") != number_text:
        raise Malformed("another page")
    data = answer.get("AL5", "").encode()
    if _digest(agent.ports.crypto.sha256, data) != partial.name():
        raise Malformed("a page of another digest")
    return data


def _rows(data):
    """Each `C1=E1` in the bytes of a page."""
    start = 0
    while data and start <= len(data):
        end = data.find(b";", start)
        if end < 0:
            end = len(data)
        yield data[start:end]
        start = end + 1


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
        return self._names[8 * self.page : 8 * self.page + 8]

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

    def add(self, data):
        """The next page from its AL5. Raises Malformed for one that nobody may sign."""
        count, width = self._measured(data)
        head = bytes((self.page, width, count)) + self.name()
        self._file.write(head)
        crc = crc32(head)
        for row in _rows(data):
            written = unhexlify(row[:16]) + row[17:] + b"\xff" * (17 + width - len(row))
            self._file.write(written)
            crc = crc32(written, crc)
        self._file.write(crc.to_bytes(4, "little"))
        self._added(HEAD_BYTES + count * (8 + width) + 4)

    def _measured(self, data):
        """How many rows a page has, which fits into a byte, and how long the longest E1 is."""
        count = 0
        width = 0
        last = ""
        for row in _rows(data):
            c1, _, e1 = str(row, "utf-8").partition("=")
            tokens.check_value("C1", c1)
            tokens.check_value("D1", e1)  # an id, as any other
            if c1 <= last or page_of(c1, self.pages) != self.page:
                raise Malformed("C1 out of place")
            last = c1
            count += 1
            width = max(width, len(e1))
        return count, width

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
