"""A release on trial: how it proves itself, and who is to blame when it cannot."""

# heap: 1024k because the agent, compiled here, shares it with the server, which keeps all requests

import stage0
from fakes import ADMIN_SEEDS, RELEASE_SEED, Server, public_text
from support import raises
from test_update import boot_record, reported
from test_update_cuts import confirmed, updating

from ks_agent.effects import Response
from ks_agent.errors import LocalError
from ks_agent.trust import RELEASE
from ks_agent.update_record import UpdateRecord

MINUTE_MS = 60000
HOUR_MS = 60 * MINUTE_MS


def on_trial():
    """A terminal whose newer release has just been started for the first time."""
    terminal = updating()
    terminal.run(lambda: terminal.slot == "b")
    return terminal


def records(terminal):
    return UpdateRecord(terminal.agent.store, terminal.agent.outbox)


def hangs(terminal):
    """Each attempt takes ten minutes more, so that a day is a story of a hundred attempts."""
    terminal.clock.ticks += 10 * MINUTE_MS


def outcome_of_an_outage(terminal):
    """Without a link until the terminal is back at its old release, and then with one."""
    terminal.link_down = True
    before = len(reported(terminal))
    terminal.run(lambda: hangs(terminal) or terminal.slot == "a", 8000)
    terminal.link_down = False
    terminal.run(lambda: len(reported(terminal)) > before)
    return reported(terminal)[-1]


def test_a_day_without_a_link_is_borne_and_then_the_old_release_comes_back_unblamed():
    terminal = on_trial()
    terminal.link_down = True
    terminal.run(lambda: terminal.clock.ticks > 23 * HOUR_MS, 8000)
    assert terminal.slot == "b" and boot_record(terminal)["TRIAL"] == "true"
    assert outcome_of_an_outage(terminal) == "ERROR POSTPONED no_server"
    assert terminal.slot == "a"


def test_a_link_that_returns_after_hours_lets_the_trial_succeed():
    terminal = on_trial()
    terminal.link_down = True
    terminal.run(lambda: terminal.clock.ticks > 20 * HOUR_MS, 8000)
    terminal.link_down = False
    terminal.run(lambda: confirmed(terminal))
    assert terminal.slot == "b"


def test_a_release_is_postponed_three_times_and_then_never_tried_again():
    terminal = on_trial()
    outcomes = []
    for _ in range(4):
        outcomes.append(outcome_of_an_outage(terminal))
        beats = terminal.beats()
        terminal.run(
            lambda beats=beats: terminal.slot == "b" or terminal.beats() > beats + 100, 4000
        )
    assert outcomes == 3 * ["ERROR POSTPONED no_server"] + ["ERROR ROLLED_BACK no_server"]
    assert terminal.slot == "a"
    assert len(records(terminal).fields["BANNED"]) == 1


def test_a_release_that_is_confirmed_is_postponed_no_more():
    terminal = on_trial()
    assert outcome_of_an_outage(terminal) == "ERROR POSTPONED no_server"
    assert records(terminal).fields["POSTPONED"][0]["COUNT"] == "1"
    terminal.run(lambda: confirmed(terminal), 4000)
    assert not records(terminal).fields.get("POSTPONED")


def answering(terminal, answer):
    """Every request of the release on trial is answered so, the old one is served as ever: what
    the old one reports, and how long the new one tried.
    """
    handle = terminal.server.handle
    asked_ms = []

    def serve(fetch):
        if terminal.slot == "a":
            return handle(fetch)
        asked_ms[:] = [terminal.clock.ticks]
        return answer(fetch)

    terminal.server.handle = serve
    terminal.run(lambda: terminal.slot == "a", 8000)
    terminal.run(lambda: len(reported(terminal)) == 1)
    return reported(terminal)[0], asked_ms[0]


def nonsense(fetch):
    return Response(200, {"content-type": "text/html"}, b"<html>log in here</html>")


def unavailable(fetch):
    return Response(502, {"content-type": "text/html"}, b"<html>bad gateway</html>")


def test_a_release_that_believes_no_answer_for_15_minutes_is_rolled_back_and_banned():
    terminal = on_trial()
    outcome, passed_ms = answering(terminal, nonsense)
    assert outcome == "ERROR ROLLED_BACK no_round_trip"
    assert 14 * MINUTE_MS <= passed_ms <= 16 * MINUTE_MS
    assert len(records(terminal).fields["BANNED"]) == 1
    assert "slot_b/manifest.toon" not in terminal.fs.files


def test_a_clock_that_jumps_by_a_year_neither_ends_a_trial_nor_makes_it_longer():
    for years in (1, -1):
        for lasts_ms in (13 * MINUTE_MS, 24 * HOUR_MS):
            terminal = on_trial()
            terminal.server.offset_ms += years * 365 * 24 * HOUR_MS

            def refuse(answer, terminal=terminal, lasts_ms=lasts_ms):
                waits = terminal.slot == "b" and terminal.clock.ticks < lasts_ms
                if answer["OP"] == "heartbeat" and waits:
                    refused_ms.append(terminal.clock.ticks)
                    answer["ERR1"] = "MALFORMED"

            refused_ms = []
            terminal.server.bend = refuse
            terminal.run(lambda terminal=terminal: len(reported(terminal)) == 1, 4000)
            if lasts_ms == 13 * MINUTE_MS:
                assert reported(terminal) == ["OK confirmed"] and terminal.slot == "b"
            else:
                assert reported(terminal) == ["ERROR ROLLED_BACK no_round_trip"]
                assert 14 * MINUTE_MS <= refused_ms[-1] <= 16 * MINUTE_MS
            assert abs(terminal.agent.clock.now_ms() - terminal.server.now_ms()) < 1000


