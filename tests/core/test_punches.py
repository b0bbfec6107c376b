"""Punches from the reader to the server: rules, beeps, uploads, power cuts, WIPE."""

# heap: 8m because the agent, compiled here, shares it with the test's server and its punches

from fake_ports import CRYPTO, PowerCut
from fakes import ADMIN_SEEDS, acknowledgement, ready

from ks_agent.journal import SEGMENT_BYTES
from ks_agent.log_upload import select
from ks_agent.punch import prev_of, punch_hash
from ks_agent.store import Store

DAY_MS = 86400000


def configured(**fields):
    """A registered terminal with a configuration."""
    terminal = ready()
    config = dict(Store(terminal.fs).read("data/state/config.toon"))
    config.update(fields)
    Store(terminal.fs).write("data/state/config.toon", config)
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    return terminal


def take(terminal, *words):
    """A punch, which wakes the sleeping terminal as its driver does."""
    return terminal.agent.punches.take(*words)


def stored(terminal):
    """The punches on the server, of all journals, by SEQ."""
    found = []
    for jid in terminal.server.journals:
        for _, row in sorted(terminal.server.journals[jid].items()):
            if row is not None:
                found.append(dict(row, JID=jid))
    return found


def check_chain(punches):
    prev = ""
    for punch in punches:
        if punch["SEQ"] == "1":
            prev = ""
        assert punch["PREV"] == prev
        prev = prev_of(punch_hash(CRYPTO.sha256, punch))


def test_a_punch_is_stored_before_the_beep_and_reaches_the_server_soon():
    terminal = ready()
    assert take(terminal, "12E45678") == "accepted"
    assert terminal.board.shown[-1][0] == "punch"
    assert [path for path in terminal.fs.files if path.startswith("data/journal/")]
    taken_at = terminal.clock.ticks
    terminal.run(lambda: stored(terminal))
    assert terminal.clock.ticks - taken_at < 3000
    (punch,) = stored(terminal)
    assert punch["E1"] == "12E45678" and punch["A2"] == "IN" and punch["METHOD"] == "RFID"
    assert punch["CLK"] == "SYNCED" and punch["BOOT"] == "1" and punch["UP"] == str(taken_at)
    assert punch["A1"] == punch["JID"] + "-1"
    check_chain([punch])


def test_what_the_board_shows_and_the_log_says_names_nobody():
    terminal = ready()
    for _ in range(3):
        take(terminal, "12E45678", "PIN")
    assert "12E45678" not in str(terminal.board.shown)
    assert "12E45678" not in str(select(terminal.agent.log))


def test_batches_hold_twenty_and_go_on_until_all_is_there_between_heartbeats():
    terminal = configured(DUPLICATE_S="0")
    for number in range(130):
        assert take(terminal, "%08d" % number) == "accepted"
    beats = terminal.beats()
    terminal.run(lambda: len(stored(terminal)) == 130)
    batches = [len(row["EVENT"]) for row in terminal.server.requests if row["OP"] == "events"]
    assert batches == [20] * 6 + [10]
    assert terminal.beats() <= beats + 1
    check_chain(stored(terminal))
    terminal.run(lambda: terminal.beats() == beats + 2)


def test_an_events_request_tells_its_own_moment_in_the_time_of_the_terminal():
    terminal = ready()
    take(terminal, "1")
    terminal.run(lambda: stored(terminal))
    (request,) = [row for row in terminal.server.requests if row["OP"] == "events"]
    assert request["CLK"] == "SYNCED" and request["BOOT"] == "1"
    assert request["SEQ_MIN"] == "1"
    assert 0 <= terminal.clock.ticks - int(request["UP"]) <= 100


def test_the_same_person_within_the_window_is_told_so_and_not_stored_twice():
    terminal = configured(DUPLICATE_S="60")
    assert take(terminal, "A") == "accepted"
    assert take(terminal, "A") == "duplicate"
    assert terminal.board.shown[-1] == ("punch_refused", {"S1": "duplicate"})
    assert take(terminal, "B") == "accepted"
    terminal.clock.ticks += 59000
    assert take(terminal, "A") == "duplicate"
    terminal.clock.ticks += 1000
    assert take(terminal, "A") == "accepted"
    terminal.run(lambda: len(stored(terminal)) == 3)
    assert [punch["E1"] for punch in stored(terminal)] == ["A", "B", "A"]


