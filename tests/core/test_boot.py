"""Stage 0: which slot it starts, and what it leaves on flash."""

import stage0
from boot_files import FILES, Files, PowerCut, both, choose, install, trial, write
from support import raises


def test_the_first_boot_takes_slot_a():
    fs, _, _ = both()
    assert choose(fs) == "a"
    assert stage0.RECORD not in fs.files


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
    fs.files[stage0.RECORD] = data + stage0.trailer(data)
    assert choose(fs) == "b"


def test_a_trial_is_counted_before_the_slot_starts():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 0)
    for tries in ("1", "2", "3"):
        assert choose(fs) == "b"
        record = stage0.read_record(fs)
        assert record["TRIES"] == tries
        assert record["PREVIOUS_MANIFEST"] == hash_a


def test_a_trial_that_crashes_three_times_is_rolled_back():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 0)
    assert [choose(fs) for _ in range(5)] == ["b", "b", "b", "a", "a"]
    record = stage0.read_record(fs)
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
    record = stage0.read_record(fs)
    assert record["ROLLED_BACK"] == hash_b
    assert record["REASON"] == "damaged"


def test_a_trial_is_not_rolled_back_to_a_slot_that_is_not_the_previous_release():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 3)
    install(fs, "a", "0.9.0")
    assert choose(fs) == "b"
    assert stage0.read_record(fs)["TRIES"] == "3"
    fs.files["slot_b/main.py"] = b"evil"
    raises(SystemExit, choose, fs)


def test_a_damaged_slot_gives_way_to_the_other_one():
    fs, hash_a, hash_b = both()
    write(fs, SLOT="a", MANIFEST=hash_a)
    fs.files["slot_a/ks_agent/toon.py"] += b"#"
    assert choose(fs) == "b"
    record = stage0.read_record(fs)
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
    good = fs.files[stage0.RECORD]
    for place in range(len(good)):
        fs.files[stage0.RECORD] = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        assert choose(fs) == "a", place
        fs.files[stage0.RECORD] = good[:place]
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
        assert stage0.read_record(fs) is None, record
        assert choose(fs) == "a"


def test_what_an_interrupted_write_left_is_ignored():
    fs, _, hash_b = both()
    write(fs, SLOT="b", MANIFEST=hash_b)
    for left in (b"", b"SLOT: a\n", fs.files[stage0.RECORD][:20]):
        fs.files[stage0.RECORD + ".new"] = left
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
        assert stage0.read_record(fs)["TRIES"] == ("2" if power == 4 else "1")
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
        assert stage0.read_record(fs)["ROLLED_BACK"] == hash_b
