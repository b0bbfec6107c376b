"""The allow list: what is found in it, and how a version takes the place of another."""

# heap: 256k because the fake flash, with the list twice, and the fake server share it with the core

import binascii
import gc
import sys

from allow_desk import PARTIAL_PATH, SHA256, Desk, assert_found, held, people
from support import raises, skip

from ks_agent import allow_pages
from ks_agent.allow_list import PATH
from ks_agent.errors import Refused


def test_without_a_list_nobody_is_found():
    desk = Desk()
    assert desk.list.version == ""
    assert desk.list.find("card 1") is None


def test_every_credential_of_the_version_is_found_and_no_other():
    for pages in (1, 2, 8, 64):
        desk = held(60, pages)
        assert desk.list.version == desk.exchange.version
        assert_found(desk, people(60))
        desk.boot()
        assert desk.list.version == desk.exchange.version
        assert_found(desk, people(60))


def test_an_empty_list_is_a_list():
    desk = held(0, 1)
    assert desk.list.version == desk.exchange.version
    assert desk.list.find("card 1") is None


def test_any_text_is_a_credential_and_any_id_an_e1():
    odd = {"": "1", "ü" * 32: "-", "𝄞": ".", " a ": "_", "a\nb": "Az09._-", "\0": "x" * 64}
    odd["\U0010ffff"] = "null"
    desk = Desk()
    desk.exchange.hold(odd, 2)
    desk.refresh()
    assert_found(desk, odd, ("𝄟", "x"))


def test_a_new_version_takes_the_place_of_the_old_one():
    desk = held()
    changed = people(40, 20)
    desk.exchange.hold(changed, 4)
    desk.refresh()
    assert_found(desk, changed, ("card 1", "card 19"))
    assert sorted(desk.ports.fs.files) == [PATH]


def test_only_pages_that_changed_are_downloaded():
    desk = held(80, 16)
    changed = people(80)
    changed["card 7"] = "another"
    desk.exchange.hold(changed, 16)
    desk.refresh()
    c1 = allow_pages.text_digest(SHA256, "card 7")
    assert desk.pages_asked() == [str(allow_pages.page_of(c1, 16))]
    assert_found(desk, changed)


def test_another_number_of_pages_is_downloaded_whole():
    desk = held(80, 4)
    desk.exchange.hold(people(80), 8)
    desk.refresh()
    assert desk.pages_asked() == [str(page) for page in range(8)]
    assert_found(desk, people(80))


def test_none_removes_the_list_and_what_an_interrupted_download_left():
    desk = held()
    desk.ports.fs.files[PARTIAL_PATH] = b"x"
    desk.refresh("none")
    assert desk.ports.fs.files == {}
    assert desk.list.version == ""
    assert desk.list.find("card 1") is None
    desk.refresh("none")
    assert desk.exchange.calls == []


def test_a_version_that_is_no_longer_current_leaves_the_old_list():
    desk = held()
    version = desk.list.version
    refused = raises(Refused, desk.refresh, "0" * 16)
    assert refused.code == "NOT_FOUND"
    assert desk.list.version == version
    assert_found(desk, people(40))


def test_a_version_that_changes_during_the_download_leaves_the_old_list():
    desk = held(40, 4)
    version = desk.exchange.hold(people(50), 4)
    steps = allow_pages.refresh(desk, desk.list, version)
    next(steps)
    next(steps)
    desk.exchange.hold(people(60), 4)
    assert raises(Refused, lambda: list(steps)).code == "NOT_FOUND"
    assert_found(desk, people(40), ("card 45", "card 55"))
    desk.refresh()
    assert_found(desk, people(60))


def test_the_old_list_serves_until_the_new_one_is_whole():
    desk = held()
    version = desk.exchange.hold(people(40, 20), 4)
    for _ in allow_pages.refresh(desk, desk.list, version):
        assert_found(desk, people(40), ("card 45",))
    assert_found(desk, people(40, 20), ("card 1",))


def test_a_lookup_in_a_full_page_takes_little_of_the_heap():
    if not hasattr(gc, "mem_alloc"):
        skip("this interpreter does not tell")
    desk = held(150, 1)  # 3.2 KB of text
    gc.collect()
    before = gc.mem_alloc()
    assert desk.list.find("card 100") == "E100"
    taken = gc.mem_alloc() - before
    # The fake's file takes a part of it: a bytes for each row.
    word_bytes = 8 if sys.maxsize > 1 << 32 else 4
    assert taken < 4000 * word_bytes, taken


def test_what_the_server_is_to_compute_is_pinned():
    rows = [("00" * 8, "A"), ("ff" * 8, "b-1")]
    assert allow_pages.page_text(rows) == "0000000000000000=A;ffffffffffffffff=b-1"
    assert allow_pages.page_text([]) == ""
    for text in ("", "ü", "0000000000000000=A"):
        digest = binascii.hexlify(SHA256(text.encode()).digest()).decode()
        assert allow_pages.text_digest(SHA256, text) == digest[:16]
    assert allow_pages.page_of("ffff" + "0" * 12, 256) == 255
    assert allow_pages.page_of("7fff" + "f" * 12, 2) == 0
    assert allow_pages.page_of("8000" + "0" * 12, 2) == 1
    assert allow_pages.page_of("f" * 16, 1) == 0