def test_the_window_can_be_another_or_none():
    terminal = configured(DUPLICATE_S="5")
    assert take(terminal, "A") == "accepted"
    terminal.clock.ticks += 5000
    assert take(terminal, "A") == "accepted"
    terminal = configured(DUPLICATE_S="0")
    assert [take(terminal, "A") for _ in range(3)] == ["accepted"] * 3


def test_the_window_does_not_reach_over_a_restart_of_unknown_length():
    terminal = ready()
    assert take(terminal, "A") == "accepted"
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    assert take(terminal, "A") == "accepted"


def directions(terminal):
    return [punch["A2"] for punch in stored(terminal)]


def test_directions_toggle_by_the_last_punch_of_the_day_also_over_a_restart():
    terminal = configured(DUPLICATE_S="0")
    for person in ("A", "B", "A", "A", "B"):
        take(terminal, person)
    terminal.run(lambda: len(stored(terminal)) == 5)
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    for person in ("A", "B", "C"):
        take(terminal, person)
    terminal.run(lambda: len(stored(terminal)) == 8)
    assert directions(terminal) == ["IN", "IN", "OUT", "IN", "OUT", "OUT", "IN", "IN"]


def test_a_new_day_begins_with_in_at_the_time_that_is_configured():
    terminal = configured(DUPLICATE_S="0", DAY_START="04:00")
    punches = terminal.agent.punches
    start = 20800 * DAY_MS
    assert punches.day(start + 4 * 3600000 - 1) + 1 == punches.day(start + 4 * 3600000)
    assert punches.day(start + 4 * 3600000) == punches.day(start + 28 * 3600000 - 1)
    take(terminal, "A")
    terminal.server.offset_ms += DAY_MS
    terminal.run(lambda: terminal.beats() >= 2)
    take(terminal, "A")
    terminal.run(lambda: len(stored(terminal)) == 2)
    assert directions(terminal) == ["IN", "IN"]


def test_a_direction_can_be_fixed_or_chosen_by_key():
    terminal = configured(DIRECTION="OUT", DUPLICATE_S="0")
    assert take(terminal, "A") == "accepted"
    assert take(terminal, "A", "RFID", "IN") == "accepted"
    terminal.run(lambda: len(stored(terminal)) == 2)
    assert directions(terminal) == ["OUT", "OUT"]
    terminal = configured(DIRECTION="KEY", DUPLICATE_S="0")
    assert take(terminal, "A") == "no_key"
    assert take(terminal, "A", "RFID", "LUNCH") == "no_key"
    assert take(terminal, "A", "PIN", "BREAK_START") == "accepted"
    terminal.run(lambda: len(stored(terminal)) == 1)
    assert directions(terminal) == ["BREAK_START"]


def test_what_is_no_credential_is_unknown_and_nothing_worse():
    terminal = ready()
    for credential in ("", "x" * 65, "\u20ac" * 22, "a\nb", "\x7f", None, 12, b"bytes"):
        assert take(terminal, credential) == "unknown"
    assert take(terminal, "A", "TELEPATHY") == "unknown"
    assert take(terminal, "x" * 64) == "accepted"


def test_a_terminal_out_of_service_takes_no_punch():
    terminal = ready()
    terminal.server.command("WIPE", admins=ADMIN_SEEDS)
    terminal.run(lambda: terminal.agent.identity.state == "WIPING")
    assert take(terminal, "A") == "closed"
    terminal.run(lambda: terminal.agent.identity.state == "DORMANT")
    assert take(terminal, "A") == "closed"


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
    terminal = configured(DUPLICATE_S="0", JOURNAL_KIB="64")
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
    terminal.run(lambda: len(stored(terminal)) == count, 9000)
    assert take(terminal, "LATER") == "accepted"
    terminal.run(lambda: len(stored(terminal)) == count + 1)
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
