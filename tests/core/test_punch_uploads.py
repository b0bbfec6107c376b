"""Punches on their way: uploads, outages, restores, full journals, power cuts, WIPE."""

# heap: 8m because the agent, compiled here, shares it with the test's server and its punches

from fake_ports import PowerCut
from fakes import ADMIN_SEEDS, acknowledgement, ready
from punch_desk import check_chain, configured, stored, take

from ks_agent.journal import SEGMENT_BYTES
from ks_agent.log_upload import select


def test_an_outage_delays_punches_and_loses_none():
    terminal = configured(DUPLICATE_S="0")
    terminal.link_down = True
    for number in range(50):
        assert take(terminal, "P%d" % number) == "accepted"
        terminal.step()
    assert not stored(terminal)
    terminal.link_down = False
    terminal.run(lambda: len(stored(terminal)) == 50)
    check_chain(stored(terminal))


def test_a_lost_answer_does_not_store_twice_and_holds_nothing_up():
    terminal = configured(DUPLICATE_S="0")
    handle = terminal.server.handle
    lost = []

    def losing(fetch):
        answer = handle(fetch)
        if terminal.server.ops()[-1] == "events" and len(lost) < 3:
            lost.append(1)
            raise OSError("lost")
        return answer

    terminal.server.handle = losing
    for number in range(45):
        take(terminal, "P%d" % number)
    terminal.run(lambda: len(stored(terminal)) == 45)
    assert len(lost) == 3
    terminal.run(terminal.agent.punches.journal.is_settled)
    check_chain(stored(terminal))


def test_after_a_power_cut_only_what_the_server_lacks_is_sent():
    terminal = configured(DUPLICATE_S="0")
    for number in range(45):
        take(terminal, "P%d" % number)
    terminal.run(lambda: len(stored(terminal)) == 40)
    terminal.boot()
    before = terminal.server.ops().count("events")
    terminal.run(lambda: len(stored(terminal)) == 45)
    assert terminal.server.ops().count("events") == before + 1


def test_after_a_boot_the_time_comes_first_so_that_the_upload_says_when_it_is():
    terminal = configured(DUPLICATE_S="0")
    before = len(terminal.server.requests)
    terminal.boot()
    terminal.step()
    terminal.step()
    assert take(terminal, "A") == "accepted"
    assert not terminal.agent.clock.synced
    terminal.run(lambda: stored(terminal))
    first, *_, upload = terminal.server.requests[before:]
    assert first["OP"] == "heartbeat"
    assert upload["OP"] == "events" and upload["CLK"] == "SYNCED"
    assert stored(terminal)[0]["CLK"] == "UNSYNCED"


def test_a_server_restored_from_a_backup_is_given_again_what_it_lost():
    terminal = configured(DUPLICATE_S="0")
    for number in range(45):
        take(terminal, "P%d" % number)
    terminal.run(lambda: terminal.agent.punches.journal.is_settled() and stored(terminal))
    (jid,) = terminal.server.journals
    rows = terminal.server.journals[jid]
    whole = dict(rows)
    for seq in range(8, 46):
        del rows[seq]
    terminal.run(lambda: rows == whole)


def test_a_rate_limit_is_waited_for_while_heartbeats_go_on():
    terminal = ready()
    terminal.server.answers["events"] = {"ERR1": "RATE_LIMIT", "RTY": "90"}
    take(terminal, "A")
    terminal.run(lambda: terminal.server.ops().count("events") == 1)
    asked = terminal.clock.ticks
    beats = terminal.beats()
    terminal.run(lambda: terminal.server.ops().count("events") == 2)
    assert terminal.clock.ticks - asked >= 90000
    assert terminal.beats() > beats


def test_an_answer_that_nobody_signed_settles_nothing():
    terminal = ready()
    terminal.server.answers["events"] = {"S1": "ok", "ACK_SEQ": "0"}

    def forged(answer):
        if answer["OP"] == "events":
            answer["ACK_SEQ"] = "1"

    terminal.server.bend_signed = forged
    take(terminal, "A")
    for _ in range(20):
        terminal.step()
    assert not terminal.agent.punches.journal.is_settled()


