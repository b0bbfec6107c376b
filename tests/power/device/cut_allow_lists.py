"""Scenarios of the allow list: one whole version is in force after any cut, the old or the new.

Runs on CPython and MicroPython; see cut_records.py for what a scenario is. Notes are
("begin", list) before a change and ("done", list) after it; a list is its index among LISTS.
"""

import hashlib

from ks_agent import allow_pages
from ks_agent.allow_list import AllowList
from ks_agent.allow_pages import page_of, page_text, refresh, text_digest
from ks_agent.store import Store

PAGES = 4
# (first credential, how many); the second shares most rows with the first.
LISTS = ((0, 40), (2, 40), (0, 0), (20, 12))


class Crypto:
    def sha256(self):
        return hashlib.sha256()


class Ports:
    crypto = Crypto()

    def __init__(self, fs):
        self.fs = fs


class Exchange:
    """Answers as the server does."""

    def call(self, operation, tokens):
        for index in range(len(LISTS)):
            version, pages = published(index)
            if version == tokens["AL1"]:
                break
        if "AL2" in tokens:
            return {"AL1": version, "AL2": tokens["AL2"], "AL5": pages[int(tokens["AL2"])]}
        return {"AL1": version, "AL3": str(PAGES), "AL4": digests(pages)}
        yield


class Agent:
    def __init__(self, fs):
        self.ports = Ports(fs)
        self.store = Store(fs)
        self.exchange = Exchange()


_published = {}


def published(index):
    """(version, text of each page) of a list; one without rows is `none`."""
    if index not in _published:
        first, count = LISTS[index]
        pages = [[] for _ in range(PAGES)]
        for number in range(first, first + count):
            c1 = text_digest(hashlib.sha256, credential(number))
            pages[page_of(c1, PAGES)].append((c1, person(number)))
        texts = [page_text(sorted(page)) for page in pages]
        version = text_digest(hashlib.sha256, digests(texts)) if count else allow_pages.NONE
        _published[index] = (version, texts)
    return _published[index]


def digests(pages):
    return "".join([text_digest(hashlib.sha256, page) for page in pages])


def credential(number):
    return "%08X" % (number * 2654435761 & 0xFFFFFFFF)


def person(number):
    return "person-%d" % number


class Changes:
    """The first list, a newer one, none at all, and another one."""

    name = "allow list"
    changes = (0, 1, 2, 3)

    def __init__(self, change=refresh):
        self._refresh = change

    def prepare(self, fs):
        pass

    def run(self, fs, note):
        agent = Agent(fs)
        allow_list = AllowList(fs, hashlib.sha256)
        for index in self.changes:
            note(("begin", index))
            self._change(agent, allow_list, index)
            note(("done", index))

    def recover(self, fs, told, note):
        allowed = [2]
        for kind, index in told:
            allowed = [index] if kind == "done" else allowed + [index]
        allow_list = AllowList(fs, hashlib.sha256)
        versions = [published(index)[0] for index in allowed]
        version = allow_list.version or allow_pages.NONE
        assert version in versions, "a list that was not in force"
        find_all(allow_list, allowed[versions.index(version)])
        note(("begin", allowed[-1]))
        self._change(Agent(fs), allow_list, allowed[-1])
        note(("done", allowed[-1]))
        find_all(AllowList(fs, hashlib.sha256), allowed[-1])
        assert not fs.is_dir("data/allow") or len(list(fs.listdir("data/allow"))) <= 1, "remains"

    def _change(self, agent, allow_list, index):
        synced = allow_pages.SYNC_BYTES
        allow_pages.SYNC_BYTES = 500  # several syncs in a list that is as short as these
        try:
            for _ in self._refresh(agent, allow_list, published(index)[0]):
                assert allow_list is not None
        finally:
            allow_pages.SYNC_BYTES = synced


def find_all(allow_list, index):
    first, count = LISTS[index]
    for number in range(0, 44):
        expected = person(number) if first <= number < first + count else None
        assert allow_list.find(credential(number)) == expected, number


SCENARIOS = (Changes,)
