"""The journal on flash: appended, read back in order, rolled, dropped, full, cut off, damaged."""

# heap: 12m because the tests keep every punch to compare with what is read back

from fake_ports import CRYPTO, NOW_MS, Fs, PowerCut, Rng
from support import raises

from ks_agent.journal import KEPT, RESERVE_BYTES, SEGMENT_BYTES, Full, Journal
from ks_agent.journal_read import batch, believe, settle
from ks_agent.punch import prev_of, punch_hash

SEGMENT = SEGMENT_BYTES


class Desk:
    """A journal on its flash; a boot forgets all but the flash."""

    def __init__(self, segments=None):
        self.fs = Fs()
        self.rng = Rng()
        self.ticks = 0
        self.limit_kib = None if segments is None else segments * SEGMENT // 1024
        self.boot()

    def boot(self):
        self.journal = Journal(self.fs, CRYPTO, self.rng)
        if self.limit_kib is not None:
            self.journal.limit_kib = self.limit_kib
        self.ticks = 0

    def punch(self, e1="12E45678"):
        self.ticks += 172000
        return self.journal.append(e1, "IN", "RFID", True, 1, self.ticks, NOW_MS + self.ticks)

    def fill(self, count, e1="12E45678"):
        return [self.punch(e1) for _ in range(count)]

    def segments(self):
        return sorted(path for path in self.fs.files if path.startswith("data/journal/"))

    def sent(self, limit=20, whole=True):
        """All that is not acknowledged, read in batches, or the SEQs; nothing is settled."""
        journal = self.journal
        journal.recover() if not journal.opened else None
        kept = journal.place
        punches = []
        while True:
            rows, place, damaged = batch(journal, limit)
            if not rows and not damaged:
                break
            punches += rows if whole else [int(row["SEQ"]) for row in rows]
            journal.place = place
        journal.place = kept
        return punches

    def acknowledge(self, limit=20):
        """One batch is sent and settled; the punches in it."""
        rows, place, _ = batch(self.journal, limit)
        if rows:
            settle(self.journal, place, place[2].seq)
        return rows


def check_chain(punches):
    for number in range(1, len(punches)):
        before, after = punches[number - 1], punches[number]
        assert after["JID"] != before["JID"] or (
            int(after["SEQ"]) == int(before["SEQ"]) + 1
            and after["PREV"] == prev_of(punch_hash(CRYPTO.sha256, before))
        )


def test_punches_are_read_back_as_they_were_appended_in_order_and_chained():
    desk = Desk()
    made = desk.fill(50)
    assert desk.sent() == made
    assert [punch["SEQ"] for punch in made] == [str(number) for number in range(1, 51)]
    assert made[0]["PREV"] == ""
    check_chain(made)


def test_a_boot_goes_on_where_the_last_one_ended():
    desk = Desk()
    made = desk.fill(30)
    desk.boot()
    made += desk.fill(30)
    desk.boot()
    assert desk.sent(7) == made
    check_chain(made)
    assert len({punch["JID"] for punch in made}) == 1


def test_a_full_segment_is_followed_by_another_and_batches_reach_over_both():
    desk = Desk()
    made = desk.fill(900)
    assert len(desk.segments()) == 3
    for path in desk.segments():
        assert len(desk.fs.files[path]) <= SEGMENT
    assert desk.sent(20) == made
    desk.boot()
    assert desk.sent(20) == made


def test_what_is_acknowledged_is_not_read_again():
    desk = Desk()
    made = desk.fill(45)
    assert desk.acknowledge() == made[:20]
    assert desk.sent() == made[20:]
    assert desk.acknowledge() == made[20:40]
    assert not desk.journal.is_settled()
    assert desk.acknowledge() == made[40:]
    assert desk.acknowledge() == []
    assert desk.journal.is_settled()
    made += desk.fill(1)
    assert not desk.journal.is_settled()
    assert desk.sent() == made[45:]


def test_a_server_that_has_more_than_was_sent_is_believed_and_one_that_has_less_too():
    desk = Desk()
    made = desk.fill(600)
    _, place, _ = batch(desk.journal, 20)
    settle(desk.journal, place, 555)
    assert desk.sent() == made[555:]
    _, place, _ = batch(desk.journal, 20)
    settle(desk.journal, place, 17)
    assert desk.sent() == made[17:]


def test_a_heartbeat_answer_tells_after_a_boot_what_the_server_has():
    desk = Desk()
    made = desk.fill(600)
    for ack_seq in (600, 599, 371, 370, 1, 0):
        desk.boot()
        desk.journal.recover()
        believe(desk.journal, ack_seq)
        assert desk.sent() == made[ack_seq:], ack_seq


def test_segments_are_dropped_whole_once_they_are_acknowledged_but_some_stay():
    desk = Desk()
    while desk.journal.last < KEPT + 6:
        last = desk.fill(100)[-1]
        while desk.acknowledge():
            pass
    assert KEPT <= len(desk.segments()) <= KEPT + 2
    assert desk.journal.first > 0
    # A server that comes back from a backup is given again what is still here.
    believe(desk.journal, 0)
    again = desk.sent(whole=False)
    count = int(last["SEQ"])
    assert len(again) > KEPT * 300
    assert again == list(range(count - len(again) + 1, count + 1))


def test_what_is_not_acknowledged_is_never_dropped():
    desk = Desk(6)
    made = []
    try:
        while True:
            made.append(desk.punch())
    except Full as full:
        assert full.code == "FULL"
    assert len(desk.segments()) == 6
    assert desk.sent() == made
    raises(Full, desk.punch)
    assert desk.sent() == made
    assert desk.journal.used_percent() == 100 and desk.journal.left() == 0


def test_a_full_journal_takes_punches_again_when_the_server_has_some():
    desk = Desk(6)
    made = []
    try:
        while True:
            made.append(desk.punch())
    except Full:
        pass
    for _ in range(20):
        desk.acknowledge()
    made.append(desk.punch())
    assert desk.sent() == made[400:]
    assert len(desk.segments()) == 6


def test_a_flash_without_room_is_a_full_journal_and_loses_nothing():
    desk = Desk()
    desk.fs.total_bytes = RESERVE_BYTES + 3 * SEGMENT
    made = []
    try:
        while True:
            made.append(desk.punch())
    except Full:
        pass
    assert len(desk.segments()) == 3
    assert desk.sent() == made


def test_at_least_as_many_punches_fit_as_it_says():
    desk = Desk(4)
    desk.punch()
    promised = desk.journal.left()
    longest = "x" * 64
    for number in range(promised):
        assert desk.journal.left() >= promised - number
        desk.ticks += 1
        desk.journal.append(longest, "IN", "RFID", False, number + 2, 1 << 45, number)
    assert desk.journal.left() >= 0


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
