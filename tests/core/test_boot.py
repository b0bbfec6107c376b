"""Stage 0: which slot it starts, and what it leaves on flash."""

import binascii
import hashlib

import boot
from support import raises

FILES = {"main.py": b"def main(root, slot): pass\n", "ks_agent/toon.py": b"x = 1\n" * 400}


class Reader:
    def __init__(self, data):
        self._data = data
        self._place = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def read(self, count):
        piece = self._data[self._place : self._place + count]
        self._place += len(piece)
        return piece


class Writer:
    def __init__(self, fs, path):
        self._fs = fs
        self._path = path
        fs.files[path] = b""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def write(self, data):
        self._fs.step()
        self._fs.files[self._path] += data


class PowerCut(Exception):
    pass


class Files:
    """The part of the `fs` port that stage 0 uses; `power` is the number of writes left to do."""

    def __init__(self):
        self.files = {}
        self.power = 1000

    def step(self):
        if not self.power:
            raise PowerCut
        self.power -= 1

    def open(self, path, mode):
        if mode == "wb":
            self.step()
            return Writer(self, path)
        if path not in self.files:
            raise OSError(2)
        return Reader(self.files[path])

    def sync(self, file):
        self.step()

    def rename(self, old, new):
        self.step()
        self.files[new] = self.files.pop(old)

    def stat(self, path):
        if path not in self.files:
            raise OSError(2)
        return len(self.files[path])


def hexdigest(data):
    return binascii.hexlify(hashlib.sha256(data).digest()).decode()


def manifest_of(files, version="1.0.0"):
    lines = ['BUILT: "2026-11-20T10:00:00.000Z"', "COUNTER: 7"]
    lines.append("FILE[%d]{PATH,SHA256,SIZE}:" % len(files))
    for path in sorted(files):
        lines.append("  %s,%s,%d" % (path, hexdigest(files[path]), len(files[path])))
    lines += ["FW1: app-" + version, "FW2: " + version, "KIND: application"]
    return "\n".join(lines).encode()


def install(fs, slot, version="1.0.0", files=FILES):
    """Fill a slot; the hash of its manifest."""
    manifest = manifest_of(files, version)
    for path in files:
        fs.files["slot_" + slot + "/" + path] = files[path]
    fs.files["slot_" + slot + "/manifest.toon"] = manifest
    return hexdigest(manifest)


def write(fs, **record):
    boot.write_record(fs, record)


def choose(fs):
    return boot.choose(fs, hashlib.sha256)


def both():
    """Two good slots: (fs, hash of a, hash of b)."""
    fs = Files()
    return fs, install(fs, "a"), install(fs, "b", "2.0.0")


def trial(fs, hash_a, hash_b, tries):
    write(
        fs,
        SLOT="b",
        MANIFEST=hash_b,
        TRIAL="true",
        TRIES=str(tries),
        PREVIOUS="a",
        PREVIOUS_MANIFEST=hash_a,
    )


def test_the_first_boot_takes_slot_a():
    fs, _, _ = both()
    assert choose(fs) == "a"
    assert boot.RECORD not in fs.files


def test_the_first_boot_takes_slot_b_when_a_is_not_good():
    fs = Files()
    install(fs, "b")
    assert choose(fs) == "b"


def test_the_slot_of_the_record_is_started_and_nothing_is_written():
    fs, _, hash_b = both()
    write(fs, SLOT="b", MANIFEST=hash_b)
    before = dict(fs.files)
    assert choose(fs) == "b"
    assert fs.files == before


def test_a_record_that_the_agent_writes_is_understood():
    fs, _, hash_b = both()
    data = b"MANIFEST: " + hash_b.encode() + b"\nSLOT: b\n"
    fs.files[boot.RECORD] = data + boot.trailer(data)
    assert choose(fs) == "b"


def test_a_trial_is_counted_before_the_slot_starts():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 0)
    for tries in ("1", "2", "3"):
        assert choose(fs) == "b"
        record = boot.read_record(fs)
        assert record["TRIES"] == tries
        assert record["PREVIOUS_MANIFEST"] == hash_a


def test_a_trial_that_crashes_three_times_is_rolled_back():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 0)
    assert [choose(fs) for _ in range(5)] == ["b", "b", "b", "a", "a"]
    record = boot.read_record(fs)
    assert record["SLOT"] == "a"
    assert record["MANIFEST"] == hash_a
    assert record["ROLLED_BACK"] == hash_b
    assert record["REASON"] == "crash"
    assert "TRIAL" not in record