def test_the_boot_counter_goes_up_with_each_boot_and_survives_a_lost_record():
    terminal = configured(DUPLICATE_S="0")
    for _ in range(3):
        take(terminal, "A")
        terminal.boot()
        terminal.run(lambda: terminal.beats() == 1)
    terminal.fs.remove("data/state/boots.toon")
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    take(terminal, "A")
    terminal.run(lambda: len(stored(terminal)) == 4)
    boots = [int(punch["BOOT"]) for punch in stored(terminal)]
    assert boots == sorted(boots) and len(set(boots)) == 4


def test_old_records_stay_as_they_are_when_the_clock_is_set():
    terminal = ready()
    terminal.boot()
    assert take(terminal, "A") == "closed"  # until it has read its journal
    terminal.step()
    terminal.link_down = True
    for _ in range(4):
        terminal.step()
    assert take(terminal, "A") == "accepted"
    said = terminal.agent.clock.text()
    assert not terminal.agent.clock.synced
    terminal.link_down = False
    terminal.run(lambda: stored(terminal))
    (punch,) = stored(terminal)
    assert punch["CLK"] == "UNSYNCED" and punch["A3"] == said


def fill(terminal):
    number = 0
    while take(terminal, "P%d" % number) == "accepted":
        number += 1
    return number


def test_a_full_journal_warns_before_and_refuses_loudly_and_loses_nothing():
    terminal = configured(DUPLICATE_S="0", JOURNAL_KIB="48")
    terminal.link_down = True
    shown = terminal.board.show
    warnings = []

    def show(event, detail):
        shown(event, detail)
        if event == "journal_warning":
            warnings.append(detail)

    terminal.board.show = show
    count = fill(terminal)
    assert terminal.board.shown[-1] == ("punch_refused", {"S1": "full"})
    assert terminal.board.counts["journal_full"] == 1
    assert warnings[0]["J1"] < 95 and warnings[-1]["J2"] == 0
    last = [warning["J2"] for warning in warnings if warning["J2"] <= 99]
    assert len(last) >= 99
    rows = select(terminal.agent.log, "ERROR")
    levels = [row["LOG2"] for row in rows]
    assert levels[-1] == "FATAL" and levels.count("FATAL") == 1 and levels.count("ERROR") >= 2
    assert take(terminal, "longer than all the others") == "full"
    assert [row["LOG2"] for row in select(terminal.agent.log, "ERROR")].count("FATAL") == 1
    tokens = terminal.agent.heartbeat_tokens()
    assert tokens["J1"] == "100" and tokens["J2"] == "0" and tokens["SEQ"] == str(count)
    terminal.link_down = False
    jid = terminal.agent.punches.journal.tail.jid
    journals = terminal.server.journals
    terminal.run(lambda: len(journals.get(jid, ())) == count, 9000)
    assert take(terminal, "LATER") == "accepted"
    terminal.run(lambda: len(journals[jid]) == count + 1)
    assert terminal.agent.heartbeat_tokens()["J1"] != "100"


def test_a_flash_that_fails_refuses_the_punch_and_says_so():
    terminal = ready()

    def bad(file):
        raise OSError(5)

    good = terminal.fs.sync
    terminal.fs.sync = bad
    assert take(terminal, "A") == "failed"
    assert select(terminal.agent.log, "FATAL")
    terminal.fs.sync = good
    assert take(terminal, "A") == "accepted"


def test_a_full_heap_has_a_spare_piece_for_a_punch():
    terminal = ready()
    punches = terminal.agent.punches
    append = punches.journal.append
    failing = [MemoryError(), None]

    def short(*words):
        problem = failing.pop(0)
        if problem is not None:
            raise problem
        return append(*words)

    punches.journal.append = short
    assert take(terminal, "A") == "accepted"
    failing += [MemoryError(), MemoryError()]
    assert take(terminal, "B") == "failed"


