"""The journal on flash: appended, read back in order, rolled, dropped, full."""

# heap: 12m because the tests keep every punch to compare with what is read back

from journal_desk import SEGMENT, Desk, check_chain
from support import raises

from ks_agent.journal import KEPT, RESERVE_BYTES, Full
from ks_agent.journal_read import batch, believe, settle


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
