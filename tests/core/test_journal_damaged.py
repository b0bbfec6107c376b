"""The journal when the power goes, the flash fails, or something is damaged."""

# heap: 12m because the tests keep every punch to compare with what is read back

from fake_ports import PowerCut
from journal_desk import Desk, check_chain
from support import raises

from ks_agent.journal_read import batch, believe, settle


def test_a_torn_tail_is_cut_off_and_nothing_before_it():
    desk = Desk()
    made = desk.fill(10)
    path = desk.segments()[0]
    whole = desk.fs.files[path]
    before = len(whole) - 11
    for size in range(before, len(whole)):
        desk.fs.files[path] = whole[:size]
        desk.boot()
        assert desk.sent() == made[:9]
        assert len(desk.fs.files[path]) == before
        assert desk.punch()["SEQ"] == "10"
        assert len(desk.sent()) == 10
        desk.fs.files[path] = whole[:size] + b"\xff" * 5
        desk.boot()
        assert desk.sent() == made[:9]


def test_a_new_segment_that_the_power_kept_from_its_first_record_never_was():
    desk = Desk()
    made = []
    while len(desk.segments()) < 2:
        made.append(desk.punch())
    path = desk.segments()[1]
    whole = desk.fs.files[path]
    for size in range(len(whole)):
        desk.fs.files[path] = whole[:size]
        desk.boot()
        kept = desk.sent()
        assert kept == made[: len(kept)]
        assert len(desk.segments()) == 1
        again = desk.punch()
        assert int(again["SEQ"]) == len(kept) + 1 == len(made)
        assert len(desk.segments()) == 2


def test_a_damaged_end_is_left_alone_and_a_journal_with_another_id_begins():
    desk = Desk()
    made = desk.fill(300)
    path = desk.segments()[0]
    data = bytearray(desk.fs.files[path])
    data[1000] ^= 4
    desk.fs.files[path] = bytes(data)
    desk.boot()
    new = desk.punch()
    assert desk.journal.damaged
    assert new["JID"] != made[0]["JID"] and new["SEQ"] == "1" and new["PREV"] == ""
    sent = desk.sent()
    assert sent[-1] == new
    assert sent[:-1] == made[: len(sent) - 1]
    assert 80 < len(sent) < 100
    assert bytes(desk.fs.files[path]) == bytes(data)


def test_a_damaged_segment_in_the_middle_is_passed_by_and_named_as_a_gap():
    desk = Desk()
    made = desk.fill(900)
    path = desk.segments()[1]
    data = bytearray(desk.fs.files[path])
    data[500] ^= 1
    desk.fs.files[path] = bytes(data)
    journal = desk.journal
    lows = []
    passed_by = []
    seen = []
    while True:
        rows, place, damaged = batch(journal, 20)
        passed_by += damaged
        if not rows:
            break
        lows.append(place[3])
        seen += rows
        settle(journal, place, place[2].seq)
    assert passed_by == [1]
    assert sorted(set(lows))[0] == 1 and len(set(lows)) == 2
    numbers = [int(punch["SEQ"]) for punch in seen]
    assert sorted(set(lows))[1] in numbers
    missing = sorted(set(range(1, 901)) - set(numbers))
    assert missing == list(range(missing[0], sorted(set(lows))[1]))
    by_seq = {punch["SEQ"]: punch for punch in made}
    assert [by_seq[punch["SEQ"]] for punch in seen] == seen


def test_a_segment_that_is_gone_is_passed_by():
    desk = Desk()
    desk.fill(900)
    del desk.fs.files[desk.segments()[1]]
    sent = desk.sent()
    assert 400 < len(sent) < 700
    assert sent[-1]["SEQ"] == "900"


def test_a_server_that_has_more_than_the_journal_ever_gave_makes_it_begin_anew():
    desk = Desk()
    made = desk.fill(5)
    rows, place, _ = batch(desk.journal, 20)
    assert rows == made
    assert settle(desk.journal, place, 9) is False
    assert desk.journal.is_settled()
    new = desk.punch()
    assert new["JID"] != made[0]["JID"] and new["SEQ"] == "1"
    assert desk.sent() == [new]
    # A heartbeat that says so is no reason to drop what was not sent yet.
    believe(desk.journal, 4)
    assert desk.sent() == [new]


def test_punches_of_two_journal_ids_are_never_in_one_batch():
    desk = Desk()
    made = desk.fill(5)
    desk.journal.begin_anew()
    desk.journal.place = None
    made += desk.fill(5)
    rows, place, _ = batch(desk.journal, 20)
    assert rows == made[:5]
    settle(desk.journal, place, 5)
    rows, place, _ = batch(desk.journal, 20)
    assert rows == made[5:]
    assert place[3] == 1
    desk.boot()
    assert desk.sent() == made
    # Of the older id a heartbeat says nothing.
    believe(desk.journal, 5)
    assert desk.sent() == made


def test_a_failing_flash_fails_the_punch_and_not_the_journal():
    desk = Desk()
    made = desk.fill(5)
    good = desk.fs.sync

    def bad(file):
        raise OSError(5)

    desk.fs.sync = bad
    raises(OSError, desk.punch)
    raises(OSError, desk.punch)
    desk.fs.sync = good
    made.append(desk.punch())
    sent = desk.sent()
    # What failed may be there or not; what was stored is, once, in order.
    assert [punch for punch in sent if punch in made] == made
    check_chain(sent)


def test_the_power_may_go_at_every_operation_of_every_append():
    desk = Desk()
    roll = 1
    while len(desk.segments()) < 2:
        desk.punch()
        roll += 1
    for count in (1, 2, roll - 2, roll - 1, roll):
        for operations in range(4):
            desk = Desk()
            made = desk.fill(count - 1)
            desk.fs.operations_left = operations
            try:
                made.append(desk.punch())
                cut = False
            except PowerCut:
                cut = True
            desk.fs.operations_left = -1
            desk.boot()
            sent = desk.sent()
            assert sent[: len(made)] == made and len(sent) <= count
            made = sent + [desk.punch()]
            assert desk.sent() == made
            check_chain(made)
            if not cut:
                break


def test_nothing_is_left_of_a_journal_that_was_wiped():
    desk = Desk()
    first = desk.fill(400)[0]
    desk.journal.clear()
    assert desk.segments() == []
    assert desk.journal.is_settled()
    again = desk.punch()
    assert again["SEQ"] == "1" and again["JID"] != first["JID"]