def test_a_damaged_slot_in_its_trial_is_rolled_back_at_once():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 0)
    fs.files["slot_b/main.py"] = b"evil"
    assert choose(fs) == "a"
    record = boot.read_record(fs)
    assert record["ROLLED_BACK"] == hash_b
    assert record["REASON"] == "damaged"


def test_a_trial_is_not_rolled_back_to_a_slot_that_is_not_the_previous_release():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 3)
    install(fs, "a", "0.9.0")
    assert choose(fs) == "b"
    assert boot.read_record(fs)["TRIES"] == "3"
    fs.files["slot_b/main.py"] = b"evil"
    raises(SystemExit, choose, fs)


def test_a_damaged_slot_gives_way_to_the_other_one():
    fs, hash_a, hash_b = both()
    write(fs, SLOT="a", MANIFEST=hash_a)
    fs.files["slot_a/ks_agent/toon.py"] += b"#"
    assert choose(fs) == "b"
    record = boot.read_record(fs)
    assert record["SLOT"] == "b"
    assert record["MANIFEST"] == hash_b
    assert record["ROLLED_BACK"] == hash_a
    assert record["REASON"] == "damaged"


def test_a_slot_that_was_replaced_as_a_whole_is_not_the_one_of_the_record():
    fs, hash_a, _ = both()
    write(fs, SLOT="a", MANIFEST=hash_a)
    install(fs, "a", "0.9.0")
    assert choose(fs) == "b"


def test_no_good_slot_ends_with_a_line_for_a_person():
    fs, hash_a, _ = both()
    write(fs, SLOT="a", MANIFEST=hash_a)
    del fs.files["slot_a/main.py"]
    fs.files["slot_b/main.py"] = b""
    before = dict(fs.files)
    said = str(raises(SystemExit, choose, fs))
    assert "slot a" in said
    assert "slot b: main.py is not what the manifest says" in said
    assert fs.files == before


def test_empty_slots_end_with_a_line_for_a_person():
    assert "no slot" in str(raises(SystemExit, choose, Files()))


def test_a_file_is_checked_in_content_and_size():
    for path in sorted(FILES):
        for change in (FILES[path][:-1], FILES[path] + b" ", b"?" + FILES[path][1:], b""):
            fs = Files()
            install(fs, "a")
            fs.files["slot_a/" + path] = change
            raises(SystemExit, choose, fs)
        fs = Files()
        install(fs, "a")
        del fs.files["slot_a/" + path]
        raises(SystemExit, choose, fs)


def test_a_corrupt_record_takes_a_good_slot_and_prefers_a():
    fs, _, hash_b = both()
    write(fs, SLOT="b", MANIFEST=hash_b)
    good = fs.files[boot.RECORD]
    for place in range(len(good)):
        fs.files[boot.RECORD] = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        assert choose(fs) == "a", place
        fs.files[boot.RECORD] = good[:place]
        assert choose(fs) == "a", place
    del fs.files["slot_a/manifest.toon"]
    assert choose(fs) == "b"


def test_a_record_that_makes_no_sense_is_a_corrupt_one():
    fs, _, hash_b = both()
    for record in (
        {"SLOT": "c", "MANIFEST": hash_b},
        {"SLOT": "b"},
        {"MANIFEST": hash_b},
        {"SLOT": "b", "MANIFEST": hash_b[:-1]},
        {"SLOT": "b", "MANIFEST": hash_b.upper() + "A"},
        {"SLOT": "b", "MANIFEST": hash_b, "TRIAL": "true", "TRIES": "10"},
        {"SLOT": "b", "MANIFEST": hash_b, "TRIAL": "true", "TRIES": "-1"},
        {"SLOT": "b", "MANIFEST": hash_b, "TRIAL": "true", "TRIES": "x"},
        {"SLOT": "b", "MANIFEST": hash_b, "PREVIOUS": "a\nSLOT: a"},
    ):
        write(fs, **record)
        assert boot.read_record(fs) is None, record
        assert choose(fs) == "a"


def test_what_an_interrupted_write_left_is_ignored():
    fs, _, hash_b = both()
    write(fs, SLOT="b", MANIFEST=hash_b)
    for left in (b"", b"SLOT: a\n", fs.files[boot.RECORD][:20]):
        fs.files[boot.RECORD + ".new"] = left
        assert choose(fs) == "b"


