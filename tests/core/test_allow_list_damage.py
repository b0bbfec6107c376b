"""What interruptions and damage leave of the allow list."""

# heap: 256k because the fake flash, with the list twice, and the fake server share it with the core

import binascii

from allow_desk import PARTIAL_PATH, SHA256, Desk, assert_found, held, people
from fake_ports import PowerCut
from support import raises

from ks_agent import allow_pages
from ks_agent.allow_list import PATH, AllowList
from ks_agent.errors import Corrupt, Refused


def test_a_link_failure_leaves_the_old_list_and_the_download_goes_on_where_it_was():
    desk = Desk()
    desk.exchange.hold(people(40), 8)

    def fail_at_page_5(answer):
        if answer.get("AL2") == "5":
            raise OSError("link")

    desk.exchange.bend = fail_at_page_5
    raises(OSError, desk.refresh)
    assert desk.list.find("card 1") is None
    desk.pages_asked()
    desk.exchange.bend = None
    desk.boot()
    desk.refresh()
    assert desk.pages_asked() == ["5", "6", "7"]
    assert_found(desk, people(40))


def test_what_an_interrupted_download_of_another_version_left_is_not_mixed_in():
    desk = Desk()
    version = desk.exchange.hold(people(40), 4)
    steps = allow_pages.refresh(desk, desk.list, version)
    for _ in range(4):
        next(steps)
    steps.close()
    assert PARTIAL_PATH in desk.ports.fs.files
    changed = {"card %d" % number: "new-%d" % number for number in range(10, 50)}
    desk.exchange.hold(changed, 4)
    desk.refresh()
    assert_found(desk, changed, ("card 1",))


def _cut_everywhere(before, after, pages, torn):
    """Power cuts at every operation of a change; how often the list was the old one and the new."""
    outcomes = [0, 0]
    for operations in range(200):
        desk = Desk()
        if before is not None:
            desk.exchange.hold(before, pages)
            desk.refresh()
        old = desk.list.version
        new = "none" if after is None else desk.exchange.hold(after, pages)
        desk.ports.fs.torn = torn
        desk.ports.fs.operations_left = operations
        try:
            desk.refresh(new)
            cut = False
        except PowerCut:
            cut = True
        desk.boot()
        is_new = desk.list.version == new.replace("none", "")
        assert is_new or desk.list.version == old
        outcomes[is_new] += 1
        in_force = after if is_new else before
        for credential in dict(before or {}, **(after or {})):
            assert desk.list.find(credential) == (in_force or {}).get(credential)
        desk.refresh(new)
        assert_found(desk, after or {})
        assert sorted(desk.ports.fs.files) == ([] if after is None else [PATH])
        if not cut:
            return outcomes
    raise AssertionError("cuts everywhere, and never the end")


def test_a_power_cut_at_any_flash_operation_leaves_the_old_list_or_the_new_one():
    synced = allow_pages.SYNC_BYTES
    allow_pages.SYNC_BYTES = 64
    try:
        for torn in (False, True):
            old, new = _cut_everywhere(people(20), people(20, 10), 8, torn)
            assert old >= 6 and new == 1
            assert _cut_everywhere(None, people(20), 8, torn)[0] >= 6
            _cut_everywhere(people(20), None, 8, torn)
    finally:
        allow_pages.SYNC_BYTES = synced


def test_a_download_goes_on_at_the_last_sync_after_a_power_cut():
    synced = allow_pages.SYNC_BYTES
    allow_pages.SYNC_BYTES = 1
    try:
        desk = Desk()
        desk.exchange.hold(people(20), 4)
        desk.ports.fs.operations_left = 2 + 1 + 3  # two folders, the file, three pages
        raises(PowerCut, desk.refresh)
        assert desk.pages_asked() == ["0", "1", "2", "3"]
        desk.boot()
        desk.refresh()
        assert desk.pages_asked() == ["3"]
        assert_found(desk, people(20))
    finally:
        allow_pages.SYNC_BYTES = synced


def test_a_list_that_lacked_only_the_rename_is_taken_up_without_a_download():
    desk = held(20, 4)
    whole = desk.ports.fs.files[PATH]
    desk.ports.fs.rename(PATH, PARTIAL_PATH)
    desk.boot()
    desk.refresh()
    assert desk.pages_asked() == []
    assert desk.ports.fs.files == {PATH: whole}
    assert_found(desk, people(20))


