"""The allow list: what is found, what is believed, and what an interruption leaves."""

# heap: 256k because the fake flash, with the list twice, and the fake server share it with the core

import binascii
import gc
import hashlib
import sys

from fake_ports import CRYPTO, Fs, PowerCut
from support import raises, skip

from ks_agent import allow_pages
from ks_agent.allow_list import PATH, AllowList
from ks_agent.errors import Corrupt, Malformed, PeerError, Refused
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
        self.rows = [[] for _ in range(pages)]
        for credential in people:
            c1 = allow_pages.credential_hash(SHA256, credential)
            row = {"C1": c1, "E1": people[credential]}
            self.rows[allow_pages.page_of(c1, pages)].append(row)
        for rows in self.rows:
            rows.sort(key=lambda row: row["C1"])
        return self.seal()

    def seal(self):
        """The digests made anew, for rows that a test has changed."""
        self.digests = [allow_pages.page_digest(SHA256, rows) for rows in self.rows]
        self.version = allow_pages.list_digest(SHA256, self.digests)
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
            answer["CRED"] = [dict(row) for row in self.rows[int(fields["AL2"])]]
        else:
            answer["AL3"] = str(len(self.rows))
            answer["PAGE"] = [{"AL4": digest} for digest in self.digests]
        if self.bend is not None:
            self.bend(answer)
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


def test_any_text_is_a_credential_or_an_e1():
    odd = {"": "1", "ü" * 32: "é" * 32, "𝄞": "𝄞", " a ": " b ", "a\nb": ":", "\0": "x" * 64}
    odd["\U0010ffff"] = "\U0010ffff"
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
    changed["card 7"] = "someone else"
    desk.exchange.hold(changed, 16)
    desk.refresh()
    c1 = allow_pages.credential_hash(SHA256, "card 7")
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


def _refused(change, key, error=Malformed):
    """A change of the answers that have a key; nothing of the new version is taken up."""
    desk = held(20, 2)
    version = desk.list.version
    desk.exchange.hold(people(21), 2)

    def bend(answer):
        if key in answer:
            change(answer)

    desk.exchange.bend = bend
    raises(error, desk.refresh)
    desk.boot()
    assert desk.list.version == version
    assert_found(desk, people(20), ("card 20",))
    desk.exchange.bend = None
    desk.refresh()
    assert_found(desk, people(21))


def test_an_index_that_is_not_the_version_is_refused():
    changes = (
        lambda answer: answer.update(AL1="0" * 16),
        lambda answer: answer.update(AL3="4"),
        lambda answer: answer.update(AL3="02"),
        lambda answer: answer.pop("AL3"),
        lambda answer: answer.update(PAGE="2"),
        lambda answer: answer.update(PAGE=[], AL3="0"),
        lambda answer: answer.update(PAGE=answer["PAGE"][::-1]),
        lambda answer: answer.update(PAGE=answer["PAGE"] + [{"AL4": "0" * 16}], AL3="3"),
        lambda answer: answer["PAGE"][0].update(AL4="0" * 16),
        lambda answer: answer["PAGE"][0].update(AL4="0" * 15),
        lambda answer: answer["PAGE"][0].update(AL4=answer["PAGE"][0]["AL4"].upper() + "0"),
        lambda answer: answer.update(PAGE=[{"X": "1"}] + answer["PAGE"][1:]),
    )
    for change in changes:
        _refused(change, "AL3")


def _refuse_index(count, digest, version=None):
    """An index as only a server that errs would sign it: its digests fit."""
    desk = held(20, 2)
    before = desk.list.version
    desk.exchange.rows = [[]] * count
    desk.exchange.digests = [digest] * count
    desk.exchange.version = version or allow_pages.list_digest(SHA256, desk.exchange.digests)
    raises(Malformed, desk.refresh)
    assert desk.list.version == before
    assert desk.pages_asked() == []


def test_an_index_is_refused_even_with_digests_that_fit():
    empty = allow_pages.page_digest(SHA256, [])
    for count in (0, 3, 6, 512):
        _refuse_index(count, empty)
    for digest in ("", empty[1:], empty + "0", empty.upper(), "g" * 16):
        _refuse_index(2, digest)
    _refuse_index(2, empty, "0" * 16)


def test_rows_that_are_not_the_page_are_refused():
    foreign = {"C1": "f" * 16, "E1": "foreign"}
    changes = (
        lambda answer: answer.update(AL1="0" * 16),
        lambda answer: answer.update(AL2="1" if answer["AL2"] == "0" else "0"),
        lambda answer: answer.update(CRED="x"),
        lambda answer: answer.pop("CRED"),
        lambda answer: answer["CRED"].pop(),
        lambda answer: answer["CRED"].append(answer["CRED"][-1]),
        lambda answer: answer["CRED"].append(foreign),
        lambda answer: answer.update(CRED=answer["CRED"][::-1]),
        lambda answer: answer["CRED"][0].update(E1="another"),
        lambda answer: answer["CRED"][0].pop("E1"),
        lambda answer: answer["CRED"][0].pop("C1"),
        lambda answer: answer["CRED"][0].update(C1="0" * 15),
        lambda answer: answer["CRED"][-1].update(C1="7" * 15 + "\n"),
    )
    for change in changes:
        _refused(change, "CRED")


