"""Punches at the reader: rules, beeps, refusals."""

# heap: 8m because the agent, compiled here, shares it with the test's server and its punches

from fake_ports import CRYPTO
from fakes import ADMIN_SEEDS, ready
from punch_desk import check_chain, configured, stored, take

from ks_agent.allow_pages import text_digest
from ks_agent.log_upload import select

DAY_MS = 86400000


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


def test_a_server_that_cannot_decide_on_an_allow_list_does_not_wear_out_the_flash():
    terminal = ready()
    empty = text_digest(CRYPTO.sha256, "")
    indexes = {text_digest(CRYPTO.sha256, empty * pages): empty * pages for pages in (1, 2)}
    handle = terminal.server._answer

    def answer(request):
        if request["OP"] == "allow-list":
            version = request["AL1"]
            page = {"AL2": request["AL2"], "AL5": ""} if "AL2" in request else None
            index = {"AL4": indexes[version], "AL3": str(len(indexes[version]) // 16)}
            return dict(page or index, S1="ok", AL1=version)
        found = handle(request)
        if request["OP"] == "heartbeat":
            others = [version for version in indexes if version != request.get("AL1")]
            found["AL1"] = others[0]
        return found

    terminal.server._answer = answer
    terminal.run(lambda: terminal.agent.punches.allow_list is not None)
    first = terminal.agent.punches.allow_list.version
    beats = terminal.beats()
    terminal.run(lambda: terminal.beats() == beats + 4)
    assert terminal.agent.punches.allow_list.version == first
    assert take(terminal, "A") == "accepted"
    terminal.run(lambda: terminal.agent.punches.allow_list.version != first)