def test_a_flipped_bit_is_never_a_wrong_answer():
    desk = held(12, 2)
    whole = desk.ports.fs.files[PATH]
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        desk.ports.fs.files[PATH] = bytes(damaged)
        desk.boot()
        seen = desk.list.version == ""
        for credential in ("card 1", "card 2", "card 3", "card 11", "card x"):
            try:
                found = desk.list.find(credential)
            except Corrupt:
                assert desk.list.version == ""
                seen = True
                continue
            assert found == people(12).get(credential) or not desk.list.pages
        assert seen


def test_a_bit_that_flips_after_boot_is_seen_by_the_lookup():
    desk = held(12, 1)
    whole = desk.ports.fs.files[PATH]
    for position in range(len(whole) - 15):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        desk.ports.fs.files[PATH] = bytes(damaged)
        desk.list.version = desk.exchange.version
        assert raises(Corrupt, desk.list.find, "card 1").code == "CORRUPT"
        assert desk.list.version == ""


def test_a_shortened_or_lost_file_is_never_a_wrong_answer():
    desk = held(12, 2)
    whole = desk.ports.fs.files[PATH]
    for size in range(0, len(whole), 5):
        desk.ports.fs.files[PATH] = whole[:size]
        for credential in ("card 1", "card 2", "card 3", "card x"):
            try:
                assert desk.list.find(credential) == people(12).get(credential)
            except Corrupt:
                assert desk.list.version == ""
        assert AllowList(desk.ports.fs, SHA256).version == ""
    del desk.ports.fs.files[PATH]
    raises(Corrupt, desk.list.find, "card 1")


def test_a_list_with_a_damaged_end_counts_as_none_and_is_downloaded_again():
    desk = held(12, 2)
    whole = desk.ports.fs.files[PATH]
    for damaged in (b"", b"A1", b"A1A1A1A1A1A1A1A1", whole[:-1], b"!" * 15, whole + b"\xff" * 15):
        desk.ports.fs.files[PATH] = damaged
        desk.boot()
        assert desk.list.version == ""
        assert desk.list.find("card 1") is None
        desk.refresh()
        assert desk.pages_asked() == ["0", "1"]
        assert desk.ports.fs.files == {PATH: whole}


def test_a_list_in_another_format_counts_as_none():
    desk = held(12, 1)
    data = desk.ports.fs.files[PATH]
    for magic, version in ((b"A1", desk.list.version), (b"A2", "")):
        end = data[-19:-15] + magic + data[-13:-4]  # after the start of the only page
        crc = binascii.crc32(end).to_bytes(4, "little")
        desk.ports.fs.files[PATH] = data[:-19] + end + crc
        desk.boot()
        assert desk.list.version == version


def test_a_damaged_page_is_downloaded_again_and_the_others_are_copied():
    desk = held(40, 4)
    damaged = bytearray(desk.ports.fs.files[PATH])
    damaged[13] ^= 1
    desk.ports.fs.files[PATH] = bytes(damaged)
    in_page_0 = ""
    for credential in people(40):
        if allow_pages.text_digest(SHA256, credential)[0] in "0123":
            in_page_0 = credential
    raises(Corrupt, desk.list.find, in_page_0)
    assert desk.list.version == ""
    desk.refresh()
    assert desk.pages_asked() == ["0"]
    assert desk.list.version == desk.exchange.version
    assert_found(desk, people(40))


def test_a_damaged_rest_of_a_download_is_begun_anew():
    desk = held(20, 4)
    whole = desk.ports.fs.files[PATH]
    del desk.ports.fs.files[PATH]
    for size in range(0, len(whole), 7):
        for flipped in (0, 1):
            rest = bytearray(whole[:size])
            if size:
                rest[size // 2] ^= flipped
            desk.ports.fs.files = {PARTIAL_PATH: bytes(rest) + b"!" * (size & 1)}
            desk.boot()
            desk.refresh()
            assert desk.ports.fs.files == {PATH: whole}


def test_a_list_that_would_fill_the_flash_is_refused_and_leaves_nothing():
    desk = held(20, 2)
    version = desk.list.version
    desk.exchange.hold(people(30), 2)
    refused = raises(Refused, desk.refresh, None, desk.ports.fs.room()[1] + 1)
    assert refused.code == "NO_ROOM"
    assert refused.answer == {"RTY": "3600"}
    assert desk.list.version == version
    assert sorted(desk.ports.fs.files) == [PATH]
    synced = allow_pages.SYNC_BYTES
    allow_pages.SYNC_BYTES = 1
    try:
        raises(Refused, desk.refresh, None, desk.ports.fs.room()[1])
    finally:
        allow_pages.SYNC_BYTES = synced
    assert sorted(desk.ports.fs.files) == [PATH]
    assert_found(desk, people(20))