def test_a_release_whose_key_is_distrusted_after_it_was_accepted_is_tried_and_kept():
    terminal = updating()
    terminal.run(lambda: terminal.restarts == ["update"])
    rows = [row for row in terminal.agent.trust.rows if row["ROLE"] != RELEASE]
    newer = {"ROLE": RELEASE, "KEY": public_text(b"N" * 32)}
    terminal.agent.trust.write(rows + [newer], [public_text(RELEASE_SEED)])
    terminal.boot()
    terminal.run(lambda: confirmed(terminal))
    terminal.boot()
    assert terminal.slot == "b"


def test_a_proxy_that_answers_for_a_server_that_is_down_is_an_outage():
    terminal = on_trial()
    outcome, passed_ms = answering(terminal, unavailable)
    assert outcome == "ERROR POSTPONED no_server"
    assert 24 * HOUR_MS - MINUTE_MS <= passed_ms <= 24 * HOUR_MS + MINUTE_MS


def test_what_was_rolled_back_for_crashing_is_never_started_again():
    terminal = on_trial()
    record = dict(boot_record(terminal), CRASHES="3")
    terminal.agent.store.write(stage0.RECORD, record)
    terminal.boot()
    assert terminal.slot == "a"
    terminal.run(lambda: len(reported(terminal)) == 1)
    terminal.fs.files["slot_a/main.py"] = b"damaged"
    raises(SystemExit, terminal.boot)


def test_the_log_of_a_rollback_is_uploaded_before_the_report_that_names_it():
    terminal = on_trial()
    stage0.crashed(terminal.fs, ValueError("planted"))
    record = dict(stage0.read_record(terminal.fs), CRASHES="3")
    stage0.write_record(terminal.fs, record)
    terminal.agent.store.write("data/state/crash.toon", {"CLASS": "ValueError", "TEXT": "planted"})
    terminal.boot()
    terminal.run(lambda: len(reported(terminal)) == 1)
    ops = [op for op in terminal.server.ops() if op in ("logs", "firmware/ack")]
    assert ops == ["logs", "firmware/ack"]
    requests = {request["OP"]: request for request in terminal.server.requests}
    assert requests["firmware/ack"]["LOG1"] == requests["logs"]["LOG1"]
    text = str([row["LOG3"] for row in requests["logs"]["LOG"]])
    assert "crashed: ValueError planted" in text
    assert "ROLLED_BACK: crash ValueError(planted" in text.replace("'", "")


def fails_its_self_test(plant, text):
    terminal = on_trial()
    plant(terminal)
    error = raises(LocalError, terminal.run, lambda: confirmed(terminal))
    assert str(error) == text
    assert boot_record(terminal)["TRIAL"] == "true"
    assert terminal.vault.get("counter") is None


def test_a_release_that_leaves_too_little_memory_does_not_confirm_itself():
    def plant(terminal):
        terminal.board.free_bytes = 4000

    fails_its_self_test(plant, "self-test:memory")


def test_a_release_whose_reader_does_not_answer_does_not_confirm_itself():
    def plant(terminal):
        terminal.board.reads = False

    fails_its_self_test(plant, "self-test:reader")


def test_a_release_whose_clock_stands_still_does_not_confirm_itself():
    def plant(terminal):
        terminal.agent.clock.ticks_ms = lambda: 4711

    fails_its_self_test(plant, "self-test:clock")


def test_a_release_that_cannot_write_the_flash_does_not_confirm_itself():
    def plant(terminal):
        opened = terminal.fs.open

        def fails(path, mode):
            if "self_test" in path and mode == "wb":
                raise OSError(28)
            return opened(path, mode)

        terminal.fs.open = fails

    fails_its_self_test(plant, "self-test:flash")


def test_a_release_that_reads_something_else_than_it_wrote_does_not_confirm_itself():
    def plant(terminal):
        rename = terminal.fs.rename

        def spoils(before, after):
            rename(before, after)
            if "self_test" in after:
                terminal.fs.files[after] = terminal.fs.files[after].replace(b"TS", b"ST")

        terminal.fs.rename = spoils

    fails_its_self_test(plant, "self-test:flash")


def test_nothing_of_the_self_test_stays_on_flash():
    terminal = on_trial()
    terminal.run(lambda: confirmed(terminal))
    assert not [path for path in terminal.fs.files if "self_test" in path]


def test_the_security_counter_of_what_was_proven_outlives_a_wipe():
    terminal = on_trial()
    terminal.run(lambda: confirmed(terminal))
    del terminal.server.answers["heartbeat"]
    terminal.server.handle = lambda fetch: Server.handle(terminal.server, fetch)
    terminal.server.command("WIPE", admins=ADMIN_SEEDS)
    terminal.run(lambda: terminal.agent.identity.state == "DORMANT", 4000)
    assert terminal.vault.get("key") is None
    assert terminal.vault.get("counter") == b"1"
