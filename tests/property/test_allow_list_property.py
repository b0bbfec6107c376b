"""The allow list is a dict that lies on flash, for whatever hypothesis thinks of."""

import hashlib
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fake_ports import Fs
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_agent import allow_pages
from ks_agent.allow_list import PATH, AllowList
from ks_agent.errors import Corrupt
from ks_agent.store import Store
from ks_simulator.littlefs import LittleFsPort, make_filesystem
from ks_simulator.nor import NorFlash

SHA256 = hashlib.sha256
People = dict[str, str]
PAGES = st.sampled_from([1, 2, 4, 32, 256])
FLASH_BLOCKS = 240  # 960 KiB, what a board with 4 MB has for files

# UTF-8 has no surrogates.
credentials = st.text(st.characters(exclude_categories=["Cs"]), max_size=16)
ids = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
peoples = st.dictionaries(credentials, ids, max_size=40)


class Published:
    """A version of the list, as the server computes it."""

    def __init__(self, people: People, pages: int) -> None:
        rows: list[list[tuple[str, str]]] = [[] for _ in range(pages)]
        for credential, e1 in people.items():
            c1 = allow_pages.text_digest(SHA256, credential)
            rows[allow_pages.page_of(c1, pages)].append((c1, e1))
        self.pages = [allow_pages.page_text(sorted(page)) for page in rows]
        self.index = "".join(allow_pages.text_digest(SHA256, page) for page in self.pages)
        self.version = allow_pages.text_digest(SHA256, self.index)
        self.calls = 0

    def call(self, op: str, fields: dict[str, str]) -> Generator[str, None, dict[str, Any]]:
        assert op == "allow-list" and fields["AL1"] == self.version
        self.calls += 1
        yield "call"
        answer: dict[str, Any] = {"S1": "ok", "AL1": self.version}
        if "AL2" in fields:
            return answer | {"AL2": fields["AL2"], "AL5": self.pages[int(fields["AL2"])]}
        return answer | {"AL3": str(len(self.pages)), "AL4": self.index}


def steps(fs: Any, allow_list: Any, published: Published) -> Iterator[Any]:
    ports = SimpleNamespace(fs=fs, crypto=SimpleNamespace(sha256=SHA256))
    agent = SimpleNamespace(ports=ports, store=Store(fs), exchange=published)
    return iter(allow_pages.refresh(agent, allow_list, published.version))


def take(fs: Any, allow_list: Any, published: Published) -> None:
    for _ in steps(fs, allow_list, published):
        pass


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(peoples, PAGES), min_size=1, max_size=4), st.lists(credentials))
def test_after_any_versions_the_list_answers_as_a_dict_does(
    versions: list[tuple[People, int]], others: list[str]
) -> None:
    fs = Fs()
    allow_list = AllowList(fs, SHA256)
    asked = {credential for people, _ in versions for credential in people} | set(others)
    for people, pages in versions:
        published = Published(people, pages)
        take(fs, allow_list, published)
        for held in (allow_list, AllowList(fs, SHA256)):
            assert held.version == published.version
            assert {one: held.find(one) for one in asked} == {one: people.get(one) for one in asked}
    assert list(fs.files) == [PATH]


@settings(max_examples=60, deadline=None)
@given(peoples, peoples, PAGES, PAGES, st.lists(st.integers(0, 300), max_size=4))
def test_interrupted_anywhere_the_list_is_the_old_dict_or_the_new_one(
    before: People, after: People, old_pages: int, new_pages: int, interruptions: list[int]
) -> None:
    fs = Fs()
    allow_list = AllowList(fs, SHA256)
    take(fs, allow_list, Published(before, old_pages))
    published = Published(after, new_pages)
    asked = before.keys() | after.keys()
    for count in interruptions:
        going = steps(fs, allow_list, published)
        for _ in range(count):
            next(going, None)
        del going  # as a crash: its files are closed, nothing else happens
        allow_list = AllowList(fs, SHA256)
        people = after if allow_list.version == published.version else before
        assert {one: allow_list.find(one) for one in asked} == {
            one: people.get(one) for one in asked
        }
    take(fs, allow_list, published)
    assert {one: allow_list.find(one) for one in asked} == {one: after.get(one) for one in asked}


@settings(max_examples=100, deadline=None)
@given(peoples.filter(bool), PAGES, st.integers(min_value=0), st.integers(1, 255))
def test_damaged_bytes_are_never_a_wrong_answer(
    people: People, pages: int, position: int, change: int
) -> None:
    fs = Fs()
    allow_list = AllowList(fs, SHA256)
    take(fs, allow_list, Published(people, pages))
    data = bytearray(fs.files[PATH])
    data[position % len(data)] ^= change
    fs.files[PATH] = bytes(data)
    for held in (allow_list, AllowList(fs, SHA256)):
        for credential, e1 in people.items():
            try:
                assert held.find(credential) == e1 or not held.pages
            except Corrupt:
                assert held.version == ""


@pytest.fixture(scope="module")
def many() -> People:
    return {f"{number * 2654435761 % 2**32:08X}": f"{number:04d}" for number in range(10_000)}


def longer(people: People) -> People:
    return {credential: e1 + "-abc" for credential, e1 in people.items()}


@pytest.mark.parametrize(("lengthen", "stated_bytes"), [(dict, 122_880), (longer, 163_840)])
def test_ten_thousand_credentials_take_the_flash_that_is_stated(
    many: People, lengthen: Any, stated_bytes: int
) -> None:
    flash = NorFlash(FLASH_BLOCKS)
    make_filesystem(flash)
    fs = LittleFsPort(flash)
    fs.mkdir("data")
    fs.mkdir("data/allow")
    free_bytes = fs.room()[1]
    allow_list = AllowList(fs, SHA256)
    people = lengthen(many)
    take(fs, allow_list, Published(people, 128))
    assert free_bytes - fs.room()[1] == stated_bytes
    for credential in list(people)[::97]:
        assert allow_list.find(credential) == people[credential]
    assert allow_list.find("00000001") is None

    changed = people | {"0": "new"}
    published = Published(changed, 128)
    take(fs, allow_list, published)
    assert published.calls == 2
    assert allow_list.find("0") == "new"
    assert abs(free_bytes - fs.room()[1] - stated_bytes) <= 4096