def _signed_but_wrong(change):
    """Rows with digests that fit, as only a server that errs would sign them."""
    desk = held(20, 2)
    version = desk.list.version
    exchange = desk.exchange
    exchange.hold(people(21), 2)
    change(exchange.rows)
    exchange.seal()
    raises(Malformed, desk.refresh)
    assert desk.list.version == version
    assert_found(desk, people(20), ("card 20",))


def test_rows_out_of_order_or_of_another_page_are_refused_even_with_digests_that_fit():
    changes = (
        lambda pages: pages[0].append(pages[0][-1]),
        lambda pages: pages[0].append(pages[1][0]),
        lambda pages: pages[1].insert(0, pages[0][0]),
        lambda pages: pages[0].append(pages[0].pop(0)),
        lambda pages: pages[0][-1].update(C1="7" * 15 + "G"),
        lambda pages: pages[0][-1].update(C1="7" * 15 + "F"),
        lambda pages: pages[0][-1].update(C1="7" * 17),
    )
    for change in changes:
        _signed_but_wrong(change)


def test_more_rows_than_a_page_may_have_are_refused():
    desk = Desk()
    desk.exchange.hold(people(allow_pages.PAGE_MAX_ROWS + 1), 1)
    raises(Malformed, desk.refresh)
    desk.exchange.hold(people(allow_pages.PAGE_MAX_ROWS), 1)
    desk.refresh()
    assert_found(desk, {"card 1": "E1", "card 119": "E119"})


def test_an_e1_that_is_empty_too_long_or_has_control_characters_is_refused():
    for e1 in ("", "x" * 65, "ü" * 33, "a\nffffffffffffffff:b", "\0", "a\x1f", "a\x7f"):
        _signed_but_wrong(lambda pages, e1=e1: pages[0][-1].update(E1=e1))


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
    changed = {"card %d" % number: "new %d" % number for number in range(10, 50)}
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
        if allow_pages.credential_hash(SHA256, credential)[0] in "0123":
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


def test_a_row_that_the_server_made_up_is_refused_or_taken_as_it_is():
    for number in range(150):
        digest = binascii.hexlify(SHA256(str(number).encode()).digest()).decode()
        desk = Desk()
        desk.exchange.hold(people(6), 1)
        rows = desk.exchange.rows[0]
        row = rows[number % 6]
        start = number % 40
        key = "CE"[number % 2] + "1"
        row[key] = digest[start : start + 16 + number % 3]
        desk.exchange.seal()
        try:
            desk.refresh()
        except PeerError:
            assert key == "C1"
            assert desk.list.version == ""
            continue
        assert desk.list.version == desk.exchange.version
        found = [desk.list.find(credential) for credential in people(6)]
        assert found.count(None) == (key == "C1")


def test_a_lookup_in_a_full_page_takes_little_of_the_heap():
    if not hasattr(gc, "mem_alloc"):
        skip("this interpreter does not tell")
    desk = held(allow_pages.PAGE_MAX_ROWS, 1)
    gc.collect()
    before = gc.mem_alloc()
    assert desk.list.find("card 100") == "E100"
    taken = gc.mem_alloc() - before
    # The fake's file takes a part of it: a bytes for each row.
    word_bytes = 8 if sys.maxsize > 1 << 32 else 4
    assert taken < 4000 * word_bytes, taken


def test_what_the_server_is_to_compute_is_pinned():
    rows = [{"C1": "00" * 8, "E1": "A"}, {"C1": "ff" * 8, "E1": "ü"}]
    text = "0000000000000000:A\nffffffffffffffff:ü\n"
    assert allow_pages.page_digest(SHA256, rows) == _first_half(text)
    digests = ["00" * 8, "ab" * 8]
    text = "0000000000000000\nabababababababab\n"
    assert allow_pages.list_digest(SHA256, digests) == _first_half(text)
    assert allow_pages.credential_hash(SHA256, "ü") == _first_half("ü")
    assert allow_pages.page_of("ffff" + "0" * 12, 256) == 255
    assert allow_pages.page_of("7fff" + "f" * 12, 2) == 0
    assert allow_pages.page_of("8000" + "0" * 12, 2) == 1
    assert allow_pages.page_of("f" * 16, 1) == 0


def _first_half(text):
    return binascii.hexlify(SHA256(text.encode()).digest()).decode()[:16]
