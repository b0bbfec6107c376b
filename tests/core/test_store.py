"""Records on flash: old or new after any interruption, never neither (docs/architecture.md)."""

# heap: 160k because a record of the largest size is encoded beside the compiler and its sources

from support import raises

from ks_agent import store, toon
from ks_agent.errors import Corrupt, LocalError

PATH = "data/state/identity.toon"
OLD = {"D1": "dev_1", "STATE": "ACTIVE"}
NEW = {"D1": "dev_1", "STATE": "REVOKED", "ROWS": [{"A": "1"}, {"B": "%|\n\u00e9"}], "E": []}


class PowerCut(Exception):
    pass


class Flash:
    """A file system whose power fails before one of its operations.

    What was written and not synced is lost then: `kept` says what share of it, in eighths, still
    reached the flash.
    """

    def __init__(self, cut_at=None, kept=0):
        self.files = {}
        self.folders = set()
        self.cut_at = cut_at
        self.kept = kept
        self.operations = 0
        self.writing = None

    def step(self):
        if self.cut_at is not None and self.operations >= self.cut_at:
            if self.writing is not None:
                self.writing.tear(self.kept)
            raise PowerCut()
        self.operations += 1

    def open(self, path, mode):
        if mode == "wb":
            if "/" in path and path[: path.rfind("/")] not in self.folders:
                raise OSError(2)
            self.step()
            self.files[path] = b""
            self.writing = OpenFile(self, path)
            return self.writing
        if path not in self.files:
            raise OSError(2)
        return Reading(self.files[path])

    def sync(self, file):
        self.step()
        file.flush()

    def rename(self, old, new):
        self.step()
        if old not in self.files:
            raise OSError(2)
        self.files[new] = self.files.pop(old)

    def remove(self, path):
        if path not in self.files:
            raise OSError(2)
        self.step()
        del self.files[path]

    def mkdir(self, path):
        self.step()
        if path in self.folders:
            raise OSError(17)
        self.folders.add(path)

    def listdir(self, path):
        if path not in self.folders:
            raise OSError(2)
        start = path + "/"
        return [name[len(start) :] for name in self.files if name.startswith(start)]

    def stat(self, path):
        if path not in self.files:
            raise OSError(2)
        return len(self.files[path])

    def is_dir(self, path):
        return path in self.folders


class Reading:
    def __init__(self, data):
        self.data = data

    def read(self):
        return self.data

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        return False


