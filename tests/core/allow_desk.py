"""A terminal's allow list, its flash and a server's answers, for the allow list's tests."""

import hashlib

from fake_ports import CRYPTO, Fs, PowerCut

from ks_agent import allow_pages, tokens
from ks_agent.allow_list import PATH, AllowList
from ks_agent.errors import Refused
from ks_agent.store import Store

PARTIAL_PATH = PATH + ".new"
SHA256 = hashlib.sha256


class CutFs(Fs):
    """A sync is an operation too, and may be torn. A power cut loses what was not synced."""

    torn = False
    dead = False

    def __init__(self):
        super().__init__()
        self._synced = {}  # path -> what a power cut would leave of a file that was closed since

    def _change(self):
        try:
            super()._change()
        except PowerCut:
            self.dead = True
            self.files.update(self._synced)
            raise

    def sync(self, file):
        before = self.files.get(file._path, b"")
        try:
            self._change()
        except PowerCut:
            if self.torn:
                half = (len(before) + len(file._data)) // 2
                self.files[file._path] = bytes(file._data[:half])
            raise
        file.save()
        self._synced.pop(file._path, None)

    def rename(self, before, after):
        super().rename(before, after)
        self._synced.pop(after, None)
        if before in self._synced:
            self._synced[after] = self._synced.pop(before)

    def open(self, path, mode):
        file = super().open(path, mode)
        if mode != "rb":
            file.close = lambda: self._close(file)
        return file

    def _close(self, file):
        if not self.dead:
            before = self.files[file._path]
            file.save()
            if self.files[file._path] != before:
                self._synced.setdefault(file._path, before)


class Exchange:
    """Answers as a server with one version of the list does."""

    def __init__(self):
        self.calls = []
        self.bend = None

    def hold(self, people, pages):
        """The version of the list with these credentials -> E1."""
        rows = [[] for _ in range(pages)]
        for credential in people:
            c1 = allow_pages.text_digest(SHA256, credential)
            rows[allow_pages.page_of(c1, pages)].append((c1, people[credential]))
        self.pages = [allow_pages.page_text(sorted(page)) for page in rows]
        return self.seal()

    def seal(self):
        """The digests made anew, for pages that a test has changed."""
        self.index = "".join([allow_pages.text_digest(SHA256, page) for page in self.pages])
        self.version = allow_pages.text_digest(SHA256, self.index)
        return self.version

    def call(self, op, fields):
        assert op == "allow-list"
        assert sorted(fields) == ["AL1"] or sorted(fields) == ["AL1", "AL2"]
        self.calls.append(fields.get("AL2"))
        yield "call"
        if fields["AL1"] != self.version:
            raise Refused("NOT_FOUND", {"ERR1": "NOT_FOUND"})
        answer = {"S1": "ok", "AL1": self.version}
        if "AL2" in fields:
            answer["AL2"] = fields["AL2"]
            answer["AL5"] = self.pages[int(fields["AL2"])]
        else:
            answer["AL3"] = str(len(self.pages))
            answer["AL4"] = self.index
        if self.bend is not None:
            self.bend(answer)
        tokens.check_answer(op, answer)
        return answer


class Ports:
    crypto = CRYPTO


class Desk:
    """What `refresh` needs of an agent."""

    def __init__(self, fs=None):
        self.ports = Ports()
        self.ports.fs = fs or CutFs()
        self.exchange = Exchange()
        self.boot()

    def boot(self):
        self.ports.fs.operations_left = -1
        self.ports.fs.dead = False
        self.store = Store(self.ports.fs)
        self.list = AllowList(self.ports.fs, SHA256)

    def refresh(self, version=None, reserve_bytes=65536):
        version = version or self.exchange.version
        for _ in allow_pages.refresh(self, self.list, version, reserve_bytes):
            pass

    def pages_asked(self):
        asked = [page for page in self.exchange.calls if page is not None]
        self.exchange.calls.clear()
        return asked


def people(count, first=0):
    return {"card %d" % number: "E%d" % number for number in range(first, first + count)}


def assert_found(desk, expected, absent=("card x", "")):
    for credential in expected:
        assert desk.list.find(credential) == expected[credential], credential
    for credential in absent:
        assert desk.list.find(credential) is None


def held(count=40, pages=4):
    desk = Desk()
    desk.exchange.hold(people(count), pages)
    desk.refresh()
    desk.exchange.calls.clear()
    return desk
