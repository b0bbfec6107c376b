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


def counts(fs):
    record = stage0.read_record(fs)
    return record["CRASHES"], record["RESETS"]


def crash(fs, error="planted"):
    """A start that ends in an exception; the slot that was started."""
    slot = choose(fs)
    stage0.crashed(fs, error)
    return slot


def test_a_start_on_trial_is_counted_as_a_reset_before_the_slot_starts():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 0)
    for resets in ("1", "2", "3"):
        assert choose(fs) == "b"
        assert counts(fs) == ("0", resets)
        assert stage0.read_record(fs)["PREVIOUS_MANIFEST"] == hash_a


def test_a_start_on_trial_that_ends_in_an_exception_is_no_reset():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 0)
    assert choose(fs) == "b"
    assert crash(fs) == "b"
    assert counts(fs) == ("1", "1")


def test_a_trial_that_crashes_three_times_is_rolled_back():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 0)
    assert [crash(fs, ValueError('of "x"\\\n')) for _ in range(5)] == ["b", "b", "b", "a", "a"]
    record = stage0.read_record(fs)
    assert record["SLOT"] == "a"
    assert record["MANIFEST"] == hash_a
    assert record["ROLLED_BACK"] == hash_b
    assert record["REASON"] == "crash"
    assert record["CRASH"].startswith("ValueError(")
    assert "TRIAL" not in record


def test_a_trial_bears_nine_resets_and_is_rolled_back_for_the_tenth():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 2)
    assert [choose(fs) for _ in range(12)] == 10 * ["b"] + 2 * ["a"]
    assert stage0.read_record(fs)["REASON"] == "resets"


def test_a_crash_counts_only_against_what_was_started_on_trial():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 0)
    stage0.crashed(fs, "of the release that staged the other one")
    assert counts(fs) == ("0", "0")
    write(fs, SLOT="b", MANIFEST=hash_b)
    before = dict(fs.files)
    crash(fs)
    assert fs.files == before


def test_a_crash_that_leaves_no_record_is_borne():
    fs = Files()
    stage0.crashed(fs, "before the first record")
    assert fs.files == {}


def test_whatever_a_crash_says_the_record_stays_good():
    for text in ("", "\0", '"' * 300, "\\", "é ", "a: b, c", "# x", "  ", "FILE[1]"):
        fs, hash_a, hash_b = both()
        trial(fs, hash_a, hash_b, 0)
        for error in (text, ValueError(text)):
            crash(fs, error)
        assert counts(fs) == ("2", "0"), text
        assert choose(fs) == "b"


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
    trial(fs, hash_a, hash_b, 0, 10)
    install(fs, "a", "0.9.0")
    assert choose(fs) == "b"
    assert counts(fs) == ("0", "10")
    fs.files["slot_b/main.py"] = b"evil"
    raises(SystemExit, choose, fs)


def test_what_always_crashes_is_left_for_recovery_when_there_is_nothing_to_go_back_to():
    fs, hash_a, hash_b = both()
    trial(fs, hash_a, hash_b, 3)
    install(fs, "a", "0.9.0")
    before = dict(fs.files)
    raises(SystemExit, choose, fs)
    assert fs.files == before


def test_what_was_given_up_is_left_for_recovery_when_the_release_before_it_is_damaged():
    fs, hash_a, hash_b = both()
    write(fs, SLOT="a", MANIFEST=hash_a, ROLLED_BACK=hash_b, REASON="no_round_trip")
    fs.files["slot_a/main.py"] = b"damaged"
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
        {"SLOT": "b", "MANIFEST": hash_b + "a"},
        {"SLOT": "b", "MANIFEST": hash_b, "TRIAL": "true", "RESETS": "1000"},
        {"SLOT": "b", "MANIFEST": hash_b, "TRIAL": "true", "RESETS": "-1"},
        {"SLOT": "b", "MANIFEST": hash_b, "TRIAL": "true", "CRASHES": "x"},
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


def test_a_power_cut_while_a_start_is_counted_leaves_the_old_count_or_the_new_one():
    for power in range(5):
        fs, hash_a, hash_b = both()
        trial(fs, hash_a, hash_b, 1, 1)
        fs.power = power
        try:
            choose(fs)
            assert power == 4
        except PowerCut:
            assert power < 4
        fs.power = 1000
        assert counts(fs) == ("1", "2" if power == 4 else "1")
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