class OpenFile:
    def __init__(self, flash, path):
        self.flash = flash
        self.path = path
        self.pending = b""

    def write(self, data):
        self.flash.step()
        self.pending += bytes(data)

    def flush(self):
        self.flash.files[self.path] += self.pending
        self.pending = b""

    def tear(self, kept):
        self.flash.files[self.path] += self.pending[: len(self.pending) * kept // 8]
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.flash.writing = None
        if kind is None:
            self.flash.step()
            self.flush()
        return False


def flash_with(message, cut_at=None, kept=0):
    flash = Flash()
    if message is not None:
        store.Store(flash).write(PATH, message)
    flash.operations = 0
    flash.cut_at = cut_at
    flash.kept = kept
    return flash


def outcomes(before, act):
    """What a reboot finds after a cut at each operation of `act(store)`, and without a cut."""
    found = []
    for kept in (0, 3, 8):
        cut_at = 0
        cut = True
        while cut:
            flash = flash_with(before, cut_at, kept)
            try:
                act(store.Store(flash))
                cut = False
            except PowerCut:
                pass
            flash.cut_at = None
            found.append(store.Store(flash).read(PATH))
            cut_at += 1
        assert cut_at > 1
    return found


def test_a_record_is_read_as_it_was_written():
    flash = Flash()
    records = store.Store(flash)
    for message in (OLD, NEW, {}, {"A": ""}, {"A": "x" * 6000}):
        records.write(PATH, message)
        assert records.read(PATH) == message
        assert store.Store(flash).read(PATH) == message
    assert sorted(flash.files) == [PATH]


def test_a_record_ends_in_a_line_with_its_checksum():
    flash = flash_with(OLD)
    assert flash.files[PATH] == b"D1: dev_1\nSTATE: ACTIVE\n# crc32:9c8ae4ae\n"
    assert toon.decode(flash.files[PATH], 1000) == OLD


def test_an_absent_record_is_none():
    records = store.Store(Flash())
    assert records.read(PATH) is None
    assert records.read_or_none(PATH) is None
    assert not records.exists(PATH)
    records.write(PATH, OLD)
    assert records.exists(PATH)


def test_a_write_cut_anywhere_leaves_the_old_record_or_the_new_one():
    found = outcomes(OLD, lambda records: records.write(PATH, NEW))
    assert OLD in found and NEW in found
    for record in found:
        assert record in (OLD, NEW)
    assert found[-1] == NEW


def test_a_first_write_cut_anywhere_leaves_none_or_the_record():
    found = outcomes(None, lambda records: records.write(PATH, NEW))
    for record in found:
        assert record in (None, NEW)
    assert found[-1] == NEW


def test_a_write_after_a_cut_write_succeeds():
    cut_at = 0
    while True:
        flash = flash_with(OLD, cut_at, 3)
        try:
            store.Store(flash).write(PATH, NEW)
            break
        except PowerCut:
            flash.cut_at = None
            flash.writing = None
        store.Store(flash).write(PATH, NEW)
        assert store.Store(flash).read(PATH) == NEW
        assert sorted(flash.files) == [PATH]
        cut_at += 1
    assert cut_at > 3


def test_a_removal_cut_anywhere_leaves_the_record_or_none():
    found = outcomes(OLD, lambda records: records.remove(PATH))
    assert OLD in found and None in found
    assert found[-1] is None


class InPlace(store.Store):
    """A store that writes over the record itself: the sweep must find it out."""

    def write_bytes(self, path, data):
        with self._fs.open(path, "wb") as file:
            file.write(data)
            self._fs.sync(file)


class Unsynced(store.Store):
    """A store that renames what may not be on the flash yet."""

    def write_bytes(self, path, data):
        file = self._fs.open(path + ".new", "wb")
        file.write(data)
        self._fs.rename(path + ".new", path)


def test_the_sweep_finds_stores_that_are_not_safe():
    raises(Corrupt, outcomes, OLD, lambda records: InPlace(records._fs).write(PATH, NEW))
    raises(Corrupt, outcomes, OLD, lambda records: Unsynced(records._fs).write(PATH, NEW))


def test_any_flipped_bit_makes_the_record_corrupt():
    flash = flash_with(NEW)
    good = flash.files[PATH]
    records = store.Store(flash)
    for index in range(len(good)):
        for bit in (1, 32, 128):
            flash.files[PATH] = good[:index] + bytes([good[index] ^ bit]) + good[index + 1 :]
            error = raises(Corrupt, records.read, PATH)
            assert error.code == "CORRUPT"
            assert records.read_or_none(PATH) is None


def test_a_record_cut_short_or_with_something_behind_is_corrupt():
    flash = flash_with(NEW)
    good = flash.files[PATH]
    records = store.Store(flash)
    for end in range(len(good)):
        flash.files[PATH] = good[:end]
        raises(Corrupt, records.read, PATH)
    for behind in (b"\n", b"\x00", good, b"X: 1\n"):
        flash.files[PATH] = good + behind
        raises(Corrupt, records.read, PATH)


def test_a_good_checksum_over_no_record_is_corrupt():
    flash = flash_with(OLD)
    for data in (b"lower: case\n", b"\xff\n", b"A: 1\nA: 2\n", b"A[1]: 1\n"):
        flash.files[PATH] = data + store.trailer(data)
        raises(Corrupt, store.Store(flash).read, PATH)


def test_a_record_over_the_limit_is_neither_written_nor_read():
    flash = flash_with(OLD)
    records = store.Store(flash)
    raises(LocalError, records.write, PATH, {"A": "x" * store.MAX_RECORD_BYTES})
    assert records.read(PATH) == OLD
    flash.files[PATH] = b"#" * (store.MAX_RECORD_BYTES + 1)
    raises(Corrupt, records.read, PATH)


def test_what_could_not_be_read_back_is_not_written():
    flash = flash_with(OLD)
    records = store.Store(flash)
    for message in ({"lower": "x"}, {"": "x"}, {"A_COUNT": "1"}, {"A": [{}]}, {"A": [{"b": "x"}]}):
        raises(LocalError, records.write, PATH, message)
        assert records.read(PATH) == OLD
        assert sorted(flash.files) == [PATH]


def test_a_record_that_the_flash_cannot_read_is_corrupt():
    flash = flash_with(OLD)

    def fails(path, mode):
        raise OSError(5)

    flash.open = fails
    raises(Corrupt, store.Store(flash).read, PATH)


def test_removing_what_is_not_there_does_nothing():
    flash = flash_with(OLD)
    records = store.Store(flash)
    records.remove("data/state/other.toon")
    records.remove(PATH)
    records.remove(PATH)
    assert flash.files == {}


def test_a_removal_that_fails_is_told():
    flash = flash_with(OLD)

    def fails(path):
        raise OSError(5)

    flash.remove = fails
    raises(OSError, store.Store(flash).remove, PATH)


def test_names_are_sorted_and_without_what_a_cut_write_left():
    flash = flash_with(OLD)
    records = store.Store(flash)
    assert records.names("data/nothing") == []
    records.write("data/state/b.toon", OLD)
    flash.files["data/state/c.toon.new"] = b"half"
    assert records.names("data/state") == ["b.toon", "identity.toon"]


def test_folders_are_made_where_they_are_missing():
    flash = Flash()
    store.Store(flash).write("data/state/outbox/00000001.toon", OLD)
    assert sorted(flash.folders) == ["data", "data/state", "data/state/outbox"]
    store.Store(flash).write("top.toon", OLD)
    assert store.Store(flash).read("top.toon") == OLD