def test_a_batch_that_does_not_fit_into_memory_is_sent_in_smaller_ones():
    terminal = configured(DUPLICATE_S="0")
    handle = terminal.agent.exchange.sign

    def sign(op, fields, seed=None, seal=None):
        if len(fields.get("EVENT", ())) > 6:
            raise MemoryError()
        return handle(op, fields, seed, seal)

    terminal.agent.exchange.sign = sign
    for number in range(30):
        take(terminal, "P%d" % number)
    terminal.run(lambda: len(stored(terminal)) == 30)
    batches = [len(row["EVENT"]) for row in terminal.server.requests if row["OP"] == "events"]
    assert batches == [5] * 6


def test_a_wipe_waits_for_the_punches_unless_it_is_forced():
    terminal = configured(DUPLICATE_S="0")
    terminal.server.answers["events"] = {"ERR1": "INTERNAL"}
    take(terminal, "A")
    row = terminal.server.command("WIPE", 1, admins=ADMIN_SEEDS)
    assert acknowledgement(terminal, row).startswith("PARTIAL")
    assert terminal.agent.identity.state == "ACTIVE"
    del terminal.server.answers["events"]
    row = terminal.server.command("WIPE", 2, admins=ADMIN_SEEDS)
    assert acknowledgement(terminal, row) == "OK erased"
    assert len(stored(terminal)) == 1


def test_a_forced_wipe_leaves_nothing_of_who_punched():
    terminal = configured(DUPLICATE_S="0")
    terminal.server.answers["events"] = {"ERR1": "INTERNAL"}
    for number in range(5):
        take(terminal, "SECRET%d" % number)
    row = terminal.server.command("WIPE", 1, "FORCE:true", admins=ADMIN_SEEDS)
    assert acknowledgement(terminal, row) == "OK erased"
    (last,) = [said for said in terminal.server.requests if said.get("CMD1") == row["CMD1"]]
    assert last["SEQ"] == "5" and len(last["JID"]) == 16
    for path, data in terminal.fs.files.items():
        assert b"SECRET" not in data, path
    assert not [path for path in terminal.fs.files if "journal" in path or "boots" in path]


def test_a_heartbeat_says_where_the_journal_stands():
    terminal = configured(DUPLICATE_S="0")
    assert "JID" not in terminal.agent.heartbeat_tokens()
    for _ in range(3):
        take(terminal, "A")
    tokens = terminal.agent.heartbeat_tokens()
    assert tokens["SEQ"] == "3" and len(tokens["JID"]) == 16
    assert tokens["J1"] == "0" and int(tokens["J2"]) > 1000


def test_a_shift_change_of_five_a_second_for_a_minute_during_uploads_loses_none():
    terminal = configured(DUPLICATE_S="0")
    handle = terminal.server.handle
    taken = [0]

    def punching(fetch):
        """While the terminal waits for an answer, people go on."""
        if taken[0] < 300:
            for _ in range(7):
                assert take(terminal, "P%d" % taken[0]) == "accepted"
                taken[0] += 1
        return handle(fetch)

    terminal.server.handle = punching
    take(terminal, "FIRST")
    terminal.run(lambda: taken[0] >= 300 and len(stored(terminal)) == taken[0] + 1)
    assert [punch["E1"] for punch in stored(terminal)][1:] == ["P%d" % n for n in range(taken[0])]
    check_chain(stored(terminal))


def test_a_power_cut_at_any_operation_of_a_punch_or_its_upload_loses_nothing_that_beeped():
    for operations in range(12):
        terminal = configured(DUPLICATE_S="0")
        terminal.fs.operations_left = operations
        beeped = []
        try:
            for person in ("A", "B", "C"):
                if take(terminal, person) == "accepted":
                    beeped.append(person)
            terminal.run(lambda: len(stored(terminal)) == 3)
        except PowerCut:
            pass
        terminal.fs.operations_left = -1
        terminal.boot()
        terminal.run(lambda: terminal.beats() >= 1 and terminal.agent.punches.due_ms is None)
        found = [punch["E1"] for punch in stored(terminal)]
        assert found[: len(beeped)] == beeped and len(found) <= len(beeped) + 1
        check_chain(stored(terminal))


def test_a_segment_is_one_flash_block():
    assert SEGMENT_BYTES == 4096