def test_a_power_cut_while_a_try_is_counted_leaves_the_old_count_or_the_new_one():
    for power in range(5):
        fs, hash_a, hash_b = both()
        trial(fs, hash_a, hash_b, 1)
        fs.power = power
        try:
            choose(fs)
            assert power == 4
        except PowerCut:
            assert power < 4
        fs.power = 1000
        assert boot.read_record(fs)["TRIES"] == ("2" if power == 4 else "1")
        assert choose(fs) == "b"


def test_a_power_cut_while_it_rolls_back_rolls_back_at_the_next_boot():
    for power in range(5):
        fs, hash_a, hash_b = both()
        trial(fs, hash_a, hash_b, 3)
        fs.power = power
        try:
            choose(fs)
        except PowerCut:
            pass
        fs.power = 1000
        assert choose(fs) == "a"
        assert boot.read_record(fs)["ROLLED_BACK"] == hash_b


def refuses_manifest(manifest):
    fs = Files()
    install(fs, "a")
    fs.files["slot_a/manifest.toon"] = manifest
    raises(SystemExit, choose, fs)


def test_a_manifest_with_quoted_values_says_the_same():
    fs = Files()
    install(fs, "a")
    manifest = manifest_of(FILES).decode().replace(" application", ' "application"')
    digest = hexdigest(FILES["main.py"])
    manifest = manifest.replace(digest, '"' + digest + '"')
    fs.files["slot_a/manifest.toon"] = manifest.encode()
    assert choose(fs) == "a"


def test_a_malformed_manifest_is_refused():
    good = manifest_of(FILES)
    for old, new in (
        (b"FILE[2]", b"FILE[1]"),
        (b"FILE[2]", b"FILE[3]"),
        (b"FILE[2]", b"FILE[02]"),
        (b"FILE[2]", b"FILE[x]"),
        (b"FILE[2]", b"FILE[]"),
        (b"{PATH,SHA256,SIZE}", b"{PATH,SIZE,SHA256}"),
        (b"SIZE}:", b"SIZE}"),
        (b"  main.py", b" main.py"),
        (b"  main.py", b"    main.py"),
        (b"  main.py,", b"  "),
        (b"main.py,", b"main.py,main.py,"),
        (b"main.py,", b"ks_agent/toon.py,"),
        (b"main.py", b"../main.py"),
        (b"main.py", b"/main.py"),
        (b"main.py", b"ks_agent/./main.py"),
        (b"main.py", b"ks_agent//main.py"),
        (b"main.py", b"main py"),
        (b"main.py", b"other.py"),
        (b"KIND: application", b"KIND: bootloader"),
        (b"KIND: application", b"KIND:application"),
        (b"KIND: application", b'KIND: "application'),
        (b"KIND: application", b'KIND: "appl\\u0069cation"'),
        (b"KIND: application", b"KIND: "),
        (b"KIND: application", b"- application"),
        (b"COUNTER: 7", b"COUNTER: 7\nCOUNTER: 8"),
        (b"COUNTER: 7", b"COUNTER: 7\0"),
        (b"COUNTER: 7", b"COUNTER: 7\r"),
        (b"COUNTER: 7", b"COUNTER: \xc3\xa9"),
        (b"COUNTER: 7", b"COUNTER: \xff"),
        (b"COUNTER: 7", b"A:\n  b: c"),
        (b"FILE[2]", b"FILE[0]{PATH,SHA256,SIZE}:\nFILE[2]"),
    ):
        assert old in good
        refuses_manifest(good.replace(old, new))
    refuses_manifest(b"")
    refuses_manifest(b"\n")
    refuses_manifest(good + b"\n" * 8192)
    refuses_manifest(good[:-12])


def test_whatever_the_manifest_is_stage_0_starts_the_slot_or_refuses_it():
    good = manifest_of(FILES)
    fs = Files()
    install(fs, "a")
    seed = 4711
    for _ in range(150):
        data = bytearray(good)
        for _ in range(2):
            seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
            data[seed // 65536 % len(data)] = seed // 256 % 256
        fs.files["slot_a/manifest.toon"] = bytes(data)
        try:
            assert choose(fs) == "a"
        except SystemExit:
            pass
